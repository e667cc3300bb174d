"""One group of nets on all splits: plans, one stack for each set of classes, fitted models."""

from __future__ import annotations

import copy
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from mlfund._check import resolve_device, seed_from, stacklevel_outside
from mlfund._engine.replicas import Stack, Stream, Trained
from mlfund.estimators._neural_training import out_of_epochs
from mlfund.model_selection._contract import SearchRows, TrainedModels
from mlfund.model_selection._families import UnstackableError
from mlfund.model_selection._mlp_chain import NotAChainError
from mlfund.model_selection._mlp_models import Layers, fitted, scaled, stacked_models
from mlfund.model_selection._mlp_net import layers_of
from mlfund.model_selection._mlp_plan import FitPlan, Start, Table
from mlfund.model_selection._mlp_scores import stacked_score
from mlfund.model_selection._mlp_threads import train_in_threads

# What a fit raises for its parameters and its rows.
FIT_ERRORS = (ValueError, TypeError)

Plans = dict[int, FitPlan | Exception]


class StackedTraining:
    """The training of a group of estimators on all splits.

    Parameters
    ----------
    estimators : sequence of estimator
        Unfitted, of one group.
    rows : SearchRows
        With the splits.
    table : Table
        The same rows, checked.
    """

    def __init__(self, estimators: Sequence[Any], rows: SearchRows, table: Table) -> None:
        self.estimators = estimators
        self.rows = rows
        self.table = table
        # Fits without a seed get one a split, so that they share the order of the rows.
        self.seeds = [seed_from(None) if self._unseeded else 0 for _ in rows.splits]

    @property
    def _unseeded(self) -> bool:
        return any(one.random_state is None for one in self.estimators)

    def run(self, memory_limit: int | None, report: Any) -> Iterator[TrainedModels]:
        """Train everything; yield the models of a split when the last of them is done."""
        stacks = defaultdict(list)
        try:
            planned = [self._plans(place) for place in range(len(self.rows.splits))]
        except NotAChainError as error:
            raise UnstackableError(f"the module is not the same for all seeds: {error}") from error
        for place, plans in enumerate(planned):
            good = [plan for plan in plans.values() if isinstance(plan, FitPlan)]
            if good:
                stacks[_shape(good[0])].append((place, plans))
            else:
                yield self._models(place, plans, {}, 0.0)
        for members in stacks.values():
            yield from self._stack(dict(members), memory_limit, report)

    def _plans(self, place: int) -> Plans:
        train, _ = self.rows.splits[place]
        plans: Plans = {}
        starts: dict[Any, Start | Exception] = {}
        for position, estimator in enumerate(self.estimators):
            key = Start.key(estimator)
            if key not in starts:
                starts[key] = self._start(estimator, place, train)
            start = starts[key]
            plans[position] = FitPlan.of(estimator, start) if isinstance(start, Start) else start
        return plans

    def _start(self, estimator: Any, place: int, train: np.ndarray) -> Start | Exception:
        try:
            return Start.of(estimator, self.table, train, self._random_state(estimator, place))
        except FIT_ERRORS as error:
            return error

    def _random_state(self, estimator: Any, place: int) -> np.random.RandomState:
        if estimator.random_state is None:
            return np.random.RandomState(self.seeds[place])
        # A clone has a copy of a stream, at the same place.
        return check_random_state(copy.deepcopy(estimator.random_state))

    def _stack(
        self, members: dict[int, Plans], memory_limit: int | None, report: Any
    ) -> Iterator[TrainedModels]:
        """Train the splits that know the same classes as one stack."""
        planned = [
            (place, position, plan)
            for place, plans in members.items()
            for position, plan in plans.items()
            if isinstance(plan, FitPlan)
        ]
        stack, streams = self._stack_of(planned)
        replicas = [
            plan.replica(stream) for (_, _, plan), stream in zip(planned, streams, strict=True)
        ]
        waiting = {place: self._n_planned(plans) for place, plans in members.items()}
        done: dict[int, dict[int, Trained]] = defaultdict(dict)
        begun, n_left = time.perf_counter(), len(replicas)
        for number, trained in train_in_threads(
            stack, replicas, memory_limit=memory_limit, report=report
        ):
            place, position, _ = planned[number]
            done[place][position] = trained
            if len(done[place]) < waiting[place]:
                continue
            share = len(done[place]) / n_left
            n_left -= len(done[place])
            now = time.perf_counter()
            spent = share * (now - begun)
            # What the others have used so far stays on their account.
            begun += spent
            yield self._models(place, members[place], done.pop(place), spent)

    @staticmethod
    def _n_planned(plans: Plans) -> int:
        return sum(isinstance(plan, FitPlan) for plan in plans.values())

    def _stack_of(self, planned: list[tuple[int, int, FitPlan]]) -> tuple[Stack, list[int]]:
        """Return the stack, and the number of each fit's stream in it."""
        first = planned[0][2]
        like = first.start.train.target
        y = np.zeros((len(self.table.y), *like.shape[1:]), like.dtype)
        numbers: dict[int, int] = {}
        streams: list[Stream] = []
        of_fit: list[int] = []
        for place, _, plan in planned:
            start = plan.start
            if id(start) not in numbers:
                numbers[id(start)] = len(streams)
                shuffle = plan.estimator.shuffle
                streams.append(start.stream(self._affine(place), shuffle=shuffle))
                for part in (start.train, start.held_out):
                    if part is not None:
                        y[part.X] = part.target
            of_fit.append(numbers[id(start)])
        stack = Stack(
            X=self.table.X,
            y=y,
            objective=first.start.objective,
            activation=first.start.net.activation,
            # Fewer rows are one batch.
            batch_size=max(plan.pace.batch_size for _, _, plan in planned),
            streams=streams,
            device=resolve_device(first.estimator.device),
            score=stacked_score(first.estimator, first.start.objective.loss),
        )
        return stack, of_fit

    def _affine(self, place: int) -> tuple[np.ndarray, np.ndarray] | None:
        affine = self.rows.affine
        return None if affine is None else (affine.centre[place], affine.scale[place])

    def _models(
        self, place: int, plans: Plans, trained: dict[int, Trained], seconds: float
    ) -> TrainedModels:
        """Return the models of a split as estimators."""
        failures = {at: plan for at, plan in plans.items() if isinstance(plan, Exception)}
        estimators: list[Any] = [None] * len(plans)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for position, result in trained.items():
                plan = plans[position]
                assert isinstance(plan, FitPlan)
                try:
                    estimators[position] = self._fitted(place, position, plan, result)
                except FIT_ERRORS as error:
                    failures[position] = error
        nets = [
            None if one is None else self._layers(one, trained[position])
            for position, one in enumerate(estimators)
        ]
        bends = [p.start.net.activation for p in plans.values() if isinstance(p, FitPlan)]
        return stacked_models(
            self.rows,
            place,
            estimators,
            nets,
            {"seconds": seconds, "failures": failures, "warnings": caught},
            activation=bends[0] if bends else None,
            flat=self.table.y.ndim == 1,
        )

    @staticmethod
    def _layers(estimator: Any, trained: Trained) -> Layers:
        if trained.bad_epoch is None:
            return trained.coefs, trained.intercepts
        return layers_of(estimator)

    def _fitted(self, place: int, position: int, plan: FitPlan, trained: Trained) -> Any:
        """Return one model as an estimator; what its fit would have warned of is warned of."""
        if trained.bad_epoch is not None:
            # A fit of its own finds out why, and ends with the same weights.
            return self._fit_alone(place, position)
        if trained.stopped is None:
            text = out_of_epochs(plan.estimator.max_iter)
            warnings.warn(text, ConvergenceWarning, stacklevel=stacklevel_outside())
        return fitted(plan, trained)

    def _fit_alone(self, place: int, position: int) -> Any:
        own = copy.copy(self.estimators[position])
        given, table = own.random_state, self.table
        train, _ = self.rows.splits[place]
        X = table.X[train]
        if self.rows.affine is not None:
            X = scaled(X, self.rows.affine, place)
        columns = {"sample_weight": table.sample_weight, "groups": table.groups}
        fit_params = {name: col[train] for name, col in columns.items() if col is not None}
        own.random_state = self._random_state(own, place)
        own.fit(X, table.y[train], **fit_params)
        own.random_state = given
        vars(own).update(table.columns)
        return own


def _shape(plan: FitPlan) -> Any:
    """Return what makes the targets of a split: its classes, or the number of outputs."""
    classes = getattr(plan.estimator, "classes_", None)
    return plan.start.objective.scale, None if classes is None else tuple(classes.tolist())
