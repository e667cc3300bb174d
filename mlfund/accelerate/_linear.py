"""Replacements of scikit-learn's `LogisticRegression` and `LogisticRegressionCV`."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn.linear_model._logistic as _sklearn
from sklearn.metrics._scorer import _BaseScorer
from sklearn.model_selection import check_cv
from sklearn.utils import check_random_state

from mlfund.accelerate._replacement import (
    Replacement,
    accelerated,
    as_in,
    parameters,
    publish_columns,
)

# What a fit of these solvers draws from `random_state`: the bounds of one `randint`.
_DRAWS = {
    "liblinear": (0, np.iinfo("i").max),
    "sag": (1, np.iinfo(np.int32).max),
    "saga": (1, np.iinfo(np.int32).max),
}


class LogisticRegression(Replacement, _sklearn.LogisticRegression, replaces=True):
    @as_in(_sklearn.LogisticRegression.fit)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        return accelerated(self, X, y, sample_weight=sample_weight)

    def _refusal(self, X: Any, y: Any, sample_weight: Any) -> str | None:
        return why_not_linear(self)

    def _fit_by_mlfund(self, X: Any, y: Any, sample_weight: Any) -> None:
        from mlfund.accelerate._linear_fits import Converged

        ours = Converged(**_without_stream(self, _sklearn.LogisticRegression))
        if self.warm_start and hasattr(self, "coef_"):
            ours.coef_, ours.intercept_ = self.coef_, self.intercept_
        ours.fit(X, y, sample_weight=sample_weight)
        for name in ("classes_", "coef_", "intercept_", "n_iter_"):
            setattr(self, name, getattr(ours, name))
        publish_columns(self, ours)
        draw(self, 1)


class LogisticRegressionCV(Replacement, _sklearn.LogisticRegressionCV, replaces=True):
    @as_in(_sklearn.LogisticRegressionCV.fit)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> Any:
        return accelerated(self, X, y, sample_weight=sample_weight, **params)

    def _refusal(self, X: Any, y: Any, sample_weight: Any, **params: Any) -> str | None:
        if callable(self.scoring) and not isinstance(self.scoring, _BaseScorer):
            return "scoring is a function that may look at the estimator"
        if self.solver == "liblinear" and self.intercept_scaling != 1:
            return "scikit-learn's refit by liblinear leaves intercept_scaling out"
        if self.cv is None and np.unique(y, return_counts=True)[1].max() < check_cv().n_splits:
            return "no class has a row for every fold"
        return why_not_linear(self)

    def _fit_by_mlfund(self, X: Any, y: Any, sample_weight: Any, **params: Any) -> None:
        from mlfund.accelerate._linear_fits import ConvergedCV

        ours = ConvergedCV(**_without_stream(self, _sklearn.LogisticRegressionCV))
        ours.fit(X, y, sample_weight=sample_weight, **params)
        for name in _GRID_ATTRIBUTES:
            setattr(self, name, getattr(ours, name))
        # scikit-learn's fits in float64 whatever the dtype of X.
        self.coef_ = ours.coef_.astype(np.float64)
        self.intercept_ = ours.intercept_.astype(np.float64)
        publish_columns(self, ours)
        draw(self, ours.n_models_ + bool(self.refit))


_GRID_ATTRIBUTES = (
    "classes_",
    "Cs_",
    "l1_ratios_",
    "C_",
    "l1_ratio_",
    "coefs_paths_",
    "scores_",
    "n_iter_",
)


def why_not_linear(estimator: Any) -> str | None:
    """Return which parameter keeps mlfund's optimum from being scikit-learn's, or None."""
    if estimator.verbose:
        return "verbose asks for scikit-learn's own words"
    if estimator.dual:
        return "dual=True asks for liblinear's dual problem"
    if not estimator.max_iter:
        return "max_iter=0 allows no iteration"
    return None


def _without_stream(estimator: Any, kind: Any) -> dict[str, Any]:
    """Return the parameters; mlfund's draws must not move a stream that others share."""
    given = parameters(estimator, kind._get_param_names)
    if not isinstance(given["random_state"], int):
        given["random_state"] = 0
    return given


def draw(estimator: Any, n_fits: int) -> None:
    """Move a shared random stream as so many fits of scikit-learn's move it."""
    state = estimator.random_state
    if estimator.solver not in _DRAWS or not (
        state is None or state is np.random or isinstance(state, np.random.RandomState)
    ):
        return
    stream = check_random_state(state)
    for _ in range(n_fits):
        stream.randint(*_DRAWS[estimator.solver])
