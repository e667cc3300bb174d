"""scikit-learn-intelex: its lbfgs; on sparse rows it hands over to scikit-learn."""

from __future__ import annotations

import numpy as np

from benchmarks.linear.competitors._base import Competitor
from benchmarks.linear.problems import Problem


def fit(problem: Problem, tolerance: float):
    """Fit and return the weights."""
    from sklearnex.linear_model import LogisticRegression

    model = LogisticRegression(C=problem.C, fit_intercept=False, tol=tolerance, max_iter=100_000)
    return model.fit(problem.X, problem.y).coef_


# Its tolerance is compared with the gradient of the sum over rows.
TOLERANCES = tuple(float(f"{10.0**-e:.3g}") for e in np.arange(-4.0, 6.01, 0.25))

COMPETITORS = (
    Competitor(
        "scikit-learn-intelex lbfgs",
        "sklearnex",
        fit,
        lambda problem: not problem.l1 and not problem.sparse,
        settings=TOLERANCES,
    ),
)
