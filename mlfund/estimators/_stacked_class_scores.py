"""Classification metrics of many models at once.

Each takes the responses and the metric's own options, and returns one value a model, (m,).
NaN, or None for all models, means that scikit-learn's function must decide: what is
undefined there, warned of or refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlfund.estimators._stacked_responses import ClassifierResponses

Scores = NDArray[np.float64] | None


def accuracy(said: ClassifierResponses) -> Scores:
    """Return the weighted shares of rows with the right class."""
    return said.average(said.predicted == said.code)


def balanced_accuracy(said: ClassifierResponses, *, adjusted: bool = False) -> Scores:
    """Return the means of the recalls of the classes."""
    counts = said.confusion
    recall = _ratio(np.diagonal(counts, axis1=1, axis2=2), counts.sum(axis=2))
    present = _present(said)
    n_present = present.sum(axis=1).astype(np.float64)
    n_present[n_present < 2] = np.nan
    score = np.where(present, recall, 0.0).sum(axis=1) / n_present
    if adjusted:
        chance = _ratio(np.ones(len(score)), n_present)
        score = _ratio(score - chance, 1 - chance)
    return score


def matthews(said: ClassifierResponses) -> Scores:
    """Return the correlations of true and predicted classes."""
    counts = said.confusion
    true, predicted = counts.sum(axis=2), counts.sum(axis=1)
    n, right = true.sum(axis=1), np.trace(counts, axis1=1, axis2=2)
    both = right * n - (true * predicted).sum(axis=1)
    spreads = (n**2 - (predicted**2).sum(axis=1)) * (n**2 - (true**2).sum(axis=1))
    spreads[spreads <= 0] = np.nan
    return both / np.sqrt(spreads)


def precision(said: ClassifierResponses, **options: Any) -> Scores:
    """Return the shares of right rows among those given a class."""
    return _by_label(said, lambda right, true, given: (right, given), **options)


def recall(said: ClassifierResponses, **options: Any) -> Scores:
    """Return the shares of right rows among those of a class."""
    return _by_label(said, lambda right, true, given: (right, true), **options)


def jaccard(said: ClassifierResponses, **options: Any) -> Scores:
    """Return the shares of right rows among those of a class or given it."""
    return _by_label(said, lambda right, true, given: (right, true + given - right), **options)


def fbeta(said: ClassifierResponses, *, beta: float = 1.0, **options: Any) -> Scores:
    """Return the weighted harmonic means of precision and recall."""
    if not 0 < beta < np.inf:
        return None
    b = beta**2
    return _by_label(
        said, lambda right, true, given: ((1 + b) * right, b * true + given), **options
    )


def _by_label(
    said: ClassifierResponses,
    parts: Any,
    *,
    average: str | None = "binary",
    pos_label: Any = 1,
    labels: Any = None,
) -> Scores:
    """Average a ratio of counts (right, true, given; each (m, K)) over the classes."""
    counts = said.confusion
    right = np.diagonal(counts, axis1=1, axis2=2)
    true, given = counts.sum(axis=2), counts.sum(axis=1)
    if average == "binary":
        at = np.flatnonzero(said.classes == pos_label)
        if len(said.classes) != 2 or len(at) != 1:
            return None
        return _ratio(*parts(right, true, given))[:, at[0]]
    if pos_label not in (None, 1) or not _all_labels(said, labels):
        return None
    above, below = parts(right, true, given)
    if average == "micro":
        return _ratio(above.sum(axis=1), below.sum(axis=1))
    counted = _present(said) if labels is None else np.ones(right.shape, dtype=bool)
    ratio = np.where(counted, _ratio(above, below), 0.0)
    if average == "macro":
        return ratio.mean(axis=1, where=counted)
    if average == "weighted":
        return _ratio((ratio * true).sum(axis=1), true.sum(axis=1))
    return None


def log_loss(said: ClassifierResponses, *, labels: Any = None) -> Scores:
    """Return the means of -log of the probability of the true class."""
    proba = said.proba
    if proba is None or not _all_labels(said, labels):
        return None
    if labels is None and not said.all_present:
        return None
    if len(said.classes) == 2:
        # p or 1 - p
        own = proba[..., 1] - (said.code == 0)
        np.abs(own, out=own)
    else:
        own = np.take_along_axis(proba, said.code[None, :, None], axis=2)[..., 0]
    proper, eps = _proper(proba), np.finfo(proba.dtype).eps
    np.clip(own, eps, 1 - eps, out=own)
    scores = -said.average(np.log(own, out=own))
    return np.where(proper, scores, np.nan)


def brier(said: ClassifierResponses) -> Scores:
    """Return the mean squared errors of the probabilities."""
    proba = said.proba
    if proba is None or not said.all_present:
        return None
    if len(said.classes) == 2:
        # For other labels scikit-learn wants to be told which one is the positive.
        if said.classes.dtype.kind not in "iufb" or said.classes.tolist() not in ([0, 1], [-1, 1]):
            return None
        scores = said.average((proba[..., 1] - (said.code == 1)) ** 2)
    else:
        truth = np.eye(len(said.classes), dtype=proba.dtype)[said.code]
        scores = said.average(((proba - truth) ** 2).sum(axis=2))
    return np.where(_proper(proba), scores, np.nan)


def roc_auc(
    said: ClassifierResponses,
    *,
    method: str,
    multi_class: str = "raise",
    average: str | None = "macro",
) -> Scores:
    """Return the areas under the ROC curve; of each class against the rest for "ovr"."""
    if not said.all_present:
        return None
    if len(said.classes) == 2:
        return _areas(said, positive_scores(said, method, 1), said.code == 1, _roc_area)
    proba = said.proba
    if method != "predict_proba" or proba is None or multi_class != "ovr":
        return None
    if average not in ("macro", "weighted"):
        return None
    of_class = np.eye(len(said.classes), dtype=bool)[:, said.code]
    areas = np.empty((len(of_class), len(proba)))
    for number, member in enumerate(of_class):
        found = _areas(said, proba[..., number], member, _roc_area)
        areas[number] = np.nan if found is None else found
    share = np.ones(len(of_class))
    if average == "weighted":
        share = of_class @ (np.ones(len(said.code)) if said.weights is None else said.weights)
    return np.where(_proper(proba), share @ areas / share.sum(), np.nan)


def average_precision(said: ClassifierResponses, *, method: str, pos_label: Any = 1) -> Scores:
    """Return the areas under the precision-recall curve, by steps."""
    at = np.flatnonzero(said.classes == pos_label)
    if len(said.classes) != 2 or len(at) != 1 or not said.all_present:
        return None
    scores = positive_scores(said, method, int(at[0]))
    return _areas(said, scores, said.code == at[0], _precision_area)


def positive_scores(said: ClassifierResponses, method: str, positive: int) -> NDArray | None:
    """Return scores, (m, r), that are large where one of two classes is likely."""
    if method == "decision_function":
        raw = said.raw[..., 0]
        return raw if positive == 1 else -raw
    return None if said.proba is None else said.proba[..., positive]


def _areas(said: ClassifierResponses, scores: NDArray | None, member: NDArray, area: Any) -> Scores:
    """Return an area under a curve of thresholds for each model."""
    if scores is None:
        return None
    weights = np.ones(len(member)) if said.weights is None else said.weights.astype(np.float64)
    inside, outside = weights * member, weights * ~member
    if not (inside.sum() > 0 and outside.sum() > 0):
        return None
    found = np.full(len(scores), np.nan)
    members, others = np.flatnonzero(member), np.flatnonzero(~member)
    for model in np.flatnonzero(np.isfinite(scores).all(axis=1)):
        if said.weights is None and area is _roc_area:
            found[model] = _share_of_pairs(scores[model, members], scores[model, others])
            continue
        order = np.argsort(-scores[model])
        falling = scores[model, order]
        last = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(order) - 1)
        found[model] = area(inside[order].cumsum()[last], outside[order].cumsum()[last])
    return found


def _share_of_pairs(inside: NDArray, outside: NDArray) -> float:
    """Return the area under the ROC curve as the share of pairs in the right order.

    Two sorts of values take a third of the time of one that keeps track of the rows.
    """
    inside, outside = np.sort(inside), np.sort(outside)
    below = np.searchsorted(outside, inside, side="left").sum()
    not_above = np.searchsorted(outside, inside, side="right").sum()
    return float((below + not_above) / (2 * len(inside) * len(outside)))


def _roc_area(inside: NDArray, outside: NDArray) -> float:
    """Return the area under the curve through the cumulated weights, from (0, 0)."""
    steps = np.diff(outside, prepend=0.0)
    area = steps @ inside - 0.5 * (steps @ np.diff(inside, prepend=0.0))
    return float(area / (inside[-1] * outside[-1]))


def _precision_area(inside: NDArray, outside: NDArray) -> float:
    with np.errstate(invalid="ignore"):
        shares = np.where(inside > 0, inside / (inside + outside), 0.0)
    return float(np.diff(inside, prepend=0.0) @ shares / inside[-1])


def _present(said: ClassifierResponses) -> NDArray[np.bool_]:
    """Return which classes are true or predicted of some row, (m, K), whatever its weight."""
    counts = said.confusion if said.weights is None else said.count(None)
    return (counts.sum(axis=1) + counts.sum(axis=2)) > 0


def _all_labels(said: ClassifierResponses, labels: Any) -> bool:
    return labels is None or np.array_equal(labels, said.classes)


def _proper(proba: NDArray) -> NDArray[np.bool_]:
    """Return which models' probabilities lie in [0, 1] and sum to one, (m,)."""
    within = (proba.min(axis=(1, 2)) >= 0) & (proba.max(axis=(1, 2)) <= 1)
    if proba.shape[2] == 2:
        return within
    tolerance = np.sqrt(np.finfo(proba.dtype).eps)
    return within & (np.abs(proba.sum(axis=2) - 1) <= tolerance).all(axis=1)


def _ratio(above: NDArray, below: NDArray) -> NDArray[np.float64]:
    """Return quotients, NaN where the denominator is 0."""
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below != 0)
