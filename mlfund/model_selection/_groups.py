"""Which candidates are trained as stacks, and their training and scoring."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sklearn.utils.validation import _num_samples

from mlfund.model_selection._contract import Family, TrainedModels
from mlfund.model_selection._families import UnstackableError, family_of, outside_reason
from mlfund.model_selection._near_ties import NearTies
from mlfund.model_selection._prefix import (
    FailedRows,
    Prefix,
    PreparedRows,
    prepare_rows,
    split_estimator,
)
from mlfund.model_selection._scoring import score_models
from mlfund.model_selection._search_task import (
    Evaluated,
    Refused,
    Result,
    SearchTask,
    failed_result,
)
from mlfund.model_selection._warnings_once import WarningsOnce


@dataclass(frozen=True)
class Stackable:
    """A candidate of a family, taken apart."""

    number: int
    estimator: Any
    prefix: Prefix
    family: Family


def train_stacks(
    task: SearchTask,
    estimators: Sequence[Any],
    pending: Sequence[Collection[int]],
    *,
    metric: str,
    memory_limit: int | None,
    report: Callable[[int, int], None],
) -> Iterator[list[Evaluated] | Refused]:
    """Train and score all candidates that can be stacked, and say why others cannot.

    Parameters
    ----------
    estimators : sequence of unfitted estimators
        One a candidate.
    pending : sequence of collections of int
        Numbers of the splits each candidate is still to be fitted on.
    metric : str
        Name of the score that decides, where there are several.

    Yields
    ------
    list of Evaluated, or Refused
        Each pending pair of candidate and split is in exactly one, in any order, and in a
        later one if its model was trained on. A list holds what was trained together on one
        split.
    """
    training = _Training(task, metric, memory_limit, report)
    shelves: dict[tuple[Hashable, tuple[int, ...], bool], list[Stackable]] = defaultdict(list)
    for number, estimator in enumerate(estimators):
        splits = tuple(sorted(pending[number]))
        if not splits:
            continue
        prefix = split_estimator(estimator)
        family = family_of(prefix.final)
        reason = _refusal(task, estimator, prefix)
        if family is None:
            yield Refused(number, splits, outside_reason(prefix.final))
        elif reason is not None:
            yield Refused(number, splits, reason)
        else:
            key = (prefix.key, splits, family.takes_affine)
            shelves[key].append(Stackable(number, estimator, prefix, family))
    for (_, splits, takes_affine), shelf in shelves.items():
        for rows in _prepared(task, shelf[0].prefix, splits, takes_affine):
            if isinstance(rows, FailedRows):
                reason = f"the steps in front could not be fitted: {rows.error}"
                yield from (Refused(member.number, rows.numbers, reason) for member in shelf)
            else:
                yield from training.train_on(rows, shelf)
    training.said.tell()


def _refusal(task: SearchTask, estimator: Any, prefix: Prefix) -> str | None:
    """Return why a candidate of a family cannot be stacked on any rows."""
    if prefix.refusal is not None:
        return prefix.refusal
    if task.y is None:
        return "there is no y"
    if any(getattr(part, "_skl_callbacks", None) for part in (estimator, prefix.final)):
        return "the estimator has callbacks of its own"
    return None


def _prepared(
    task: SearchTask, prefix: Prefix, splits: Sequence[int], takes_affine: bool
) -> Iterator[PreparedRows | FailedRows]:
    """Yield the rows behind a prefix; their numbers are those of the task."""
    return prepare_rows(
        prefix,
        task.X,
        task.y,
        [task.splits[split] for split in splits],
        task.fit_params,
        takes_affine=takes_affine,
        train_scores=task.return_train_score,
        numbers=splits,
    )


@dataclass
class _Training:
    """The arguments of `train_stacks`, and the best mean scores so far by their names."""

    task: SearchTask
    metric: str
    memory_limit: int | None
    report: Callable[[int, int], None]
    best: dict[str | None, float] = field(default_factory=dict)
    said: WarningsOnce = field(default_factory=WarningsOnce)

    def train_on(
        self, rows: PreparedRows, shelf: Iterable[Stackable]
    ) -> Iterator[list[Evaluated] | Refused]:
        """Train all groups of candidates that share the same rows."""
        groups: dict[Hashable, list[Stackable]] = defaultdict(list)
        for member in shelf:
            reason = member.family.refusal(member.prefix.final, rows)
            if reason is not None:
                yield Refused(member.number, rows.numbers, reason)
            else:
                key = (type(member.family), member.family.group_key(member.prefix.final))
                groups[key].append(member)
        n_members = sum(map(len, groups.values()))
        for group in groups.values():
            try:
                yield from self._train_group(group, rows, rows.seconds / n_members)
            except UnstackableError as refusal:
                for member in group:
                    yield Refused(member.number, rows.numbers, str(refusal))

    def _train_group(
        self, group: Sequence[Stackable], rows: PreparedRows, seconds_before: float
    ) -> Iterator[list[Evaluated]]:
        """Train a group, and on what its tolerance does not tell apart."""
        ties = self._near_ties(group, rows)
        position = {member.number: place for place, member in enumerate(group)}
        before: dict[tuple[int, int], Result] = {}
        for models in group[0].family.train(
            [member.prefix.final for member in group],
            rows,
            memory_limit=self.memory_limit,
            report=self.report,
            undecided=None if ties is None else ties.undecided,
        ):
            again = (group[models.candidates[0]].number, models.split) in before
            if not again:
                self.said.take(models.warnings)
            evaluated = _score(models, rows, group, self.task, 0.0 if again else seconds_before)
            for one in evaluated:
                key = one.candidate, one.split
                if again:
                    for name in ("fit_time", "score_time"):
                        one.result[name] += before[key][name]
                before[key] = one.result
                if ties is not None:
                    ties.note(position[one.candidate], one.split, one.result["test_scores"])
            yield [dataclasses.replace(one, again=again) for one in evaluated]
        if ties is not None:
            self.best |= ties.best()

    def _near_ties(self, group: Sequence[Stackable], rows: PreparedRows) -> NearTies | None:
        """Return the contest of a group whose models are all trained on these rows."""
        bound = group[0].family.looseness(group[0].prefix.final)
        n_splits = len(self.task.splits)
        if bound is None or len(group) < 2 or len(rows.numbers) < n_splits:
            return None
        return NearTies(len(group), n_splits, bound, self.metric, self.best)


def _score(
    models: TrainedModels,
    rows: PreparedRows,
    group: Sequence[Stackable],
    task: SearchTask,
    seconds_before: float,
) -> list[Evaluated]:
    """Score the models of one split; the time of their training is shared equally."""
    members = [group[position] for position in models.candidates]
    scored: list[Result | None] = [None] * len(members)
    if len(models.failures) < len(members):
        scored = score_models(
            models,
            rows,
            [member.estimator for member in members],
            X=task.X,
            y=task.y,
            scorer=task.scorer,
            score_params=task.score_params,
            return_train_score=task.return_train_score,
            error_score=task.error_score,
        )
    shared = {
        "fit_time": seconds_before + models.seconds / len(members),
        "n_test_samples": _num_samples(task.splits[models.split][1]),
        "batched": True,
        "reason": None,
    }
    evaluated = []
    for position, (member, scores) in enumerate(zip(members, scored, strict=True)):
        if scores is None:
            result = failed_result(task, models.failures[position])
        else:
            result = {"fit_error": None, **scores}
            if task.return_estimator:
                final = models.estimator(position)
                result["estimator"] = rows.fitted(member.estimator, models.split, final)
        evaluated.append(Evaluated(member.number, models.split, result | shared))
    return evaluated
