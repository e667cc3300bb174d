"""Which candidate to recommend: the best score, ties decided by cost, limits honoured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlfund.advisor.advice import LeaderboardRow
from mlfund.advisor.leaderboard import Leaderboard
from mlfund.advisor.statistics import corrected_posterior, probability_none_better, verdict

# Families whose models can be read as a table of weights.
INTERPRETABLE_FAMILIES = ("linear", "baseline")


@dataclass(frozen=True)
class Limits:
    """What the user asks of the recommended model.

    Attributes
    ----------
    max_latency_ms : float or None
        95 % of single rows are to be answered within this time.
    interpretable : bool
        Only models that can be read.
    """

    max_latency_ms: float | None = None
    interpretable: bool = False


@dataclass(frozen=True)
class Choice:
    """The decision and what it rests on.

    Attributes
    ----------
    board : Leaderboard
        All candidates.
    limits : Limits
        Of the user.
    row, best : LeaderboardRow
        The recommended one; the best score of all, whatever the limits.
    leader : LeaderboardRow
        The best score among those within the limits.
    equals : tuple of LeaderboardRow
        Within the limits and practically equal to the leader, the leader included.
    limits_met : bool
        False where no candidate is within the limits.
    confidence : float or None
        Probability that no candidate within the limits is better by more than the equivalence.
    """

    board: Leaderboard
    limits: Limits
    row: LeaderboardRow
    best: LeaderboardRow
    leader: LeaderboardRow
    equals: tuple[LeaderboardRow, ...]
    limits_met: bool
    confidence: float | None


def choose(board: Leaderboard, limits: Limits) -> Choice | None:
    """Choose among the candidates that can be compared; None where there is none."""
    rows = [row for row in board.rows if row.name in board.scores]
    if not rows:
        return None
    allowed = [row for row in rows if within(row, limits)]
    limits_met = bool(allowed)
    if not allowed:
        allowed = _nearest_to(rows, limits)
    leader = max(allowed, key=lambda row: float(board.scores[row.name].mean()))
    equals = tuple(row for row in allowed if _equal(board, row.name, leader.name))
    row = min(equals, key=cost_key)
    scores = {one.name: board.scores[one.name] for one in allowed}
    confidence = probability_none_better(scores, row.name, board.equivalence, board.test_to_train)
    return Choice(board, limits, row, rows[0], leader, equals, limits_met, confidence)


def within(row: LeaderboardRow, limits: Limits) -> bool:
    """Say whether a candidate keeps to the limits; one whose latency is unknown does."""
    if limits.interpretable and row.family not in INTERPRETABLE_FAMILIES:
        return False
    if limits.max_latency_ms is None or row.latency_ms_p95 is None:
        return True
    return row.latency_ms_p95 <= limits.max_latency_ms


def cost_key(row: LeaderboardRow) -> tuple[float, float]:
    """Order by cost: latency first where it is known, then the time of a fit."""
    latency = 0.0 if row.latency_ms_p50 is None else row.latency_ms_p50
    return latency, row.fit_seconds or 0.0


def _nearest_to(rows: Sequence[LeaderboardRow], limits: Limits) -> list[LeaderboardRow]:
    """Return what comes nearest to limits that nobody keeps: the fastest of the readable."""
    readable = [row for row in rows if row.family in INTERPRETABLE_FAMILIES]
    pool = readable if limits.interpretable and readable else list(rows)
    learned = [row for row in pool if row.family != "baseline"] or pool
    return [min(learned, key=cost_key)]


def _equal(board: Leaderboard, name: str, leader: str) -> bool:
    if name == leader:
        return True
    difference: np.ndarray = board.scores[name] - board.scores[leader]
    posterior = corrected_posterior(difference, board.test_to_train)
    return verdict(posterior, board.equivalence) == "practically_equal"
