"""The learning rates of stacked replicas, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mlfund._engine.replicas_course import Course
from mlfund.schedules import Schedule


class Rates(NamedTuple):
    """The learning rates of one step.

    Attributes
    ----------
    column : Tensor of shape (R, 1)
        On the device.
    on_host : list of float
        The same.
    """

    column: Tensor
    on_host: list[float]


class StackedRates:
    """The rate of every replica at every step.

    Parameters
    ----------
    courses : sequence of Course
        Of the replicas, in the order of the stack.
    like : Tensor
        Of the dtype and device of the rates.
    steps_per_epoch : int
        Steps of an epoch.
    """

    def __init__(self, courses: Sequence[Course], like: Tensor, steps_per_epoch: int) -> None:
        self._like = like.new_empty(())
        self._per_epoch = steps_per_epoch
        self._n_steps = 0
        self.keep(courses)

    def keep(self, courses: Sequence[Course]) -> None:
        """Go on with these replicas alone."""
        self._base = np.array([course.replica.lr for course in courses])
        # Replicas of one schedule and length have one factor.
        kinds: dict[object, int] = {}
        self._kind_of = np.zeros(len(courses), dtype=int)
        self._kinds: list[tuple[Schedule | None, int, int]] = []
        for place, course in enumerate(courses):
            ours = course.replica
            schedule = ours.schedule
            if schedule is not None and schedule.adaptive:
                schedule = None
            key = None if schedule is None else (id(schedule), ours.max_epochs)
            if key not in kinds:
                kinds[key] = len(self._kinds)
                self._kinds.append((schedule, ours.max_epochs, course.n_rows))
            self._kind_of[place] = kinds[key]
        self._scheduled = np.array([kind[0] is not None for kind in self._kinds])[self._kind_of]
        self._set(np.array([course.lr for course in courses]))

    def _set(self, present: np.ndarray) -> None:
        self._present = present
        column = torch.from_numpy(present).to(self._like).unsqueeze(1)
        self._rates = Rates(column, present.tolist())

    @property
    def present(self) -> list[float]:
        """Return the rates of the last step."""
        return self._rates.on_host

    def next(self) -> Rates:
        """Return the rates of the next step."""
        if self._scheduled.any():
            factors = [
                1.0
                if schedule is None
                else schedule.factor(
                    self._n_steps,
                    max_epochs * self._per_epoch,
                    self._per_epoch,
                    rows_per_epoch=n_rows,
                )
                for schedule, max_epochs, n_rows in self._kinds
            ]
            by_step = self._base * np.array(factors)[self._kind_of]
            self._set(np.where(self._scheduled, by_step, self._present))
        self._n_steps += 1
        return self._rates

    def after_epoch(self, courses: Sequence[Course]) -> Tensor | None:
        """Take the rates that the courses set; return factors (R, 1) of velocities, or None.

        A velocity stays as it is where the rate changes and torch would multiply the sum
        of gradients by the new one.
        """
        before, after = self._present, np.array([course.lr for course in courses])
        if np.array_equal(before, after):
            return None
        self._set(after)
        keeps = np.array([course.keeps_velocity for course in courses]) & (after > 0)
        if not keeps.any():
            return None
        factors = np.divide(before, after, out=np.ones_like(after), where=keeps)
        return torch.from_numpy(factors).to(self._like).unsqueeze(1)
