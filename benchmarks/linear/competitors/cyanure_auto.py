"""cyanure's Classifier with the solver that it chooses, and with qning-svrg.

It looks at its tolerance every tenth epoch only; a number of epochs is the finer setting.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.linear.competitors._base import Competitor
from benchmarks.linear.problems import Problem


def fit(problem: Problem, epochs: float, solver: str):
    """Fit and return the weights."""
    from cyanure.estimators import Classifier

    several = problem.n_classes > 2
    model = Classifier(
        loss="multiclass-logistic" if several else "logistic",
        penalty="l1" if problem.l1 else "l2",
        lambda_1=1 / (problem.C * len(problem.y)),
        fit_intercept=False,
        tol=1e-14,
        solver=solver,
        max_iter=int(epochs),
        n_threads=1,
        random_state=0,
        verbose=False,
    )
    model.fit(problem.X, problem.y)
    return model.coef_.T if several else np.reshape(model.coef_, (1, -1))


EPOCHS = (
    *range(1, 13),
    *range(14, 31, 2),
    *range(35, 101, 5),
    *range(120, 401, 20),
    500,
    700,
    1000,
)

COMPETITORS = tuple(
    Competitor(
        f"cyanure {solver}",
        "cyanure",
        partial(fit, solver=solver),
        lambda problem: True,
        settings=EPOCHS,
    )
    for solver in ("auto", "qning-svrg")
)
