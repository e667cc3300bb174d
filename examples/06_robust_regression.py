"""A line among outliers, and a band of quantiles around it.

One value in ten where x is large is a slip of the decimal point. Squared error follows the slips,
the absolute error and Huber's loss do not. Where the noise grows with x, the quantiles 0.05
and 0.95 tell how far a single value may lie from the line, which no fit of the mean can.

Run with: python examples/06_robust_regression.py
"""

from __future__ import annotations

import numpy as np

from mlfund import LinearRegressor

SLOPE, INTERCEPT = 2.0, 1.0


def measurements(n: int = 500, slips: float = 0.1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x (n, 1), y without slips (n,) and y with them (n,)."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 10, n)
    clean = SLOPE * x + INTERCEPT + (0.2 + 0.2 * x) * rng.standard_normal(n)
    slipped = (rng.uniform(size=n) < slips) & (x > 5)
    return x[:, None], clean, np.where(slipped, 10 * clean, clean)


def main() -> None:
    """Print the lines found, and how many values the band holds."""
    x, clean, y = measurements()
    print(f"y = {SLOPE} x + {INTERCEPT} + noise; {np.sum(y != clean)} of {len(y)} values x 10\n")
    print(f"{'loss':16}{'slope':>8}{'intercept':>11}{'solver':>18}{'steps':>7}")
    for loss in ("squared_error", "huber", "absolute_error"):
        line = LinearRegressor(loss, delta=1.0, alpha=0).fit(x, y)
        print(
            f"{loss:16}{line.coef_[0]:8.3f}{line.intercept_:11.3f}"
            f"{line.solver_:>18}{line.n_iter_:7d}"
        )

    print("\nA band for single values, from the values without slips:\n")
    band = {q: LinearRegressor("quantile", quantile=q, alpha=0).fit(x, clean) for q in (0.05, 0.95)}
    low, high = (band[q].predict(x) for q in band)
    inside = (low <= clean) & (clean <= high)
    mean = LinearRegressor(alpha=0).fit(x, clean)
    constant = 1.645 * np.std(clean - mean.predict(x))
    covered = np.abs(clean - mean.predict(x)) <= constant
    print(f"{'x':>8}{'band':>20}{'share inside':>14}{'mean +- 1.645 sd':>19}")
    for start in (0, 2, 4, 6, 8):
        part = (x[:, 0] >= start) & (x[:, 0] < start + 2)
        edges = f"{low[part].mean():.1f} to {high[part].mean():.1f}"
        print(
            f"{start:5d}-{start + 2:<2d}{edges:>20}{inside[part].mean():14.2f}"
            f"{covered[part].mean():19.2f}"
        )
    print(f"{'all':>8}{'':20}{inside.mean():14.2f}{covered.mean():19.2f}")


if __name__ == "__main__":
    main()
