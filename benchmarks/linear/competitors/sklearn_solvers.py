"""scikit-learn's LogisticRegression, all its solvers."""

from __future__ import annotations

from functools import partial

from sklearn.linear_model import LogisticRegression

from benchmarks.linear.competitors._base import Competitor, binary
from benchmarks.linear.problems import Problem


def fit(problem: Problem, tolerance: float, solver: str, dual: bool = False):
    """Fit and return the weights."""
    model = LogisticRegression(
        C=problem.C,
        l1_ratio=float(problem.l1),
        dual=dual,
        fit_intercept=False,
        solver=solver,
        tol=tolerance,
        max_iter=100_000,
        random_state=0,
    )
    return model.fit(problem.X, problem.y).coef_


def _l2(problem: Problem) -> bool:
    return not problem.l1


def _newton_cholesky(problem: Problem) -> bool:
    """Whether the Hessian of all unknowns fits in memory."""
    return _l2(problem) and problem.X.shape[1] <= 10_000


SOLVERS = {
    "lbfgs": _l2,
    "newton-cg": _l2,
    "newton-cholesky": _newton_cholesky,
    "sag": _l2,
    "saga": lambda problem: True,
    "liblinear": binary,
}

COMPETITORS = (
    *(
        Competitor(f"scikit-learn {name}", "sklearn", partial(fit, solver=name), applies)
        for name, applies in SOLVERS.items()
    ),
    Competitor(
        "scikit-learn liblinear dual",
        "sklearn",
        partial(fit, solver="liblinear", dual=True),
        lambda problem: binary(problem) and _l2(problem),
    ),
)
