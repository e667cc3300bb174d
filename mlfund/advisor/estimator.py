"""The advisor as scikit-learn estimators: fit picks the model, predict uses it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from html import escape
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from mlfund.advisor.advice import Advice
from mlfund.advisor.advising import advise
from mlfund.advisor.rules import number

Self = TypeVar("Self", bound="_Advisor")


class _Advisor(BaseEstimator, ABC):
    """What classification and regression share."""

    _task: str

    def __init__(
        self,
        *,
        time_budget_seconds: float | None = None,
        metric: str = "auto",
        n_folds: int = 5,
        n_repeats: int = 1,
        max_latency_ms: float | None = None,
        interpretable: bool = False,
        candidates: Sequence[str] | None = None,
        isolate: bool | str = "auto",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.time_budget_seconds = time_budget_seconds
        self.metric = metric
        self.n_folds = n_folds
        self.n_repeats = n_repeats
        self.max_latency_ms = max_latency_ms
        self.interpretable = interpretable
        self.candidates = candidates
        self.isolate = isolate
        self.device = device
        self.random_state = random_state

    def fit(self: Self, X: Any, y: Any) -> Self:
        """Compare the candidates on these rows and fit the recommended one on all of them.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, d)
            Numbers, categories, dates, text; missing values are welcome.
        y : array-like of shape (n,)
            The target.

        Returns
        -------
        self : estimator
            The fitted advisor.

        Raises
        ------
        DataError
            If the data cannot be used as given.
        """
        table = self._read(X, reset=True)
        target = self._check_target(y)
        check_consistent_length(table, target)
        self.advice_: Advice = advise(
            table,
            pd.Series(target, name=getattr(y, "name", None)),
            task=self._task,
            metric=self.metric,
            n_folds=self.n_folds,
            n_repeats=self.n_repeats,
            time_budget_seconds=self.time_budget_seconds,
            max_latency_ms=self.max_latency_ms,
            interpretable=self.interpretable,
            candidates=self.candidates,
            device=self.device,
            random_state=self.random_state,
            isolate=self._isolates(),
        )
        self.best_estimator_ = self.advice_.best_estimator
        self.recommendation_ = self.advice_.recommendation
        self.leaderboard_ = self.advice_.leaderboard
        if self._task == "classification":
            self.classes_ = np.asarray(self.best_estimator_.classes_)
        return self

    def _isolates(self) -> bool:
        """Child processes cost seconds, so they run where something has to be measured or held."""
        if self.isolate == "auto":
            return self.max_latency_ms is not None or self.time_budget_seconds is not None
        if not isinstance(self.isolate, bool):
            raise ValueError(f"isolate must be True, False or 'auto'; got {self.isolate!r}.")
        return self.isolate

    @abstractmethod
    def _check_target(self, y: Any) -> np.ndarray:
        """Return y as an array, checked for the task."""

    def _read(self, X: Any, *, reset: bool) -> pd.DataFrame:
        """Return the rows as a table; an array gets the column names x0, x1, ..."""
        if isinstance(X, pd.DataFrame):
            if reset and X.shape[0] < 2:
                raise ValueError(f"Found {X.shape[0]} samples while a minimum of 2 is required.")
            validate_data(self, X, reset=reset, skip_check_array=True)
            return X
        if sparse.issparse(X):
            raise TypeError(
                "Sparse data was passed for X, but dense data is required. Use '.toarray()' to "
                "convert to a dense numpy array."
            )
        array = check_array(
            X,
            dtype=None,
            ensure_all_finite=False,
            ensure_min_samples=2 if reset else 1,
            estimator=self,
        )
        validate_data(self, X, reset=reset, skip_check_array=True)
        return pd.DataFrame(array, columns=[f"x{j}" for j in range(array.shape[1])])

    def predict(self, X: Any) -> np.ndarray:
        """Return the prediction of the recommended model for each row, shape (n,).

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, d)
            Rows with the columns of fit.
        """
        check_is_fitted(self)
        return np.asarray(self.best_estimator_.predict(self._read(X, reset=False)))

    def __sklearn_tags__(self) -> Any:
        """Say what tables may hold."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.input_tags.sparse = False
        return tags

    def _repr_html_inner(self) -> str:
        """Show the leaderboard once there is one, in notebooks."""
        html = str(super()._repr_html_inner())
        if not hasattr(self, "advice_"):
            return html
        return leaderboard_html(self.advice_) + html


def leaderboard_html(advice: Advice) -> str:
    """Return the recommendation and the leaderboard as HTML."""
    label = escape(str(advice.protocol["metric"]))
    head = "".join(f"<th>{name}</th>" for name in ("candidate", label, "±", "verdict", "fit s"))
    lines = []
    for row in advice.rows:
        if row.score_mean is None:
            cells = f"<td>{escape(row.name)}</td><td colspan='4'>{escape(row.status)}</td>"
        else:
            texts = (
                row.name,
                number(row.score_mean),
                number(row.score_std),
                (row.verdict or "").replace("_", " "),
                number(row.fit_seconds),
            )
            cells = "".join(f"<td>{escape(text)}</td>" for text in texts)
        lines.append(f"<tr>{cells}</tr>")
    said = "" if advice.recommendation is None else escape(advice.recommendation.summary)
    return (
        f"<p>{said}</p><table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    )


class AdvisorClassifier(ClassifierMixin, _Advisor):
    """Classifier that compares families of models on the data and becomes the best of them.

    `fit` runs a prior-only baseline, logistic regression, gradient boosted trees, a random
    forest and a neural network on the same stratified folds, all preprocessing inside them,
    compares them with corrected paired statistics, and fits the recommended pipeline on all
    rows. `advise` is the same as a function, with progress and files.

    Parameters
    ----------
    time_budget_seconds : float or None, default=None
        Time for `fit`. Candidates that do not fit in are stopped or skipped.
    metric : {"auto", "log_loss", "accuracy", "balanced_accuracy", "roc_auc"}, default="auto"
        What decides; "auto" is log-loss.
    n_folds, n_repeats : int, default=5 and 1
        Folds and repeats; fewer folds where a class has fewer rows.
    max_latency_ms : float or None, default=None
        Recommend a model that answers 95 % of single rows within this time.
    interpretable : bool, default=False
        Recommend a model that can be read.
    candidates : sequence of str or None, default=None
        Of "prior", "logistic_regression", "xgboost", "random_forest", "mlp"; None means all.
    isolate : bool or "auto", default="auto"
        Run each candidate in a child process, which measures memory and latency and can be
        stopped in time. "auto" does so where a time budget or a latency is given.
    device : {"auto", "cpu", "cuda", "mps"}, default="auto"
        For the candidates that can use an accelerator.
    random_state : int, RandomState instance or None, default=None
        Seeds folds and candidates.

    Attributes
    ----------
    classes_ : ndarray of shape (k,)
        Labels the model predicts; a class with a single row is left out.
    best_estimator_ : Pipeline
        The recommended pipeline, fitted on all rows.
    recommendation_ : Recommendation
        Which candidate and why, in words.
    leaderboard_ : DataFrame
        One candidate a row; columns as in `mlfund.advisor.advice.LeaderboardRow`.
    advice_ : Advice
        Everything, as from `advise`.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    See Also
    --------
    mlfund.advise : The same for a task it finds itself, with a report.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from mlfund import AdvisorClassifier
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> advisor = AdvisorClassifier(candidates=["prior", "logistic_regression"], random_state=0)
    >>> advisor.fit(X, y).recommendation_.name
    'logistic_regression'
    >>> advisor.score(X, y) > 0.95
    True
    """

    _task = "classification"

    def _check_target(self, y: Any) -> np.ndarray:
        if y is None:
            raise ValueError(_REQUIRES_Y.format(type(self).__name__))
        target = column_or_1d(y, warn=True)
        present = target[~pd.isna(target)]
        check_classification_targets(present)
        return target

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, shape (n, k), in the order of `classes_`.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, d)
            Rows with the columns of fit.
        """
        check_is_fitted(self)
        return np.asarray(self.best_estimator_.predict_proba(self._read(X, reset=False)))


class AdvisorRegressor(RegressorMixin, _Advisor):
    """Regressor that compares families of models on the data and becomes the best of them.

    As `AdvisorClassifier`, with ridge regression as the linear candidate, RMSE as the main
    metric and folds drawn by chance.

    Parameters
    ----------
    time_budget_seconds : float or None, default=None
        Time for `fit`. Candidates that do not fit in are stopped or skipped.
    metric : {"auto", "rmse", "mae", "r2"}, default="auto"
        What decides; "auto" is RMSE.
    n_folds, n_repeats : int, default=5 and 1
        Folds and repeats.
    max_latency_ms : float or None, default=None
        Recommend a model that answers 95 % of single rows within this time.
    interpretable : bool, default=False
        Recommend a model that can be read.
    candidates : sequence of str or None, default=None
        Of "prior", "ridge_regression", "xgboost", "random_forest", "mlp"; None means all.
    isolate : bool or "auto", default="auto"
        Run each candidate in a child process, which measures memory and latency and can be
        stopped in time. "auto" does so where a time budget or a latency is given.
    device : {"auto", "cpu", "cuda", "mps"}, default="auto"
        For the candidates that can use an accelerator.
    random_state : int, RandomState instance or None, default=None
        Seeds folds and candidates.

    Attributes
    ----------
    best_estimator_, recommendation_, leaderboard_, advice_, n_features_in_, feature_names_in_
        As in `AdvisorClassifier`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from mlfund import AdvisorRegressor
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> advisor = AdvisorRegressor(candidates=["prior", "ridge_regression"], random_state=0)
    >>> advisor.fit(X, y).recommendation_.family
    'linear'
    """

    _task = "regression"

    def _check_target(self, y: Any) -> np.ndarray:
        if y is None:
            raise ValueError(_REQUIRES_Y.format(type(self).__name__))
        return column_or_1d(y, warn=True)


# The wording scikit-learn's checks look for.
_REQUIRES_Y = "{} requires y to be passed, but the target y is None."
