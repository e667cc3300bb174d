"""The evaluation of candidates: stacks first, then what could not be stacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.utils import _safe_indexing

from mlfund.model_selection._checkpoints import NoScores, Scores
from mlfund.model_selection._groups import train_stacks
from mlfund.model_selection._memory import stack_bytes
from mlfund.model_selection._one_by_one import fit_one_by_one
from mlfund.model_selection._progress import SearchProgress
from mlfund.model_selection._search_task import Evaluated, Result, SearchTask

# Numbers of a candidate and of a split.
Pair = tuple[int, int]


def evaluate(
    task: SearchTask,
    candidates: Sequence[Mapping[str, Any]],
    *,
    caller: Any,
    store: Scores | None = None,
    metric: str = "score",
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
    store : Scores, default=None
        Where results of an earlier evaluation are found and those of this one are kept.
    metric : str, default="score"
        Name of the score that decides, and that the progress tells, where there are several.
    contexts : sequence of CallbackContext or None
        One for each candidate and split.

    Returns
    -------
    list of dict
        Splits of the first candidate, of the second, ...
    """
    with SearchProgress(caller.verbose, len(candidates), len(task.splits), metric) as progress:
        evaluation = _Evaluation(task, candidates, caller, store or NoScores(), contexts, progress)
        evaluation.take_up()
        evaluation.train_stacks(metric)
        evaluation.fit_the_rest()
    return [evaluation.results[pair] for pair in evaluation.pairs]


class _Evaluation:
    """The results of an evaluation as they come in."""

    def __init__(
        self,
        task: SearchTask,
        candidates: Sequence[Mapping[str, Any]],
        caller: Any,
        store: Scores,
        contexts: Sequence[Any] | None,
        progress: SearchProgress,
    ) -> None:
        self.task = task
        self.candidates = candidates
        self.caller = caller
        self.store = store
        self.progress = progress
        self.pairs = [
            (candidate, split)
            for candidate in range(len(candidates))
            for split in range(len(task.splits))
        ]
        self.contexts = dict.fromkeys(self.pairs)
        if contexts is not None:
            self.contexts = dict(zip(self.pairs, contexts, strict=True))
        self.results: dict[Pair, Result] = {}
        self.reasons: dict[Pair, str] = {}

    def take_up(self) -> None:
        """Take the results of an earlier evaluation that was interrupted."""
        for candidate, split in self.pairs:
            result = self.store.get(self.candidates[candidate], split)
            if result is not None:
                self.results[candidate, split] = result
                self._tell_callbacks(candidate, split)
        found = [(*pair, result) for pair, result in self.results.items()]
        self.progress.finished(found, resumed=True)

    def train_stacks(self, metric: str) -> None:
        """Evaluate what can be stacked, and note why the rest cannot."""
        estimators = [self.task.candidate(parameters) for parameters in self.candidates]
        pending: list[list[int]] = [[] for _ in self.candidates]
        for candidate, split in self.pairs:
            if (candidate, split) not in self.results:
                pending[candidate].append(split)
        for done in train_stacks(
            self.task,
            estimators,
            pending,
            metric=metric,
            memory_limit=stack_bytes(self.caller.memory_limit),
            report=self.progress.report,
        ):
            if isinstance(done, list):
                self._keep(done)
                for one in done:
                    if not one.again:
                        self._tell_callbacks(one.candidate, one.split)
            else:
                self.reasons |= {(done.candidate, split): done.reason for split in done.splits}

    def fit_the_rest(self) -> None:
        """Evaluate one by one what could not be stacked."""
        for done in fit_one_by_one(
            self.task,
            self.candidates,
            [pair for pair in self.pairs if pair in self.reasons],
            reasons=self.reasons,
            contexts=self.contexts,
            caller=self.caller,
        ):
            self._keep(done)

    def _keep(self, done: Sequence[Evaluated]) -> None:
        self.results |= {(one.candidate, one.split): one.result for one in done}
        self.store.put((self.candidates[one.candidate], one.split, one.result) for one in done)
        self.progress.finished((one.candidate, one.split, one.result) for one in done)

    def _tell_callbacks(self, candidate: int, split: int) -> None:
        """Tell the search's callbacks of a model that was not fitted by itself."""
        context = self.contexts[candidate, split]
        if context is not None:
            data = self._told(self.task.splits[split][0])
            context.call_on_fit_task_begin(**data)
            context.call_on_fit_task_end(**data)

    def _told(self, train: Any) -> dict[str, Any]:
        """Return what callbacks may ask for; the rows are gathered only if they do."""
        weights = self.task.fit_params.get("sample_weight")
        return {
            "estimator": self.caller,
            "X": lambda: _safe_indexing(self.task.X, train),
            "y": lambda: _safe_indexing(self.task.y, train),
            "metadata": lambda: (
                None if weights is None else {"sample_weight": _safe_indexing(weights, train)}
            ),
        }
