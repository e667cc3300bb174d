"""The metrics of the benchmark, and how much of each is too little to matter.

The main metric is log-loss for classes and RMSE for numbers unless the user chooses. Both are
strictly proper for what the candidates estimate (probabilities, conditional means), so no
candidate gains by reporting anything but its best estimate; accuracy, by contrast, ignores the
probabilities, and ROC-AUC ignores whether they are calibrated (Gneiting and Raftery, Strictly
Proper Scoring Rules, Prediction, and Estimation, JASA 102, 2007).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from mlfund._check import DataError, check_choice

# Two candidates closer than this are called equal in practice: a hundredth of the scale of
# the metric. Bounded metrics have scale 1; the others have the score of the best constant
# prediction as their scale.
EQUIVALENCE_SHARE = 0.01


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes
    ----------
    name, label : str
        In the interface, and in running text.
    task : str
        "classification" or "regression".
    greater_is_better : bool
        Direction.
    value : callable
        ``value(y, predicted, classes)``; `predicted` is (n, k) probabilities of `classes`
        for classification, (n,) numbers for regression.
    of_constant : callable
        ``of_constant(y)``: the scale of the metric on this target.
    """

    name: str
    label: str
    task: str
    greater_is_better: bool
    value: Callable[[np.ndarray, np.ndarray, np.ndarray | None], float]
    of_constant: Callable[[np.ndarray], float] = lambda y: 1.0

    def equivalence(self, y: np.ndarray) -> float:
        """Return the half-width of the region of practical equivalence on this target."""
        return EQUIVALENCE_SHARE * self.of_constant(y)


def _log_loss(y: np.ndarray, proba: np.ndarray, classes: np.ndarray | None) -> float:
    position = np.searchsorted(_known(classes), y)
    chosen = proba[np.arange(len(y)), position].astype(np.float64)
    # the smallest double above 0 in relative terms, as in scikit-learn
    return float(-np.log(np.clip(chosen, np.finfo(np.float64).eps, 1.0)).mean())


def _accuracy(y: np.ndarray, proba: np.ndarray, classes: np.ndarray | None) -> float:
    return float(np.mean(_known(classes)[proba.argmax(axis=1)] == y))


def _balanced_accuracy(y: np.ndarray, proba: np.ndarray, classes: np.ndarray | None) -> float:
    right = _known(classes)[proba.argmax(axis=1)] == y
    return float(np.mean([right[y == label].mean() for label in np.unique(y)]))


def _roc_auc(y: np.ndarray, proba: np.ndarray, classes: np.ndarray | None) -> float:
    """Area under the ROC curve; with more than two classes the mean of one against the rest."""
    known = _known(classes)
    columns = [1] if len(known) == 2 else range(len(known))
    areas = [
        _area(y == known[j], proba[:, j])
        for j in columns
        if 0 < np.count_nonzero(y == known[j]) < len(y)
    ]
    return float(np.mean(areas)) if areas else float("nan")


def _area(positive: np.ndarray, score: np.ndarray) -> float:
    """Return the share of pairs in the right order (Mann-Whitney), a tie counting one half."""
    n_positive = np.count_nonzero(positive)
    rank_sum = rankdata(score)[positive].sum()
    n_pairs = n_positive * (len(positive) - n_positive)
    return float((rank_sum - n_positive * (n_positive + 1) / 2) / n_pairs)


def _known(classes: np.ndarray | None) -> np.ndarray:
    if classes is None:
        raise ValueError("A metric of classification needs the classes of the columns.")
    return classes


def _rmse(y: np.ndarray, predicted: np.ndarray, classes: np.ndarray | None) -> float:
    return float(np.sqrt(np.mean((y - predicted) ** 2)))


def _mae(y: np.ndarray, predicted: np.ndarray, classes: np.ndarray | None) -> float:
    return float(np.mean(np.abs(y - predicted)))


def _r2(y: np.ndarray, predicted: np.ndarray, classes: np.ndarray | None) -> float:
    spread = np.sum((y - y.mean()) ** 2)
    return float(1 - np.sum((y - predicted) ** 2) / spread) if spread > 0 else float("nan")


def _entropy(y: np.ndarray) -> float:
    _, counts = np.unique(y, return_counts=True)
    share = counts / len(y)
    return float(-(share * np.log(share)).sum())


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("log_loss", "log-loss", "classification", False, _log_loss, _entropy),
        Metric("accuracy", "accuracy", "classification", True, _accuracy),
        Metric(
            "balanced_accuracy", "balanced accuracy", "classification", True, _balanced_accuracy
        ),
        Metric("roc_auc", "ROC-AUC", "classification", True, _roc_auc),
        Metric("rmse", "RMSE", "regression", False, _rmse, lambda y: float(np.std(y))),
        Metric(
            "mae",
            "MAE",
            "regression",
            False,
            _mae,
            lambda y: float(np.mean(np.abs(y - np.median(y)))),
        ),
        Metric("r2", "R2", "regression", True, _r2),
    )
}
MAIN_METRIC = {"classification": "log_loss", "regression": "rmse"}


def metrics_of(task: str) -> list[Metric]:
    """Return all metrics of a task."""
    return [metric for metric in METRICS.values() if metric.task == task]


def get_metric(name: str, task: str) -> Metric:
    """Return the metric of that name, or the main one of the task for "auto"."""
    allowed = ["auto", *(metric.name for metric in metrics_of(task))]
    if name in METRICS and name not in allowed:
        raise DataError(
            f"metric={name!r} is for {METRICS[name].task}, and this is {task}; "
            f"allowed are {', '.join(map(repr, allowed))}."
        )
    check_choice("metric", name, allowed)
    return METRICS[MAIN_METRIC[task] if name == "auto" else name]


def score_all(
    predicted: np.ndarray, y: np.ndarray, task: str, classes: np.ndarray | None
) -> dict[str, float]:
    """Return every metric of the task for what `predict_for` says of rows not seen."""
    return {metric.name: metric.value(y, predicted, classes) for metric in metrics_of(task)}


def confusion(proba: np.ndarray, y: np.ndarray, classes: np.ndarray | None) -> list[list[int]]:
    """Return how many rows of each class (outer list) are taken for each class."""
    known = _known(classes)
    counts = np.zeros((len(known), len(known)), dtype=np.int64)
    np.add.at(counts, (np.searchsorted(known, y), proba.argmax(axis=1)), 1)
    found: list[list[int]] = counts.tolist()
    return found


def predict_for(model: Any, X: Any, task: str, classes: np.ndarray | None) -> np.ndarray:
    """Predict in the form the metrics take: probabilities in the order of `classes`."""
    if task == "regression":
        return np.asarray(model.predict(X), dtype=np.float64).reshape(len(X))
    proba = np.asarray(model.predict_proba(X), dtype=np.float64)
    known = _known(classes)
    if proba.shape[1] == len(known):
        return proba
    # a class that no training row of this fold has
    full = np.zeros((len(proba), len(known)))
    full[:, np.searchsorted(known, model.classes_)] = proba
    return full
