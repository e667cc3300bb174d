"""What the advisor returns: a leaderboard, a recommendation and everything behind them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

# Raised when a key of `Advice.to_dict` changes its meaning or goes away; new keys do not count.
SCHEMA_VERSION = 1

FAMILIES = (
    "baseline",
    "linear",
    "tree_ensemble",
    "gradient_boosting",
    "neural_network",
    "pretrained",
    "ensemble",
)
VERDICTS = ("better", "practically_equal", "worse", "undecided")


@dataclass(frozen=True)
class LeaderboardRow:
    """One candidate as measured; None stands for what was not measured.

    Attributes
    ----------
    name, family : str
        Of the candidate; `family` is one of `FAMILIES`.
    score_mean, score_std : float
        Mean and standard deviation of the main metric over the finished folds.
    metrics : dict
        Every metric of the task to its mean over the folds.
    diff_to_best : float
        Mean paired difference of the main metric, this row less the best row.
    diff_ci95 : tuple of 2 floats
        Its 95 % interval with the Nadeau-Bengio correction.
    verdict : str
        One of `VERDICTS`, against the best row; for the best row against all others.
    fit_seconds : float
        Mean wall-clock time of one fit on the training rows of a fold.
    latency_ms_p50, latency_ms_p95 : float
        One row through the whole fitted pipeline, in milliseconds.
    peak_memory_bytes : int
        Largest resident size of the process that fitted it, less its size before.
    model_bytes : int
        Size of the fitted pipeline as a pickle.
    status : str
        "ok", "partial: ...", "failed: ..." or "skipped: ...".
    fold_scores : tuple of float
        Main metric in each finished fold.
    """

    name: str
    family: str
    status: str
    score_mean: float | None = None
    score_std: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    diff_to_best: float | None = None
    diff_ci95: tuple[float, float] | None = None
    verdict: str | None = None
    fit_seconds: float | None = None
    latency_ms_p50: float | None = None
    latency_ms_p95: float | None = None
    peak_memory_bytes: int | None = None
    model_bytes: int | None = None
    fold_scores: tuple[float, ...] = ()


@dataclass(frozen=True)
class Recommendation:
    """Which candidate to take, and why, in plain words.

    Attributes
    ----------
    name, family : str
        Of the recommended candidate.
    estimator : str
        The model it stands for, in words.
    confidence : float or None
        Probability that no rival is better by more than the region of practical
        equivalence; None with one candidate.
    summary : str
        The advice in one or two sentences.
    reasons, would_change : tuple of str
        Why; and what would change the advice.
    cost, deep_learning : str
        What it costs; deep learning against traditional machine learning on this data.
    alternatives : tuple of dict
        Other candidates worth a look: ``name``, ``family``, ``reason``.
    """

    name: str
    family: str
    estimator: str
    confidence: float | None
    summary: str
    reasons: tuple[str, ...]
    cost: str
    deep_learning: str
    would_change: tuple[str, ...]
    alternatives: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True)
class Advice:
    """The outcome of `advise`.

    Attributes
    ----------
    status : str
        "complete", or "incomplete" while candidates are still to come.
    data, profile, protocol, budget, environment : dict
        As documented for ``advice.json``.
    leakage : tuple of dict
        Findings of the leakage audit.
    rows : tuple of LeaderboardRow
        Best score first, then those without a score.
    recommendation : Recommendation or None
        None until two folds of one candidate are finished.
    warnings : tuple of str
        What was changed or left out, a sentence each.
    importance, learning_curves : tuple of dict
        Of the recommended model, and of the leading candidates.
    code : str
        Python that fits the recommended pipeline again.
    confusion : dict or None
        Of the recommended model on held-out images: ``labels``, and ``counts``, a list for each
        true label.
    best_estimator : estimator or None
        The recommended pipeline, fitted on all rows; None while incomplete.
    """

    status: str
    data: Mapping[str, Any]
    profile: Mapping[str, Any]
    leakage: tuple[Mapping[str, Any], ...]
    protocol: Mapping[str, Any]
    rows: tuple[LeaderboardRow, ...]
    recommendation: Recommendation | None
    budget: Mapping[str, Any]
    environment: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    importance: tuple[Mapping[str, Any], ...] = ()
    learning_curves: tuple[Mapping[str, Any], ...] = ()
    code: str = ""
    confusion: Mapping[str, Any] | None = None
    best_estimator: Any = field(default=None, repr=False)

    @property
    def leaderboard(self) -> pd.DataFrame:
        """The rows as a table, one candidate a row."""
        return pd.DataFrame([asdict(row) for row in self.rows])

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``advice.json``: only dicts, lists, strings, numbers and None.

        Numbers that are not finite become None, since JSON has no other word for them.
        """
        counted = {} if self.confusion is None else {"confusion": self.confusion}
        return plain(
            {
                "schema_version": SCHEMA_VERSION,
                "status": self.status,
                "data": self.data,
                "profile": self.profile,
                "leakage": self.leakage,
                "protocol": self.protocol,
                "leaderboard": [asdict(row) for row in self.rows],
                "recommendation": None
                if self.recommendation is None
                else asdict(self.recommendation),
                "budget": self.budget,
                "environment": self.environment,
                "warnings": self.warnings,
                "importance": self.importance,
                "learning_curves": self.learning_curves,
                "code": self.code,
                **counted,
            }
        )


def plain(value: Any) -> Any:
    """Return `value` in the types JSON knows; anything else becomes its text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    return str(value)
