"""From measured folds to the rows of the leaderboard, with paired comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mlfund.advisor.advice import LeaderboardRow
from mlfund.advisor.benchmark import Measured
from mlfund.advisor.scores import Metric
from mlfund.advisor.statistics import corrected_posterior, verdict


@dataclass(frozen=True)
class Leaderboard:
    """The outcome of a benchmark.

    Attributes
    ----------
    rows : tuple of LeaderboardRow
        Complete ones by score, then partial ones by score, then those without a score.
    metric : Metric
        The main one.
    equivalence : float
        Half-width of its region of practical equivalence.
    test_to_train : float
        Test rows per training row of a fold.
    scores : dict of str to ndarray
        Fold scores, greater is better, of the candidates that can be compared: the complete
        ones, or those with at least two folds as long as only baselines are complete. All have
        the same folds.
    """

    rows: tuple[LeaderboardRow, ...]
    metric: Metric
    equivalence: float
    test_to_train: float
    scores: Mapping[str, np.ndarray]

    def row(self, name: str) -> LeaderboardRow:
        """Return the row of a candidate."""
        return next(row for row in self.rows if row.name == name)


def make_leaderboard(
    measured: Sequence[Measured], metric: Metric, equivalence: float, test_fraction: float
) -> Leaderboard:
    """Order the candidates and compare each with the best."""
    sign = 1.0 if metric.greater_is_better else -1.0
    test_to_train = test_fraction / (1 - test_fraction)
    comparable = _comparable(measured)
    n_shared = min((len(one.metrics) for one in comparable), default=0)
    scores = {one.candidate.name: sign * one.scores(metric.name)[:n_shared] for one in comparable}
    best = max(scores, key=lambda name: float(scores[name].mean()), default=None)

    def rank(one: Measured) -> tuple[int, float]:
        if not one.metrics:
            return 2, 0.0
        return int(one.candidate.name not in scores), -sign * float(one.scores(metric.name).mean())

    rows = [_row(one, metric) for one in sorted(measured, key=rank)]
    if best is not None:
        by_name = {one.candidate.name: sign * one.scores(metric.name) for one in measured}
        rows = [
            _compared(row, by_name, best, sign, equivalence, test_to_train)
            if row.name != best and len(by_name[row.name]) >= 2
            else row
            for row in rows
        ]
        rivals = [row for row in rows if row.name in scores and row.name != best]
        rows = [_crowned(row, rivals) if row.name == best else row for row in rows]
    return Leaderboard(tuple(rows), metric, equivalence, test_to_train, scores)


def _comparable(measured: Sequence[Measured]) -> list[Measured]:
    complete = [one for one in measured if one.status == "ok" and len(one.metrics) >= 2]
    if any(one.candidate.family != "baseline" for one in complete):
        return complete
    started = [
        one for one in measured if one.status.startswith("partial") and len(one.metrics) >= 2
    ]
    return complete + started


def _row(one: Measured, metric: Metric) -> LeaderboardRow:
    row = LeaderboardRow(one.candidate.name, one.candidate.family, one.status)
    if not one.metrics:
        return row
    scores = one.scores(metric.name)
    return replace(
        row,
        score_mean=float(scores.mean()),
        score_std=float(scores.std(ddof=1)) if len(scores) > 1 else None,
        metrics={name: float(one.scores(name).mean()) for name in one.metrics[0]},
        fit_seconds=float(np.mean(one.fit_seconds)),
        peak_memory_bytes=one.peak_memory_bytes,
        fold_scores=tuple(scores.tolist()),
        **one.costs,
    )


def _compared(
    row: LeaderboardRow,
    scores: Mapping[str, np.ndarray],
    best: str,
    sign: float,
    equivalence: float,
    test_to_train: float,
) -> LeaderboardRow:
    """Add the paired comparison with the best row, on the folds both have."""
    n_shared = min(len(scores[row.name]), len(scores[best]))
    if n_shared < 2:
        return row
    advantage = corrected_posterior(
        scores[row.name][:n_shared] - scores[best][:n_shared], test_to_train
    )
    low, high = advantage.interval()
    return replace(
        row,
        diff_to_best=sign * advantage.mean,
        diff_ci95=(low, high) if sign > 0 else (-high, -low),
        verdict=verdict(advantage, equivalence),
    )


def _crowned(best: LeaderboardRow, rivals: Sequence[LeaderboardRow]) -> LeaderboardRow:
    """Give the best row its verdict against all others together."""
    others = {row.verdict for row in rivals}
    # the most doubtful of the comparisons: "better" only where every other row is worse
    crowns = {"undecided": "undecided", "practically_equal": "practically_equal"}
    crown = next((crowns[one] for one in crowns if one in others), "better")
    if not others:
        crown = "undecided"
    return replace(best, diff_to_best=0.0, diff_ci95=(0.0, 0.0), verdict=crown)
