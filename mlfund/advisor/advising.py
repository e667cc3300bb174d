"""`advise`: from a table to a recommendation with evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mlfund._check import DataError, check_choice, check_positive, seed_from
from mlfund._measure import machine
from mlfund.advisor.advice import Advice, Recommendation
from mlfund.advisor.audit import audit
from mlfund.advisor.benchmark import CURVE_LEADERS, Benchmark, Measured
from mlfund.advisor.budget import Budget
from mlfund.advisor.candidates import CANDIDATES, Candidate, Setting, get_candidate
from mlfund.advisor.choice import Limits, choose
from mlfund.advisor.code import reproducing_code
from mlfund.advisor.leaderboard import Leaderboard, make_leaderboard
from mlfund.advisor.profile import profile_table
from mlfund.advisor.progress import Progress, ProgressEvent
from mlfund.advisor.rules import recommend
from mlfund.advisor.runners import InProcess, Isolated, Runner
from mlfund.advisor.scores import Metric, get_metric
from mlfund.advisor.target import Problem, make_problem
from mlfund.advisor.threads import usable_threads
from mlfund.folds import FoldPlan


def advise(
    X: Any,
    y: Any,
    *,
    task: str = "auto",
    metric: str = "auto",
    n_folds: int = 5,
    n_repeats: int = 1,
    time_budget_seconds: float | None = None,
    max_latency_ms: float | None = None,
    interpretable: bool = False,
    candidates: Sequence[str] | None = None,
    positive: Any = None,
    device: str = "auto",
    random_state: Any = None,
    isolate: bool = True,
    progress: Callable[[ProgressEvent], object] | None = None,
    on_checkpoint: Callable[[Advice], object] | None = None,
    data_description: Mapping[str, Any] | None = None,
) -> Advice:
    """Say which kind of model a table wants, with measurements behind it.

    Every candidate is fitted on the same folds, its preprocessing inside them. Scores are
    compared in pairs with the Nadeau-Bengio correction; among candidates that are practically
    equal the cheapest one is recommended.

    Parameters
    ----------
    X : DataFrame or array-like of shape (n, d)
        The columns to learn from: numbers, categories, dates, text, missing values.
    y : Series or array-like of shape (n,)
        The target. Rows without one are dropped and reported.
    task : {"auto", "classification", "regression"}, default="auto"
        "auto" looks at the target; `Advice.data` says why.
    metric : str, default="auto"
        What decides: for classification "log_loss" (auto), "accuracy", "balanced_accuracy" or
        "roc_auc"; for regression "rmse" (auto), "mae" or "r2".
    n_folds : int, default=5
        Folds, stratified by class; fewer where a class has fewer rows.
    n_repeats : int, default=1
        Repeats of the cross-validation with other shuffles.
    time_budget_seconds : float or None, default=None
        Time for everything. Candidates that do not fit in are stopped or skipped; the
        baseline always runs.
    max_latency_ms : float or None, default=None
        Recommend a model that answers 95 % of single rows within this time.
    interpretable : bool, default=False
        Recommend a model that can be read.
    candidates : sequence of str or None, default=None
        Names of the candidates to run; None runs all of the task.
    positive : label, default=None
        The class a report speaks of, with two classes; default the last in sorted order.
    device : {"auto", "cpu", "cuda", "mps"}, default="auto"
        For the candidates that can use an accelerator.
    random_state : int, RandomState instance or None, default=None
        Seeds folds and candidates.
    isolate : bool, default=True
        Run each candidate in a child process: its memory is measured, it can be stopped in
        time, and its crash is a line in the leaderboard. False runs them here, without
        latencies, importances and learning curves: quick for small tables.
    progress : callable or None
        Receives a `ProgressEvent` at each step.
    on_checkpoint : callable or None
        Receives an incomplete `Advice` after each candidate.
    data_description : mapping or None
        ``file`` and ``load_code`` (Python that defines X and y), for the record.

    Returns
    -------
    advice : Advice
        With the recommended pipeline fitted on all rows as ``best_estimator``.

    Raises
    ------
    DataError
        If the data cannot be used as given.
    KeyboardInterrupt
        Passed on, after a last call of `on_checkpoint`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from mlfund import advise
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> advice = advise(X, y, candidates=["prior", "logistic_regression"], n_folds=3,
    ...                 random_state=0, isolate=False)
    >>> advice.recommendation.name
    'logistic_regression'
    """
    if max_latency_ms is not None:
        check_positive("max_latency_ms", max_latency_ms)
    budget, seed = Budget(time_budget_seconds), seed_from(random_state)
    problem = make_problem(X, y, task)
    session = Session(
        problem=problem,
        metric=get_metric(metric, problem.data.task),
        plan=_plan(problem, n_folds, n_repeats, seed),
        limits=Limits(max_latency_ms, interpretable),
        setting=Setting(
            problem.data.task,
            len(problem.data.X),
            seed % 2**31,
            usable_threads(problem.data.X.size),
            device,
        ),
        candidates=_candidates(candidates, problem.data.task),
        positive=_positive(positive, problem),
        description=dict(data_description or {}),
        budget=budget,
    )
    runner: Runner = (
        Isolated(problem.data, session.setting.n_threads) if isolate else InProcess(problem.data)
    )
    try:
        return session.run(runner, progress, on_checkpoint)
    finally:
        runner.close()


def _plan(problem: Problem, n_folds: int, n_repeats: int, seed: int) -> FoldPlan:
    if problem.data.task == "regression" and len(problem.data.y) < 2 * n_folds:
        # a fold of one row has no R2
        n_folds = max(2, len(problem.data.y) // 2)
    return FoldPlan.make(
        problem.data.y,
        task=problem.data.task,
        n_folds=n_folds,
        n_repeats=n_repeats,
        random_state=seed,
    )


def _candidates(names: Sequence[str] | None, task: str) -> tuple[Candidate, ...]:
    if names is None:
        return CANDIDATES[task]
    if not names:
        raise ValueError("candidates is empty; name at least one, or leave it out for all.")
    wanted = {get_candidate(name, task).name for name in names}
    return tuple(one for one in CANDIDATES[task] if one.name in wanted)


def _positive(label: Any, problem: Problem) -> str | None:
    classes = problem.data.classes
    if classes is None or len(classes) != 2:
        if label is not None:
            raise DataError("A positive label can be named with two classes only.")
        return None
    names = [str(one) for one in classes.tolist()]
    return names[-1] if label is None else str(check_choice("positive", str(label), names))


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
            if runner.isolated:
                leaders = self._leaders(advice.recommendation.name, measured)
                importance, curves = benchmark.examine(leaders, self.metric.name)
                advice = replace(
                    advice, importance=tuple(importance), learning_curves=tuple(curves)
                )
            progress.now(f"{advice.recommendation.name}, fit on all rows")
            model = self._refit(advice.recommendation.name)
        except KeyboardInterrupt:
            checkpoint()
            raise
        progress.step(progress.total)
        progress.now("done")
        return replace(
            advice, status="complete", budget=self.budget.to_dict(), best_estimator=model
        )

    def _look_at_data(self, isolated: bool) -> None:
        self._profile, notes = profile_table(self.problem)
        found = audit(self.problem.data, self.plan, self._profile, self.setting.seed)
        self._findings = tuple(
            {
                "code": one.code,
                "severity": one.severity,
                "columns": one.columns,
                "message": one.message,
                "fix": one.fix,
                "evidence": one.evidence,
            }
            for one in found
        )
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
        )

    def _data(self) -> dict[str, Any]:
        data, classes = self.problem.data, self.problem.data.classes
        return {
            "file": self.description.get("file"),
            "rows": self.problem.counts["rows"],
            "rows_used": len(data.X),
            "columns": data.X.shape[1],
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

    def _refit(self, name: str) -> Any:
        candidate = get_candidate(name, self.setting.task)
        model = candidate.build(self.setting).fit(self.problem.data.X, self.problem.data.y)
        return model.set_params(**candidate.serving)

    def _code(self, name: str) -> str:
        candidate = get_candidate(name, self.setting.task)
        return reproducing_code(candidate, self.setting, self.description, self.problem.counts)


def _nothing_ran(measured: Sequence[Measured]) -> str:
    reasons = "; ".join(f"{one.candidate.name} {one.status}" for one in measured)
    return f"No candidate finished two folds: {reasons}."
