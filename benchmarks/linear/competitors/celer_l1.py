"""celer's l1 logistic regression: dual extrapolation and working sets."""

from __future__ import annotations

import numpy as np

from benchmarks.linear.competitors._base import Competitor, binary
from benchmarks.linear.problems import Problem


def fit(problem: Problem, tolerance: float):
    """Fit and return the weights."""
    from celer import LogisticRegression

    model = LogisticRegression(C=problem.C, fit_intercept=False, tol=tolerance)
    return np.reshape(model.fit(problem.X, problem.y).coef_, (1, -1))


COMPETITORS = (Competitor("celer", "celer", fit, lambda problem: binary(problem) and problem.l1),)
