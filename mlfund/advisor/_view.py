"""The leaderboard of an advice as rows to show, read from its dictionary form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mlfund.advisor._words import MetricWords, metric_words, model_label


@dataclass(frozen=True)
class ModelRow:
    """One model of the leaderboard.

    Attributes
    ----------
    name, family, verdict, status : str
        As in advice.json.
    score : float or None
        Mean over the folds; None where the model did not finish.
    score_range : tuple of two floats or None
        Corrected 95 % interval of the mean.
    fold_scores : tuple of float
        One score a fold.
    difference, difference_range : float and tuple of two floats, or None
        To the best model, on the same folds.
    fit_seconds, latency_ms, latency_p95_ms, peak_bytes, model_bytes : float or None
        What the model costs.
    metrics : dict
        Every metric to its mean over the folds.
    recommended : bool
        Whether this is the model of the recommendation.
    """

    name: str
    family: str
    verdict: str
    status: str
    score: float | None
    score_range: tuple[float, float] | None
    fold_scores: tuple[float, ...]
    difference: float | None
    difference_range: tuple[float, float] | None
    fit_seconds: float | None
    latency_ms: float | None
    latency_p95_ms: float | None
    peak_bytes: float | None
    model_bytes: float | None
    metrics: Mapping[str, float]
    recommended: bool

    @property
    def label(self) -> str:
        """The name as people write it."""
        return model_label(self.name)


def model_rows(advice: Mapping[str, Any]) -> list[ModelRow]:
    """Return the models of an advice in its order: best first, those without a score last."""
    chosen = (advice.get("recommendation") or {}).get("name")
    folds = advice["protocol"]["folds"]
    return [_row(entry, folds, entry["name"] == chosen) for entry in advice["leaderboard"]]


def metric_of(advice: Mapping[str, Any]) -> MetricWords:
    """Return label and direction of the metric that decided."""
    protocol = advice["protocol"]
    words = metric_words(protocol["metric"])
    return replace(
        words, greater_is_better=protocol.get("greater_is_better", words.greater_is_better)
    )


def headline(advised: Mapping[str, Any]) -> tuple[str, str]:
    """Return the title of a recommendation and the sentences that follow it.

    Examples
    --------
    >>> headline({"name": "x", "estimator": "trees", "summary": "Use trees: log-loss 0.3."})
    ('Use trees', 'Log-loss 0.3.')
    """
    title = f"Use {advised.get('estimator') or model_label(advised['name'])}"
    summary = str(advised.get("summary") or "")
    if summary.startswith(f"{title}: "):
        rest = summary.removeprefix(f"{title}: ")
        return title, rest[:1].upper() + rest[1:]
    if advised.get("family") == "baseline":
        return "No model beats the baseline", summary
    return title, summary


def score_interval(fold_scores: tuple[float, ...], n_folds: int) -> tuple[float, float] | None:
    r"""Return the corrected 95 % interval of a mean over folds.

    The variance of the J scores is multiplied by :math:`1/J + 1/(k - 1)`: training
    sets overlap, so fold scores are not independent [1]_.

    References
    ----------
    .. [1] Nadeau, C. and Bengio, Y. (2003). Inference for the generalization
       error. Machine Learning 52, 239-281.

    Examples
    --------
    >>> low, high = score_interval((0.90, 0.92, 0.91, 0.93, 0.89), 5)
    >>> round(low, 4), round(high, 4)
    (0.8806, 0.9394)
    """
    import numpy as np
    from scipy import stats

    n = len(fold_scores)
    if n < 2 or n_folds < 2:
        return None
    spread = np.std(fold_scores, ddof=1) * math.sqrt(1 / n + 1 / (n_folds - 1))
    half = float(stats.t.ppf(0.975, n - 1) * spread)
    mean = float(np.mean(fold_scores))
    return mean - half, mean + half


def _row(entry: Mapping[str, Any], folds: int, recommended: bool) -> ModelRow:
    score = _number(entry.get("score_mean"))
    fold_scores = tuple(
        value for item in entry.get("fold_scores") or () if (value := _number(item)) is not None
    )
    bounds = [_number(bound) for bound in entry.get("diff_ci95") or (None, None)]
    low, high = bounds
    return ModelRow(
        name=str(entry["name"]),
        family=str(entry["family"]),
        verdict=str(entry.get("verdict") or ""),
        status=str(entry.get("status") or ""),
        score=score,
        score_range=score_interval(fold_scores, folds),
        fold_scores=fold_scores,
        difference=_number(entry.get("diff_to_best")),
        difference_range=None if low is None or high is None else (low, high),
        fit_seconds=_number(entry.get("fit_seconds")),
        latency_ms=_number(entry.get("latency_ms_p50")),
        latency_p95_ms=_number(entry.get("latency_ms_p95")),
        peak_bytes=_number(entry.get("peak_memory_bytes")),
        model_bytes=_number(entry.get("model_bytes")),
        metrics={
            key: value
            for key, item in (entry.get("metrics") or {}).items()
            if (value := _number(item)) is not None
        },
        recommended=recommended,
    )


def _number(value: Any) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return float(value)
