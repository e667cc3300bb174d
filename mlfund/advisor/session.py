"""One run of the advisor, from the profile to the fitted recommendation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mlfund._check import DataError
from mlfund._measure import machine
from mlfund.advisor.advice import Advice, Recommendation
from mlfund.advisor.audit import audit
from mlfund.advisor.benchmark import CURVE_LEADERS, Benchmark, Measured
from mlfund.advisor.budget import Budget
from mlfund.advisor.candidates import Candidate, Setting, get_candidate
from mlfund.advisor.choice import Limits, choose
from mlfund.advisor.code import reproducing_code
from mlfund.advisor.image_profile import profile_images
from mlfund.advisor.leaderboard import Leaderboard, make_leaderboard
from mlfund.advisor.profile import profile_table
from mlfund.advisor.progress import Progress, ProgressEvent
from mlfund.advisor.rules import recommend
from mlfund.advisor.runners import Runner
from mlfund.advisor.scores import Metric
from mlfund.advisor.target import Problem
from mlfund.folds import FoldPlan


@dataclass
class Session:
    """One run of the advisor: what was asked, and what came out so far."""

    problem: Problem
    metric: Metric
    plan: FoldPlan
    limits: Limits
    setting: Setting
    candidates: tuple[Candidate, ...]
    positive: str | None
    description: dict[str, Any]
    budget: Budget

    def run(
        self,
        runner: Runner,
        report: Callable[[ProgressEvent], object] | None,
        on_checkpoint: Callable[[Advice], object] | None,
    ) -> Advice:
        """Profile, audit, benchmark, decide, and fit the recommended pipeline on all rows."""
        steps = len(self.candidates) * len(self.plan) + 3
        steps += CURVE_LEADERS if runner.isolated else 0
        progress = Progress(steps, report, self.budget.start, self.budget.end)
        progress.now("profile and leakage audit")
        self._look_at_data(runner.isolated)
        progress.step()
        benchmark = Benchmark(
            self.problem.data,
            self.plan,
            self.setting,
            runner,
            self.budget,
            progress,
            costs=runner.isolated,
        )

        def checkpoint() -> None:
            if on_checkpoint is not None:
                on_checkpoint(self._advice(benchmark.measured))

        try:
            measured = benchmark.run(self.candidates, checkpoint)
            advice = self._advice(measured)
            if advice.recommendation is None:
                raise DataError(_nothing_ran(measured))
            name = advice.recommendation.name
            if runner.isolated:
                leaders = self._leaders(name, measured)
                importance, curves = benchmark.examine(leaders, self.metric.name)
                advice = replace(
                    advice, importance=tuple(importance), learning_curves=tuple(curves)
                )
            progress.now(f"{name}, fit on all rows")
            model = self._refit(name)
        except KeyboardInterrupt:
            checkpoint()
            raise
        progress.step(progress.total)
        progress.now("done")
        return replace(
            advice, status="complete", budget=self.budget.to_dict(), best_estimator=model
        )

    def _look_at_data(self, isolated: bool) -> None:
        profile = profile_images if self.problem.data.images else profile_table
        self._profile, notes = profile(self.problem)
        found = audit(self.problem.data, self.plan, self._profile, self.setting.seed)
        self._findings = tuple(asdict(one) for one in found)
        self._warnings = (*self.problem.warnings, *notes, *self.plan.notes)
        self._isolated = isolated

    def _board(self, measured: Sequence[Measured]) -> Leaderboard:
        return make_leaderboard(
            measured,
            self.metric,
            self.metric.equivalence(self.problem.data.y),
            self.plan.test_fraction,
        )

    def _advice(self, measured: Sequence[Measured]) -> Advice:
        """Return the advice as it stands, marked incomplete."""
        board = self._board(measured)
        choice = choose(board, self.limits)
        recommendation: Recommendation | None = None if choice is None else recommend(choice)
        return Advice(
            status="incomplete",
            data=self._data(),
            profile=self._profile,
            leakage=self._findings,
            protocol=self._protocol(board),
            rows=board.rows,
            recommendation=recommendation,
            budget=self.budget.to_dict(),
            environment=machine(),
            warnings=self._warnings,
            code="" if recommendation is None else self._code(recommendation.name),
            confusion=None if recommendation is None else self._confusion(recommendation, measured),
        )

    def _data(self) -> dict[str, Any]:
        data, classes = self.problem.data, self.problem.data.classes
        return {
            "file": self.description.get("file"),
            "rows": self.problem.counts["rows"],
            "rows_used": len(data.X),
            "columns": self._profile["columns"],
            "target": self.problem.target,
            "task": data.task,
            "task_reason": self.problem.task_reason,
            "classes": None if classes is None else [str(one) for one in classes.tolist()],
            "positive": self.positive,
        }

    def _protocol(self, board: Leaderboard) -> dict[str, Any]:
        return {
            "folds": self.plan.n_folds,
            "repeats": self.plan.n_repeats,
            "metric": self.metric.name,
            "greater_is_better": self.metric.greater_is_better,
            "practical_equivalence": board.equivalence,
            "split": self.plan.kind,
            "seed": self.setting.seed,
            "isolated": self._isolated,
            "threads": self.setting.n_threads,
            "max_latency_ms": self.limits.max_latency_ms,
            "interpretable": self.limits.interpretable,
            "notes": self.plan.notes,
        }

    def _leaders(self, recommended: str, measured: Sequence[Measured]) -> list[Measured]:
        """Return the recommended candidate and the best others, baselines left out."""
        by_name = {one.candidate.name: one for one in measured}
        order = [row.name for row in self._board(measured).rows if row.status == "ok"]
        others = [
            name
            for name in order
            if name != recommended and by_name[name].candidate.family != "baseline"
        ]
        return [by_name[name] for name in [recommended, *others][:CURVE_LEADERS]]

    def _candidate(self, name: str) -> Candidate:
        return get_candidate(name, self.setting.task, images=self.setting.images)

    def _confusion(
        self, recommended: Recommendation, measured: Sequence[Measured]
    ) -> dict[str, Any] | None:
        """Return which classes the recommended candidate confused, where that was counted."""
        counts = next(one.confusion for one in measured if one.candidate.name == recommended.name)
        classes = self.problem.data.classes
        if counts is None or classes is None:
            return None
        labels = [str(one) for one in classes.tolist()]
        return {"name": recommended.name, "labels": labels, "counts": counts.tolist()}

    def _refit(self, name: str) -> Any:
        candidate = self._candidate(name)
        model = candidate.build(self.setting).fit(self.problem.data.X, self.problem.data.y)
        return model.set_params(**candidate.serving)

    def _code(self, name: str) -> str:
        candidate = self._candidate(name)
        return reproducing_code(candidate, self.setting, self.description, self.problem.counts)


def _nothing_ran(measured: Sequence[Measured]) -> str:
    reasons = "; ".join(f"{one.candidate.name} {one.status}" for one in measured)
    return f"No candidate finished two folds: {reasons}."
