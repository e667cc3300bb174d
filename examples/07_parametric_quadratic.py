"""Recover a, b and c of y = a x^2 + b x + c + noise, by every road that gradient descent takes.

The truth is a=2, b=1.5, c=1, with noise of standard deviation 0.5. Least squares has a closed
form here, so each answer can be checked.

Run with: python examples/07_parametric_quadratic.py
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from mlfund import ParametricRegressor


def quadratic(x, a=1.0, b=1.0, c=0.0):
    """Return a x^2 + b x + c; the defaults are the start values."""
    return a * x**2 + b * x + c


rng = np.random.default_rng(0)
x = rng.uniform(-3, 3, 200)
y = 2 * x**2 + 1.5 * x + 1 + rng.normal(scale=0.5, size=200)
X = x[:, None]

# 1. The default: steps in the metric of the curvature, until nothing is left to gain.
model = ParametricRegressor(quadratic).fit(X, y)
print(model.summary())

exact = np.linalg.lstsq(np.stack([x**2, x, np.ones_like(x)], axis=1), y, rcond=None)[0]
fitted = np.array(list(model.parameters_.values()))
print(f"\nleast squares: a={exact[0]:.6f}, b={exact[1]:.6f}, c={exact[2]:.6f}")
print(f"largest difference: {np.abs(fitted - exact).max():.1e}")
assert np.abs(fitted - exact).max() < 1e-3

# 2. Textbook gradient descent: no scaling, no second-order finish. 1/30 is just stable here.
print("\noptimizer    epochs   loss       largest difference to least squares")
plain = {"scale_parameters": False, "polish": False, "tol": 1e-12}
for optimizer, rate in [("sgd", 0.02), ("momentum", 0.01), ("adam", 0.1)]:
    descent = ParametricRegressor(
        quadratic, optimizer=optimizer, learning_rate_init=rate, max_iter=2000, **plain
    ).fit(X, y)
    difference = np.abs(np.array(list(descent.parameters_.values())) - exact).max()
    print(f"{optimizer:12} {descent.n_iter_:6d}   {descent.loss_:.6f}   {difference:.1e}")
    assert difference < 1e-3

# 3. Too high a rate is said, and the best point before is kept.
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", ConvergenceWarning)
    ParametricRegressor(quadratic, optimizer="sgd", learning_rate_init=1.0, **plain).fit(X, y)
print(f"\nat a rate of 1: {caught[0].message}")

# 4. A few wild rows pull least squares away; the absolute and the Huber loss hold.
spoilt = y.copy()
spoilt[:10] += 40
print("\nloss with 10 of 200 rows spoilt     a        b        c")
for loss in ("mse", "mae", "huber"):
    values = ParametricRegressor(quadratic, loss=loss).fit(X, spoilt).parameters_
    print(f"{loss:30} " + " ".join(f"{value:8.3f}" for value in values.values()))
