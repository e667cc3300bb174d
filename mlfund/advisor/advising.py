"""`advise`: from a table to a recommendation with evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mlfund._check import DataError, check_choice, check_positive, seed_from
from mlfund.advisor.advice import Advice
from mlfund.advisor.budget import Budget
from mlfund.advisor.candidates import Candidate, Setting, candidates_for, get_candidate
from mlfund.advisor.choice import Limits
from mlfund.advisor.progress import ProgressEvent
from mlfund.advisor.runners import InProcess, Isolated, Runner
from mlfund.advisor.scores import get_metric
from mlfund.advisor.session import Session
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
    """Say which kind of model a table or a set of images wants, with measurements behind it.

    Every candidate is fitted on the same folds, its preprocessing inside them. Scores are
    compared in pairs with the Nadeau-Bengio correction; among candidates that are practically
    equal the cheapest one is recommended.

    Parameters
    ----------
    X : DataFrame, array-like of shape (n, d), or array of shape (n, h, w) or (n, h, w, c)
        The columns to learn from: numbers, categories, dates, text, missing values. Arrays of
        three or four axes are images, channels last.
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
    budget, seed = Budget(time_budget_seconds), _seed(random_state)
    problem = make_problem(X, y, task)
    session = Session(
        problem=problem,
        metric=get_metric(metric, problem.data.task),
        plan=_plan(problem, n_folds, n_repeats, seed),
        limits=Limits(max_latency_ms, interpretable),
        setting=Setting(
            problem.data.task,
            len(problem.data.X),
            seed,
            usable_threads(problem.data.X.size),
            device,
            problem.data.images,
        ),
        candidates=_candidates(candidates, problem),
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


def _seed(random_state: int | np.random.RandomState | None) -> int:
    """Return the integer given, so that the advice names it; else a seed drawn."""
    if isinstance(random_state, int | np.integer):
        return int(random_state) % 2**31
    return seed_from(random_state)


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


def _candidates(names: Sequence[str] | None, problem: Problem) -> tuple[Candidate, ...]:
    task, images = problem.data.task, problem.data.images
    known = candidates_for(task, images=images)
    if names is None:
        return known
    if not names:
        raise ValueError("candidates is empty; name at least one, or leave it out for all.")
    wanted = {get_candidate(name, task, images=images).name for name in names}
    return tuple(one for one in known if one.name in wanted)


def _positive(label: Any, problem: Problem) -> str | None:
    classes = problem.data.classes
    if classes is None or len(classes) != 2:
        if label is not None:
            raise DataError("A positive label can be named with two classes only.")
        return None
    names = [str(one) for one in classes.tolist()]
    return names[-1] if label is None else str(check_choice("positive", str(label), names))
