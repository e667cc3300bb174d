"""One stack of replicas, trained epoch by epoch until the last of them has stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from mlfund._check import limited_threads
from mlfund._engine.data import DeviceRows
from mlfund._engine.replicas_course import Course
from mlfund._engine.replicas_objective import StackedObjective
from mlfund._engine.replicas_rates import StackedRates
from mlfund._engine.replicas_rows import StackedBatch, StreamRows
from mlfund._engine.replicas_spec import Replica, Stack, Trained
from mlfund._engine.replicas_steps import StackedSteps
from mlfund._engine.replicas_valid import ValidRows
from mlfund.nets.stacked import StackedArrays, StackedMLP


class Program:
    """The training of some replicas as one stack.

    Parameters
    ----------
    stack : Stack
        What is shared.
    data : DeviceRows
        All its rows.
    members : sequence of (int, Replica)
        Numbered replicas in the order of their streams, whose numbers of rows are equal,
        and of one kind of optimizer.
    """

    def __init__(
        self, stack: Stack, data: DeviceRows, members: Sequence[tuple[int, Replica]]
    ) -> None:
        self.stack = stack
        self.device = data.device
        self.numbers = [number for number, _ in members]
        replicas = [replica for _, replica in members]
        streams, groups = self._grouped(replicas)
        self.rows = StreamRows(data, streams, stack.batch_size)
        self.courses = [Course(replica, self.rows.n_rows) for replica in replicas]
        self.net = StackedMLP(
            [replica.coefs for replica in replicas],
            [replica.intercepts for replica in replicas],
            groups=groups,
            activation=stack.activation,
            dropout=_dropout(replicas),
            generator=_generator(replicas, self.device),
            device=self.device,
        )
        smoothing = np.array([replica.label_smoothing for replica in replicas])
        self.objective = StackedObjective(stack.objective, smoothing, groups, self.device)
        self.steps = StackedSteps(self.net, replicas)
        self.rates = StackedRates(self.courses, self.net.values.parts[0], self.rows.n_batches)
        self.valid = ValidRows(stack, data, streams)
        keeps_best = any(replica.early_stopping for replica in replicas)
        self._best = [part.clone() for part in self.net.values.parts] if keeps_best else None

    def __len__(self) -> int:
        """Return the number of replicas that are still at work."""
        return len(self.courses)

    def _grouped(self, replicas: Sequence[Replica]) -> tuple[list, list[slice]]:
        """Return the streams of consecutive replicas, and which replicas these are."""
        streams, groups, start = [], [], 0
        for stream, members in groupby(replicas, key=lambda replica: replica.stream):
            stop = start + len(list(members))
            streams.append(self.stack.streams[stream])
            groups.append(slice(start, stop))
            start = stop
        return streams, groups

    def run_epoch(self) -> Iterator[tuple[int, Trained]]:
        """Train one epoch; yield the replicas that stop after it, by their numbers."""
        begun = time.perf_counter()
        with torch.no_grad(), limited_threads(self._flop()):
            losses = self._train()
            self._end_epoch(losses)
            over = [place for place, course in enumerate(self.courses) if course.over]
            share = (time.perf_counter() - begun) / len(self)
            for course in self.courses:
                course.trained.seconds += share
            done = [(self.numbers[place], self._result(place)) for place in over]
            if over:
                self._keep([place for place, course in enumerate(self.courses) if not course.over])
        yield from done

    def _flop(self) -> float:
        """Return the work of one step."""
        n_weights = sum(part.numel() for part in self.net.values.weight_parts)
        return 6.0 * n_weights * self.rows.batch_size

    def _train(self) -> Tensor:
        """Take the steps of an epoch; return each replica's mean loss, penalties included."""
        sums = torch.zeros(len(self), dtype=torch.float64, device=self.device)
        for batch in self.rows:
            raw = self.net.forward(batch.X)
            values, gradient = self.objective(raw, batch)
            self.net.backward(batch.X, gradient)
            totals = self._totals(batch)
            penalties = self.steps.step(self.rates.next(), totals)
            if penalties is not None:
                own = totals[:, 0] if isinstance(totals, Tensor) else totals
                values = values + penalties / own
            sums.add_(values, alpha=batch.X.shape[1])
        return sums / self.rows.n_rows

    def _totals(self, batch: StackedBatch) -> Tensor | float:
        if not isinstance(batch.totals, Tensor):
            return batch.totals
        return self.objective.of_replicas(batch.totals).unsqueeze(1)

    def _end_epoch(self, losses: Tensor) -> None:
        sums = torch.stack([part.sum(1).double() for part in self.net.values.parts])
        read = torch.stack([losses, sums.sum(0)]).tolist()
        finite = np.isfinite(read[1])
        valid = self.valid.evaluate(self.net)
        rates = self.rates.present
        for place, course in enumerate(self.courses):
            course.end_epoch(read[0][place], bool(finite[place]), valid[place], rates[place])
        factors = self.rates.after_epoch(self.courses)
        if factors is not None:
            self.steps.rescale(factors)
        better = [place for place, course in enumerate(self.courses) if course.improved]
        if self._best is not None and better:
            index = torch.tensor(better, device=self.device)
            for kept, part in zip(self._best, self.net.values.parts, strict=True):
                kept[index] = part[index]

    def _result(self, place: int) -> Trained:
        course, values = self.courses[place], self.net.values
        if self._best is not None and course.replica.early_stopping:
            values = StackedArrays(self.net.sizes, self._best)
        course.trained.coefs = values.coefs(place)
        course.trained.intercepts = values.intercepts(place)
        return course.trained

    def _keep(self, places: list[int]) -> None:
        """Go on without the replicas that have stopped."""
        self.numbers = [self.numbers[place] for place in places]
        self.courses = [self.courses[place] for place in places]
        if not places:
            return
        replicas = [course.replica for course in self.courses]
        streams, groups = self._grouped(replicas)
        index = torch.tensor(places, device=self.device)
        if len(streams) < len(self.rows.streams):
            self.rows.keep(streams)
        self.net.keep(index, groups)
        self.objective.keep(np.array(places), groups)
        self.steps.keep(replicas, index)
        self.rates.keep(self.courses)
        self.valid.keep(streams)
        if self._best is not None:
            self._best = [part[index] for part in self._best]


def _dropout(replicas: Sequence[Replica]) -> np.ndarray | None:
    """Return the rates by hidden layer and replica, None where nothing is dropped."""
    n_hidden = len(replicas[0].coefs) - 1
    rates = np.array([replica.dropout or (0.0,) * n_hidden for replica in replicas]).T
    return rates if rates.any() else None


def _generator(replicas: Sequence[Replica], device: torch.device) -> torch.Generator:
    """Return what the dropout masks of all replicas are drawn from."""
    seeds = [replica.generator.initial_seed() for replica in replicas if replica.generator]
    seed = np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0] >> np.uint64(1)
    return torch.Generator(device=device).manual_seed(int(seed))
