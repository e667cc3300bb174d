"""What a search asks of every candidate, and the form of the answers."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sklearn.base import clone
from sklearn.metrics._scorer import _MultimetricScorer

# What scikit-learn's `_fit_and_score` returns of one candidate and split, with two more
# entries: "batched", a bool, and "reason", why it was not stacked or None.
Result = dict[str, Any]


@dataclass(frozen=True)
class SearchTask:
    """What every candidate of an evaluation is fitted to and scored by.

    Attributes
    ----------
    estimator : estimator
        Unfitted; a candidate is a clone of it with other parameters.
    X, y : array-like of n rows
        The user's own.
    splits : sequence of (ndarray of int, ndarray of int)
        Rows to train on and to score on.
    scorer : callable
        As `BaseSearchCV._get_scorers` gives it.
    fit_params, score_params : mapping
        Routed to the estimator's `fit` and to the scorer, with one entry a row or without.
    return_train_score : bool
        Whether the training rows are scored too.
    error_score : float or "raise"
        Score of a model that cannot be fitted or scored.
    return_estimator : bool
        Whether results have an entry "estimator", the fitted one (None where it failed).
    """

    estimator: Any
    X: Any
    y: Any
    splits: Sequence[tuple[Any, Any]]
    scorer: Any
    fit_params: Mapping[str, Any]
    score_params: Mapping[str, Any]
    return_train_score: bool
    error_score: Any
    return_estimator: bool = False

    def candidate(self, parameters: Mapping[str, Any]) -> Any:
        """Return the unfitted estimator of a candidate."""
        # values are cloned since they may be estimators themselves
        return clone(self.estimator).set_params(**clone(parameters, safe=False))


@dataclass(frozen=True)
class Evaluated:
    """One candidate on one split; `again` if its model was trained on since it came first."""

    candidate: int
    split: int
    result: Result
    again: bool = False


@dataclass(frozen=True)
class Refused:
    """A candidate that must be fitted by itself on some splits."""

    candidate: int
    splits: Sequence[int]
    reason: str


def failed_result(task: SearchTask, error: Exception) -> Result:
    """Return the scores of a model that could not be trained; raise if these are asked to."""
    if task.error_score == "raise":
        raise error
    scores: Any = task.error_score
    if isinstance(task.scorer, _MultimetricScorer):
        scores = dict.fromkeys(task.scorer._scorers, task.error_score)
    result: Result = {
        "fit_error": "".join(traceback.format_exception(error)),
        "test_scores": scores,
        "score_time": 0.0,
    }
    if task.return_train_score:
        result["train_scores"] = scores.copy() if isinstance(scores, dict) else scores
    if task.return_estimator:
        result["estimator"] = None
    return result
