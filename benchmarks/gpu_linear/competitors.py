"""Who races: mlfund on both devices, scikit-learn's best for these problems, cuML."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.linear.competitors._base import Competitor, binary
from benchmarks.linear.problems import Problem

# Two steps a decade, loose to tight.
TOLERANCES = tuple(float(f"{10 ** (-e / 2):.3g}") for e in range(2, 21))
MAX_ITER = 10_000

__all__ = ["COMPETITORS", "TOLERANCES", "Competitor"]


def _mlfund(problem: Problem, tolerance: float, device: str | None) -> Any:
    from mlfund import LogisticRegression

    model = LogisticRegression(
        C=problem.C, fit_intercept=False, tol=tolerance, max_iter=MAX_ITER, device=device
    )
    return model.fit(problem.X, problem.y).coef_


def _sklearn(problem: Problem, tolerance: float, solver: str) -> Any:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        C=problem.C, fit_intercept=False, solver=solver, tol=tolerance, max_iter=MAX_ITER
    )
    return model.fit(problem.X, problem.y).coef_


def _cuml(problem: Problem, tolerance: float) -> Any:
    from cuml.linear_model import LogisticRegression

    model = LogisticRegression(
        C=problem.C, fit_intercept=False, tol=tolerance, max_iter=MAX_ITER, output_type="numpy"
    )
    return model.fit(problem.X, problem.y).coef_


def _any(problem: Problem) -> bool:
    return True


COMPETITORS = (
    Competitor("mlfund cuda", "mlfund", partial(_mlfund, device="cuda"), _any),
    Competitor("mlfund cpu", "mlfund", partial(_mlfund, device=None), _any),
    # The fastest of scikit-learn's on dense rows: for two classes, and for ten.
    Competitor("scikit-learn lbfgs", "sklearn", partial(_sklearn, solver="lbfgs"), _any),
    Competitor(
        "scikit-learn newton-cholesky",
        "sklearn",
        partial(_sklearn, solver="newton-cholesky"),
        binary,
    ),
    Competitor(
        "scikit-learn newton-cg",
        "sklearn",
        partial(_sklearn, solver="newton-cg"),
        lambda problem: not binary(problem),
    ),
    Competitor("cuml qn", "cuml", _cuml, _any),
)
