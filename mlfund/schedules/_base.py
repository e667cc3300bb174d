"""What every schedule is: a pure function of the position in a run."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

from mlfund._check import check_positive
from mlfund._entries import Entry

Changes = Literal["never", "epoch", "step"]


class Position(NamedTuple):
    """A place in a run of training."""

    step: int
    total_steps: int
    steps_per_epoch: int
    rows_per_epoch: float

    @property
    def epoch(self) -> int:
        """Return the number of whole epochs done."""
        return self.step // self.steps_per_epoch


@dataclass(frozen=True)
class Schedule(Entry):
    """A factor of the base learning rate; subclasses say which, one of your own by `factor`.

    Attributes
    ----------
    name : str
        The name in `SCHEDULES`.
    changes : {"never", "epoch", "step"}
        How often the factor may change; for "epoch" it is constant within a pass over
        the rows.
    adaptive : bool
        Whether the schedule watches the loss: then `factor` is 1 and the factor is
        that of the state which `start` and `advance` return, an `Adaptive`.
    """

    adaptive: ClassVar[bool] = False

    @property
    def changes(self) -> Changes:
        """Return how often the factor may change."""
        return "step"

    def factor(
        self, step: int, total_steps: int, steps_per_epoch: int, *, rows_per_epoch: int = 1
    ) -> float:
        """Return the factor for one step, at least 0.

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
        now = Position(step, total_steps, steps_per_epoch, rows_per_epoch)
        return self._at(self._counted(now))

    def _counted(self, now: Position) -> Position:
        """Return the position in the epochs and the length that the schedule counts by."""
        return now

    def _at(self, now: Position) -> float:
        """Return the factor at a position in the run."""
        raise NotImplementedError(f"{type(self).__name__} says no factor; write its `factor`.")


@dataclass(frozen=True, repr=False)
class TimedSchedule(Schedule):
    """A schedule with lengths, in epochs or in shares of the run, that say what these are.

    With neither option an epoch is a pass over the rows and the run all of the training.

    Parameters
    ----------
    epochs : float or None, default=None
        Length of the run in epochs, where it is not all of the training; after that the
        factor stays where the run ended.
    steps_per_epoch : int or None, default=None
        Steps that count as an epoch, 5,000 for instance: the schedule is then the same
        function of the step for all batch sizes and numbers of rows. None counts passes
        over the rows, and the schedule is the same function of the epoch.
    """

    # As often as the factor changes when an epoch is a pass over the rows.
    by_epoch: ClassVar[bool] = False
    epochs: float | None = field(default=None, kw_only=True)
    steps_per_epoch: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.epochs is not None:
            check_positive("epochs", self.epochs)
        if self.steps_per_epoch is not None:
            check_positive("steps_per_epoch", self.steps_per_epoch, integer=True)

    def __repr__(self) -> str:
        """Return the call that makes the entry; epochs and steps only where they are set."""
        fields = sorted(dataclasses.fields(self), key=lambda one: bool(one.kw_only))
        values = {one.name: getattr(self, one.name) for one in fields}
        shown = (f"{k}={v!r}" for k, v in values.items() if v is not None)
        return f"{type(self).__name__}({', '.join(shown)})"

    @property
    def changes(self) -> Changes:
        """Return how often the factor may change."""
        return "epoch" if self.by_epoch and self.steps_per_epoch is None else "step"

    def _counted(self, now: Position) -> Position:
        steps, rows, total = self.steps_per_epoch, now.rows_per_epoch, now.total_steps
        if steps is None:
            steps = now.steps_per_epoch
        else:
            rows = rows * steps / now.steps_per_epoch
        if self.epochs is not None:
            total = max(1, round(self.epochs * steps))
        return Position(now.step, total, steps, rows)


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
