"""Fit every candidate on the same folds, within the time there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlfund.advisor.budget import Budget, Unlimited
from mlfund.advisor.candidates import Candidate, Setting
from mlfund.advisor.progress import Progress
from mlfund.advisor.runners import Runner
from mlfund.advisor.work import Data, Split, Work
from mlfund.folds import FoldPlan

# A candidate does not start with less time than it takes to start a process and fit once.
_LEAST_SECONDS = 1.0
# A fit on all rows takes longer than one on the training rows of a fold; some air for noise.
_REFIT_FACTOR = 1.5
_REFIT_OVERHEAD_SECONDS = 0.5

CURVE_FRACTIONS = (0.1, 0.3)
CURVE_FOLDS = 2
CURVE_LEADERS = 3
_LEAST_CURVE_ROWS = 50


@dataclass
class Measured:
    """What one candidate did.

    Attributes
    ----------
    candidate : Candidate
        Which one.
    status : str
        As in `LeaderboardRow`.
    metrics : list of dict
        Every metric, fold by fold, in the order of the plan.
    fit_seconds : list of float
        Fold by fold.
    costs : dict
        ``latency_ms_p50``, ``latency_ms_p95``, ``model_bytes``; empty where not measured.
    peak_memory_bytes : int or None
        None without a process of its own.
    confusion : ndarray of shape (k, k) or None
        Test rows of each class taken for each class, over the finished folds.
    """

    candidate: Candidate
    status: str = "ok"
    metrics: list[dict[str, float]] = field(default_factory=list)
    fit_seconds: list[float] = field(default_factory=list)
    costs: dict[str, Any] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    confusion: np.ndarray | None = None

    def scores(self, metric: str) -> np.ndarray:
        """Return one metric over the finished folds."""
        return np.array([fold[metric] for fold in self.metrics])


class Benchmark:
    """Runs candidates one after the other.

    Parameters
    ----------
    data : Data
        The table.
    plan : FoldPlan
        The folds all candidates share.
    setting : Setting
        What the pipelines depend on.
    runner : Runner
        Where they run.
    budget : Budget
        How long.
    progress : Progress
        Told of each step.
    costs : bool
        Measure latency and size.
    """

    def __init__(
        self,
        data: Data,
        plan: FoldPlan,
        setting: Setting,
        runner: Runner,
        budget: Budget,
        progress: Progress,
        costs: bool = True,
    ) -> None:
        self._data = data
        self._splits: list[Split] = list(plan)
        self._setting = setting
        self._runner = runner
        self._budget = budget
        self._progress = progress
        self._costs = costs
        self.measured: list[Measured] = []

    def run(
        self, candidates: Sequence[Candidate], on_finished: Callable[[], object]
    ) -> list[Measured]:
        """Run the candidates in order; `measured` grows as they finish.

        The first runs to its end whatever the budget, so that there is always an advice.
        """
        for position, candidate in enumerate(candidates):
            outcome = Measured(candidate, self._share_done(0))
            self.measured.append(outcome)
            if position > 0 and self._budget.left < _LEAST_SECONDS:
                outcome.status = f"skipped: {self._used_up()}"
                self._progress.step(len(self._splits))
                continue
            self._run_one(outcome, Unlimited() if position == 0 else self._budget)
            on_finished()
        return self.measured

    def _run_one(self, outcome: Measured, budget: Budget) -> None:
        name, n_splits = outcome.candidate.name, len(self._splits)
        classes = self._data.images and self._data.task == "classification"
        work = Work(name, self._setting, self._splits, costs=self._costs, confusion=classes)
        self._progress.now(f"{name}, fold 1 of {n_splits}")
        for event in self._runner.run(work, budget):
            if "peak_memory_bytes" in event:
                outcome.peak_memory_bytes = event.pop("peak_memory_bytes")
            kind = event.pop("event")
            if kind == "fold":
                outcome.metrics.append(event["metrics"])
                outcome.fit_seconds.append(event["fit_seconds"])
                if "confusion" in event:
                    counts = np.array(event["confusion"])
                    so_far = outcome.confusion
                    outcome.confusion = counts if so_far is None else so_far + counts
                self._budget.reserved_seconds = self._refit_seconds()
                self._progress.step()
                done = len(outcome.metrics)
                outcome.status = "ok" if done == n_splits else self._share_done(done)
                what = f"fold {done + 1} of {n_splits}" if done < n_splits else "latency"
                self._progress.now(f"{name}, {what}")
            elif kind == "costs":
                outcome.costs = event
            elif kind == "failed":
                outcome.status = f"failed: {event['message']}"
            elif kind == "stopped" and len(outcome.metrics) < n_splits:
                outcome.status = self._stopped(len(outcome.metrics))
        self._budget.reserved_seconds = self._refit_seconds(finished=True)
        self._progress.step(n_splits - len(outcome.metrics))

    def _stopped(self, n_done: int) -> str:
        if n_done == 0:
            return f"skipped: {self._used_up()} before its first fold ended"
        return f"{self._share_done(n_done)}, then {self._used_up()}"

    def _share_done(self, n_done: int) -> str:
        return f"partial: {n_done} of {len(self._splits)} folds"

    def _used_up(self) -> str:
        return f"the time budget of {self._budget.seconds:g} s was used up"

    def _refit_seconds(self, finished: bool = False) -> float:
        """Return the time to keep for the last fit: that of the slowest it may have to repeat."""
        least = 2 if finished else 1
        fits = [
            max(outcome.fit_seconds)
            for outcome in self.measured
            if len(outcome.fit_seconds) >= least
        ]
        return _REFIT_FACTOR * max(fits, default=0.0) + _REFIT_OVERHEAD_SECONDS

    def examine(
        self, leaders: Sequence[Measured], metric: str
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return importances of the first leader and learning curves of all, as time permits.

        Parameters
        ----------
        leaders : sequence of Measured
            The recommended candidate first.
        metric : str
            Name of the main metric.
        """
        importance: list[dict[str, Any]] = []
        curves = []
        splits = _curve_splits(self._data, self._splits, self._setting.seed)
        for position, leader in enumerate(leaders):
            fold_seconds = float(np.mean(leader.fit_seconds))
            first = position == 0
            # One pixel says nothing by itself.
            watched = metric if first and not self._data.images else None
            self._progress.now(f"{leader.candidate.name}, learning curve")
            # the full split comes last, and its model serves for the importance
            jobs = [split for _, split in splits] + ([self._splits[0]] if watched else [])
            work = Work(leader.candidate.name, self._setting, jobs, importance=watched)
            scores: list[float] = []
            if jobs and self._budget.left > _LEAST_SECONDS + 2 * fold_seconds:
                for event in self._runner.run(work, self._budget):
                    if event["event"] == "fold":
                        scores.append(event["metrics"][metric])
                    elif event["event"] == "importance":
                        importance = event["columns"]
            self._progress.step()
            points = _curve_points(splits, scores)
            if points:
                last = _point(len(self._splits[0][0]), leader.scores(metric)[:CURVE_FOLDS])
                curves.append({"name": leader.candidate.name, "points": [*points, last]})
        return importance, curves


def _curve_splits(data: Data, splits: Sequence[Split], seed: int) -> list[tuple[float, Split]]:
    """Return smaller and smaller training parts of the first folds, with their shares."""
    smaller = []
    for share in CURVE_FRACTIONS:
        for train, test in splits[:CURVE_FOLDS]:
            if share * len(train) < _LEAST_CURVE_ROWS:
                continue
            part = FoldPlan.holdout(
                data.y[train], task=data.task, fraction=1 - share, random_state=seed
            )
            smaller.append((share, (train[part[0][0]], test)))
    return smaller


def _curve_points(splits: list[tuple[float, Split]], scores: list[float]) -> list[dict[str, float]]:
    """Return a point for each share all of whose fits are done."""
    points = []
    for share in CURVE_FRACTIONS:
        fits = [position for position, (one, _) in enumerate(splits) if one == share]
        if fits and max(fits) < len(scores):
            rows = len(splits[fits[0]][1][0])
            points.append(_point(rows, np.array([scores[position] for position in fits])))
    return points


def _point(rows: int, scores: np.ndarray) -> dict[str, float]:
    return {
        "rows": rows,
        "score_mean": float(scores.mean()),
        "score_std": float(scores.std(ddof=1)) if len(scores) > 1 else 0.0,
    }
