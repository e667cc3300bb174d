"""glum's generalised linear model of the binomial family."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.linear.competitors._base import Competitor, binary
from benchmarks.linear.problems import Problem


def fit(problem: Problem, tolerance: float, solver: str):
    """Fit and return the weights."""
    from glum import GeneralizedLinearRegressor

    model = GeneralizedLinearRegressor(
        family="binomial",
        alpha=1 / (problem.C * len(problem.y)),
        l1_ratio=float(problem.l1),
        fit_intercept=False,
        solver=solver,
        gradient_tol=tolerance,
        max_iter=10_000,
    )
    return np.reshape(model.fit(problem.X, problem.y.astype(np.float64)).coef_, (1, -1))


def _irls(problem: Problem) -> bool:
    """Whether the Hessian of all unknowns fits in memory."""
    return binary(problem) and problem.X.shape[1] <= 10_000


COMPETITORS = (
    Competitor(
        "glum irls-ls",
        "glum",
        partial(fit, solver="irls-ls"),
        lambda problem: _irls(problem) and not problem.l1,
    ),
    Competitor(
        "glum irls-cd",
        "glum",
        partial(fit, solver="irls-cd"),
        lambda problem: _irls(problem) and problem.l1,
    ),
    Competitor(
        "glum lbfgs",
        "glum",
        partial(fit, solver="lbfgs"),
        lambda problem: binary(problem) and not problem.l1,
    ),
)
