"""Scores of many models on the same rows at once, equal to scikit-learn's.

What scikit-learn defines, warns of or refuses in a case out of the ordinary is left to its
own function: for such models the score here is NaN, and the caller asks it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.metrics._scorer import _Scorer

from mlfund.estimators import _stacked_class_scores as of_classes
from mlfund.estimators import _stacked_value_scores as of_values
from mlfund.estimators._stacked_responses import ClassifierResponses, RegressorResponses

Responses = ClassifierResponses | RegressorResponses

# By scikit-learn's metric: the response that it wants, its function here, and the options
# that the function knows (others are left to scikit-learn).
_AVERAGED = ("average", "pos_label", "labels")
_ANY_SCORE = ("decision_function", "predict_proba")
_METRICS: dict[Callable[..., Any], tuple[Any, Callable[..., Any], tuple[str, ...]]] = {
    metrics.accuracy_score: ("predict", of_classes.accuracy, ()),
    metrics.balanced_accuracy_score: ("predict", of_classes.balanced_accuracy, ("adjusted",)),
    metrics.matthews_corrcoef: ("predict", of_classes.matthews, ()),
    metrics.f1_score: ("predict", of_classes.fbeta, _AVERAGED),
    metrics.fbeta_score: ("predict", of_classes.fbeta, (*_AVERAGED, "beta")),
    metrics.precision_score: ("predict", of_classes.precision, _AVERAGED),
    metrics.recall_score: ("predict", of_classes.recall, _AVERAGED),
    metrics.jaccard_score: ("predict", of_classes.jaccard, _AVERAGED),
    metrics.log_loss: ("predict_proba", of_classes.log_loss, ("labels",)),
    metrics.brier_score_loss: ("predict_proba", of_classes.brier, ()),
    metrics.roc_auc_score: (_ANY_SCORE, of_classes.roc_auc, ("multi_class", "average")),
    metrics.average_precision_score: (_ANY_SCORE, of_classes.average_precision, ("pos_label",)),
    metrics.r2_score: ("predict", of_values.r2, ()),
    metrics.mean_squared_error: ("predict", of_values.mean_squared, ()),
    metrics.root_mean_squared_error: ("predict", of_values.root_mean_squared, ()),
    metrics.mean_absolute_error: ("predict", of_values.mean_absolute, ()),
    metrics.median_absolute_error: ("predict", of_values.median_absolute, ()),
    metrics.max_error: ("predict", of_values.largest, ()),
}
# Metrics of classes that probabilities or margins are not needed for, and the others.
_OF_VALUES = {metric for metric, entry in _METRICS.items() if "value" in entry[1].__module__}


def stacked_scores(
    scorer: Any, responses: Responses, methods: frozenset[str]
) -> NDArray[np.float64] | None:
    """Return the scores of all models by a scorer, (m,), larger is better.

    Parameters
    ----------
    scorer : callable
        What scikit-learn's `make_scorer` or `get_scorer` returned.
    responses : ClassifierResponses or RegressorResponses
        Their weights are those that the scorer gets.
    methods : frozenset of str
        The methods that the estimators have.

    Returns
    -------
    scores : ndarray of shape (m,), or None
        NaN where scikit-learn must decide; None if it must for all models.
    """
    if type(scorer) is not _Scorer or scorer._score_func not in _METRICS:
        return None
    wanted, _, _ = _METRICS[scorer._score_func]
    method = _response_method(scorer._response_method, methods)
    if method is None or method not in (wanted if isinstance(wanted, tuple) else (wanted,)):
        return None
    scores = stacked_metric(scorer._score_func, responses, scorer._kwargs, method)
    return None if scores is None else scorer._sign * scores


def stacked_metric(
    metric: Callable[..., Any],
    responses: Responses,
    options: Mapping[str, Any] | None = None,
    method: str = "predict",
) -> NDArray[np.float64] | None:
    """Return a metric of scikit-learn for all models, (m,); see `stacked_scores`."""
    if metric not in _METRICS:
        return None
    wanted, function, known = _METRICS[metric]
    options = dict(options or {})
    of_values = isinstance(responses, RegressorResponses)
    if not set(options) <= set(known) or of_values != (metric in _OF_VALUES):
        return None
    weights = responses.weights
    if weights is not None and not _ordinary(weights):
        return None
    if isinstance(wanted, tuple):
        options["method"] = method
    scores = function(responses, **options)
    return None if scores is None else np.where(np.isfinite(scores), scores, np.nan)


def _response_method(wanted: Any, methods: frozenset[str]) -> str | None:
    """Return the first of the wanted methods that the estimators have."""
    names = [wanted] if isinstance(wanted, str) else wanted
    return next((name for name in names if name in methods), None)


def _ordinary(weights: NDArray[Any]) -> bool:
    return bool(weights.ndim == 1 and (weights >= 0).all() and 0 < weights.sum() < np.inf)
