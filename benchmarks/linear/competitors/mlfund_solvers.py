"""mlfund: as it chooses by itself, and every solver by its own name."""

from __future__ import annotations

from functools import partial

from benchmarks.linear.competitors._base import Competitor
from benchmarks.linear.problems import Problem
from mlfund import LogisticRegression


def estimator(problem: Problem, tolerance: float, solver: str = "auto") -> LogisticRegression:
    """Return the unfitted estimator."""
    return LogisticRegression(
        C=problem.C,
        l1_ratio=float(problem.l1),
        fit_intercept=False,
        solver=solver,
        tol=tolerance,
        max_iter=10_000,
    )


def fit(problem: Problem, tolerance: float, solver: str = "auto"):
    """Fit and return the weights."""
    return estimator(problem, tolerance, solver).fit(problem.X, problem.y).coef_


def _moderate(problem: Problem) -> bool:
    """Whether a matrix of all unknowns fits in memory."""
    k = 1 if problem.n_classes == 2 else problem.n_classes
    return k * problem.X.shape[1] <= 5_000


def _patient(problem: Problem) -> bool:
    """Whether some thousand passes over X take seconds and not minutes."""
    return not problem.l1 and problem.X.size * (0.001 if problem.sparse else 1) <= 20_000_000


# name -> where it applies: a new solver joins by one row.
SOLVERS = {
    "newton": lambda problem: not problem.l1 and _moderate(problem),
    "preconditioned-lbfgs": lambda problem: not problem.l1 and problem.X.shape[1] <= 5_000,
    "plain-lbfgs": lambda problem: not problem.l1,
    "gradient-descent": _patient,
    "nesterov": _patient,
    "dual-coordinate": lambda problem: not problem.l1 and problem.n_classes == 2,
    "coordinate": lambda problem: problem.l1,
    "proximal": lambda problem: problem.l1,
    "proximal-newton": lambda problem: problem.l1 and _moderate(problem),
}

COMPETITORS = (
    Competitor("mlfund", "mlfund", fit, lambda problem: True),
    *(
        Competitor(f"mlfund {name}", "mlfund", partial(fit, solver=name), applies)
        for name, applies in SOLVERS.items()
    ),
)
