"""The evaluation of candidates: stacks first, then what could not be stacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.utils import _safe_indexing

from mlfund.model_selection._groups import train_stacks
from mlfund.model_selection._one_by_one import fit_one_by_one
from mlfund.model_selection._search_task import Evaluated, Result, SearchTask


def evaluate(
    task: SearchTask,
    candidates: Sequence[Mapping[str, Any]],
    *,
    caller: Any,
    contexts: Sequence[Any] | None = None,
) -> list[Result]:
    """Fit and score every candidate on every split.

    Parameters
    ----------
    task : SearchTask
        What the candidates are fitted to and scored by.
    candidates : sequence of dict
        Parameters of each candidate.
    caller : estimator
        The search: `n_jobs`, `pre_dispatch`, `verbose` and `memory_limit` hold.
    contexts : sequence of CallbackContext or None
        One for each candidate and split.

    Returns
    -------
    list of dict
        Splits of the first candidate, of the second, ...
    """
    n_splits = len(task.splits)
    results: dict[tuple[int, int], Result] = {}
    reasons: dict[tuple[int, int], str] = {}

    def context_of(candidate: int, split: int) -> Any:
        return None if contexts is None else contexts[candidate * n_splits + split]

    def keep(done: Evaluated) -> None:
        results[done.candidate, done.split] = done.result

    estimators = [task.candidate(parameters) for parameters in candidates]
    pending = [range(n_splits)] * len(candidates)
    for done in train_stacks(task, estimators, pending, memory_limit=None, report=_unheard):
        if isinstance(done, Evaluated):
            _tell_callbacks(task, context_of(done.candidate, done.split), done.split, caller)
            keep(done)
        else:
            reasons.update(((done.candidate, split), done.reason) for split in done.splits)
    for done in fit_one_by_one(
        task,
        candidates,
        sorted(reasons),
        reason_of=lambda *pair: reasons[pair],
        context_of=context_of,
        caller=caller,
    ):
        keep(done)
    return [results[key] for key in sorted(results)]


def _unheard(alive: int, total: int) -> None:
    """Take a report of progress that nobody asked for."""


def _tell_callbacks(task: SearchTask, context: Any, split: int, caller: Any) -> None:
    """Tell the search's callbacks of a stacked model, which began and ended among others."""
    if context is None:
        return
    train = task.splits[split][0]
    data = {
        "estimator": caller,
        "X": lambda: _safe_indexing(task.X, train),
        "y": lambda: _safe_indexing(task.y, train),
    }
    context.call_on_fit_task_begin(**data)
    context.call_on_fit_task_end(**data)
