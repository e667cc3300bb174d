"""What every schedule is: a pure function of the position in a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from mlfund._check import check_positive
from mlfund._entries import Entry

Changes = Literal["never", "epoch", "step"]


class Position(NamedTuple):
    """A place in a run of training."""

    step: int
    total_steps: int
    steps_per_epoch: int
    rows_per_epoch: int

    @property
    def epoch(self) -> int:
        """Return the number of whole epochs done."""
        return self.step // self.steps_per_epoch


@dataclass(frozen=True)
class Schedule(Entry):
    """A factor of the base learning rate; subclasses say which.

    Attributes
    ----------
    name : str
        The name in `SCHEDULES`.
    changes : {"never", "epoch", "step"}
        How often the factor may change; within an epoch it is constant for "epoch".
    adaptive : bool
        Whether the schedule watches the loss: then `factor` is 1 and the factor is
        that of the state which `start` and `advance` return, an `Adaptive`.
    """

    changes: ClassVar[Changes] = "step"
    adaptive: ClassVar[bool] = False

    def factor(
        self, step: int, total_steps: int, steps_per_epoch: int, *, rows_per_epoch: int = 1
    ) -> float:
        """Return the factor for one step, positive for ``step < total_steps``.

        Parameters
        ----------
        step : int
            Steps taken before this one; the first step is 0. From `total_steps` on
            the factor stays where the run ended.
        total_steps : int
            Steps of the whole run.
        steps_per_epoch : int
            Steps of one pass over the rows.
        rows_per_epoch : int, default=1
            Rows of one pass. Only "invscaling" uses it: scikit-learn counts rows.
        """
        return self._at(Position(step, total_steps, steps_per_epoch, rows_per_epoch))

    def _at(self, now: Position) -> float:
        """Return the factor at a position in the run."""
        raise NotImplementedError


def share(step: int, first: float, last: float) -> float:
    """Return how far `step` is on the way from `first` to `last`, at most 1."""
    return min((step - first) / (last - first), 1.0) if last > first else 1.0


def cosine(start: float, end: float, progress: float) -> float:
    """Return the point of half a cosine wave from `start` to `end`."""
    # cos^2 of half the angle: (1 + cos) / 2 rounds to 0 before a long run has ended.
    return end + (start - end) * math.cos(math.pi / 2 * progress) ** 2


def check_share(name: str, value: float) -> None:
    """Refuse a share of the run that is not between 0 and 1."""
    if check_positive(name, value, zero=True) > 1:
        raise ValueError(f"{name} must lie between 0 and 1; got {value!r}.")
