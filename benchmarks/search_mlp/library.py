"""The same search by mlfund's own estimators, one fit after another or in two processes."""

from __future__ import annotations

import warnings

import numpy as np
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning

from benchmarks.search_mlp.problems import BATCH_SIZE, Search


def one_by_one(search: Search, processes: int) -> list[list[np.ndarray]]:
    """Fit every candidate on every fold; weights as `bare_torch.train` returns them."""
    jobs = (
        delayed(_fit)(search.X[rows], search.y[rows], *candidate, search.problem)
        for rows, _ in search.folds
        for candidate in search.grid
    )
    return list(Parallel(n_jobs=processes)(jobs))


def _fit(X, y, rate, alpha, problem):
    from mlfund import MLPClassifier

    model = MLPClassifier(
        problem.sizes[1:-1],
        learning_rate_init=rate,
        alpha=alpha,
        max_iter=problem.n_epochs,
        batch_size=BATCH_SIZE,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    layers = zip(model.coefs_, model.intercepts_, strict=True)
    return [part for W, b in layers for part in (np.ascontiguousarray(W.T), b)]
