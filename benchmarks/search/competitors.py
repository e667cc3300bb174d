"""The searches that are timed: each returns the log-loss of folds and strengths."""

from __future__ import annotations

import functools

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import LogisticRegressionCV as SklearnCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mlfund

FOLDS = 5
PROCESSES = 2


def batched(X, y, Cs, folds):
    """mlfund's search over mlfund's LogisticRegression."""
    pipeline = make_pipeline(StandardScaler(), mlfund.LogisticRegression())
    return _searched(mlfund.BatchedGridSearchCV, pipeline, X, y, Cs, folds)


def grid(X, y, Cs, folds, solver):
    """scikit-learn's search, on warm processes."""
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(solver=solver))
    return _searched(GridSearchCV, pipeline, X, y, Cs, folds, n_jobs=PROCESSES)


def path(X, y, Cs, folds, solver):
    """scikit-learn's LogisticRegressionCV: warm starts along C, and the scaler sees all rows."""
    model = SklearnCV(
        Cs=Cs,
        l1_ratios=(0,),
        scoring="neg_log_loss",
        cv=folds,
        use_legacy_attributes=False,
        solver=solver,
        n_jobs=PROCESSES,
    )
    return make_pipeline(StandardScaler(), model).fit(X, y)[-1].scores_[:, 0]


def _searched(kind, pipeline, X, y, Cs, folds, **options):
    search = kind(
        pipeline, {"logisticregression__C": list(Cs)}, scoring="neg_log_loss", cv=folds, **options
    ).fit(X, y)
    results = search.cv_results_
    return np.array([results[f"split{f}_test_score"] for f in range(len(folds))])


COMPETITORS = {
    "mlfund": batched,
    "grid lbfgs": functools.partial(grid, solver="lbfgs"),
    "grid newton-cholesky": functools.partial(grid, solver="newton-cholesky"),
    "path lbfgs": functools.partial(path, solver="lbfgs"),
    "path newton-cholesky": functools.partial(path, solver="newton-cholesky"),
}
