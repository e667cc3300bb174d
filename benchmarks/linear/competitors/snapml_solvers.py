"""snapml's LogisticRegression on one thread; its several classes are one against the rest."""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy.sparse as sp

from benchmarks.linear.competitors._base import Competitor, binary
from benchmarks.linear.problems import Problem


def fit(problem: Problem, tolerance: float, dual: bool):
    """Fit and return the weights."""
    import snapml

    model = snapml.LogisticRegression(
        regularizer=1 / problem.C,
        penalty="l1" if problem.l1 else "l2",
        dual=dual,
        fit_intercept=False,
        tol=tolerance,
        max_iter=100_000,
        n_jobs=1,
        random_state=0,
    )
    # It knows sparse matrices, but not sparse arrays.
    X = sp.csr_matrix(problem.X) if problem.sparse else problem.X
    return np.reshape(model.fit(X, problem.y).coef_, (1, -1))


COMPETITORS = (
    Competitor("snapml primal", "snapml", partial(fit, dual=False), binary),
    Competitor(
        "snapml dual",
        "snapml",
        partial(fit, dual=True),
        lambda problem: binary(problem) and not problem.l1,
    ),
)
