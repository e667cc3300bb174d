"""Logistic growth, a truly non-linear fit, compared with scipy.optimize.curve_fit.

The population starts small, grows fast and fills its room. Values and standard errors agree
with curve_fit's; what curve_fit does not do follows: bounds that are reported, restarts,
confidence bands and a picture.

Run with: python examples/08_parametric_growth.py
"""

from __future__ import annotations

import importlib.util

import numpy as np
import torch
from scipy.optimize import curve_fit

from mlfund import ParametricRegressor


def growth(t, capacity=50.0, rate=0.5, midpoint=5.0):
    """Return the population at time t; written with torch, so that it has derivatives."""
    return capacity / (1 + torch.exp(-rate * (t - midpoint)))


def numpy_growth(t, capacity, rate, midpoint):
    """Return the same, written for curve_fit."""
    return capacity / (1 + np.exp(-rate * (t - midpoint)))


rng = np.random.default_rng(0)
t = np.linspace(0, 20, 60)
population = numpy_growth(t, 120, 0.6, 9) + rng.normal(scale=3, size=60)
X = t[:, None]

# 1. Values and standard errors, beside curve_fit's from the same start.
model = ParametricRegressor(growth).fit(X, population)
print(model.summary())
values, covariance = curve_fit(numpy_growth, t, population, p0=(50, 0.5, 5), ftol=1e-12)
errors = np.sqrt(np.diag(covariance))
print("\n             mlfund          curve_fit")
for (name, row), value, error in zip(
    model.parameter_table_.iterrows(), values, errors, strict=True
):
    print(f"{name:10} {row.value:10.5f} +- {row.standard_error:.5f}  {value:.5f} +- {error:.5f}")
np.testing.assert_allclose(list(model.parameters_.values()), values, rtol=1e-5)
np.testing.assert_allclose(model.parameter_table_["standard_error"], errors, rtol=1e-4)

# 2. A bound that bites is said in the table, and the others are fitted with it in place.
bounded = ParametricRegressor(growth, bounds={"capacity": (0, 115)}).fit(X, population)
print(f"\nwith a capacity of at most 115:\n{bounded.parameter_table_.round(4)}")

# 3. A hopeless start: every derivative is next to nothing. Restarts within bounds find the way.
lost = {"start": {"rate": 5.0, "midpoint": 45.0}}
bounds = {"capacity": (0, 1000), "rate": (0, 5), "midpoint": (0, 50)}
found = ParametricRegressor(growth, **lost, bounds=bounds, n_restarts=8, random_state=0)
found.fit(X, population)
print(f"\nstarts and where they led:\n{found.restarts_.round(3).to_string()}")
np.testing.assert_allclose(list(found.parameters_.values()), values, rtol=1e-5)

# 4. Limits of the curve and of new rows.
low, high = model.predict_interval([[10.0]], of="observation")
print(f"\nat t=10 a new count lies between {low[0]:.1f} and {high[0]:.1f} with 95 % confidence")

# 5. The picture, where matplotlib is installed.
if importlib.util.find_spec("matplotlib"):
    import matplotlib as mpl

    mpl.use("Agg")
    axes = model.plot(X, population)
    axes[0].figure.savefig("growth.png", dpi=150)
    print("drawn: growth.png")
