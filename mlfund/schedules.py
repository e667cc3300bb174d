"""Schedules: how the learning rate changes while training runs.

A schedule is a pure function of the position in the run that multiplies the base
learning rate; nothing has to be stepped, saved or restored. The lengths are in
epochs or in shares of the whole run, so another batch size leaves the shape as it
is. The schedules that watch the loss, "adaptive" and "plateau", add a small state
that whoever trains carries from epoch to epoch.

Examples
--------
>>> from mlfund.schedules import get_schedule
>>> cosine = get_schedule("cosine")
>>> [round(cosine.factor(step, 4, 1), 3) for step in range(5)]
[1.0, 0.854, 0.5, 0.146, 0.0]
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

from mlfund._check import check_fraction, check_positive
from mlfund._entries import Entry, resolve

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


def _share(step: int, first: float, last: float) -> float:
    """Return how far `step` is on the way from `first` to `last`, at most 1."""
    return min((step - first) / (last - first), 1.0) if last > first else 1.0


def _cosine(start: float, end: float, progress: float) -> float:
    """Return the point of half a cosine wave from `start` to `end`."""
    # cos^2 of half the angle: (1 + cos) / 2 rounds to 0 before a long run has ended.
    return end + (start - end) * math.cos(math.pi / 2 * progress) ** 2


def _check_share(name: str, value: float) -> None:
    if check_positive(name, value, zero=True) > 1:
        raise ValueError(f"{name} must lie between 0 and 1; got {value!r}.")


@dataclass(frozen=True)
class Constant(Schedule):
    """The base learning rate throughout."""

    name: ClassVar[str] = "constant"
    changes: ClassVar[Changes] = "never"

    def _at(self, now: Position) -> float:
        return 1.0


@dataclass(frozen=True)
class InverseScaling(Schedule):
    """1 / (t + 1)^power_t with t the rows seen in whole epochs, as in scikit-learn.

    Parameters
    ----------
    power_t : float, default=0.5
        Exponent >= 0.
    """

    name: ClassVar[str] = "invscaling"
    changes: ClassVar[Changes] = "epoch"
    power_t: float = 0.5

    def __post_init__(self) -> None:
        check_positive("power_t", self.power_t, zero=True)

    def _at(self, now: Position) -> float:
        return float((now.epoch * now.rows_per_epoch + 1) ** -self.power_t)


@dataclass(frozen=True)
class StepDecay(Schedule):
    """Multiplies the learning rate by `gamma` every so many epochs.

    Parameters
    ----------
    every_epochs : int, default=30
        Epochs between two drops.
    gamma : float, default=0.1
        Factor of each drop, in (0, 1).
    """

    name: ClassVar[str] = "step"
    changes: ClassVar[Changes] = "epoch"
    every_epochs: int = 30
    gamma: float = 0.1

    def __post_init__(self) -> None:
        check_positive("every_epochs", self.every_epochs, integer=True)
        check_fraction("gamma", self.gamma)

    def _at(self, now: Position) -> float:
        return float(self.gamma ** (now.epoch // self.every_epochs))


@dataclass(frozen=True)
class Exponential(Schedule):
    """Multiplies the learning rate by `gamma` after every epoch.

    Parameters
    ----------
    gamma : float, default=0.95
        Factor of each epoch, in (0, 1).
    """

    name: ClassVar[str] = "exponential"
    changes: ClassVar[Changes] = "epoch"
    gamma: float = 0.95

    def __post_init__(self) -> None:
        check_fraction("gamma", self.gamma)

    def _at(self, now: Position) -> float:
        return float(self.gamma**now.epoch)


@dataclass(frozen=True)
class LinearWarmup(Schedule):
    """Rises linearly to the base learning rate and stays there.

    Parameters
    ----------
    warmup_share : float, default=0.05
        Share of the run that the rise takes, in [0, 1].
    """

    name: ClassVar[str] = "linear_warmup"
    warmup_share: float = 0.05

    def __post_init__(self) -> None:
        _check_share("warmup_share", self.warmup_share)

    def _at(self, now: Position) -> float:
        warmup_steps = round(self.warmup_share * now.total_steps)
        return min((now.step + 1) / warmup_steps, 1.0) if warmup_steps else 1.0


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine wave from the base learning rate down to `final_factor` of it.

    Parameters
    ----------
    final_factor : float, default=0.0
        Factor that the run ends at, in [0, 1].

    References
    ----------
    Loshchilov and Hutter (2017), SGDR, arXiv 1608.03983.
    """

    name: ClassVar[str] = "cosine"
    final_factor: float = 0.0

    def __post_init__(self) -> None:
        _check_share("final_factor", self.final_factor)

    def _at(self, now: Position) -> float:
        return _cosine(1.0, self.final_factor, _share(now.step, 0, now.total_steps))


@dataclass(frozen=True)
class WarmupCosine(Schedule):
    """Rises linearly, then falls along half a cosine wave.

    Parameters
    ----------
    warmup_share : float, default=0.05
        Share of the run that the rise takes, in [0, 1).
    final_factor : float, default=0.0
        Factor that the run ends at, in [0, 1].
    """

    name: ClassVar[str] = "warmup_cosine"
    warmup_share: float = 0.05
    final_factor: float = 0.0

    def __post_init__(self) -> None:
        _check_share("warmup_share", self.warmup_share)
        _check_share("final_factor", self.final_factor)

    def _at(self, now: Position) -> float:
        warmup_steps = round(self.warmup_share * now.total_steps)
        if now.step < warmup_steps:
            return (now.step + 1) / warmup_steps
        return _cosine(1.0, self.final_factor, _share(now.step, warmup_steps, now.total_steps))


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Rises from ``1 / div_factor`` to 1 and falls far below, along cosine waves.

    The learning rate given is the *largest* of the run. As torch's OneCycleLR; the
    momentum is left alone.

    Parameters
    ----------
    rise_share : float, default=0.3
        Share of the run that the rise takes, in (0, 1).
    div_factor : float, default=25.0
        The run starts at 1 / div_factor.
    final_div_factor : float, default=1e4
        The last step has 1 / (div_factor * final_div_factor).

    References
    ----------
    Smith and Topin (2018), Super-convergence, arXiv 1708.07120.
    """

    name: ClassVar[str] = "one_cycle"
    rise_share: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self) -> None:
        check_fraction("rise_share", self.rise_share)
        check_positive("div_factor", self.div_factor)
        check_positive("final_div_factor", self.final_div_factor)

    def _at(self, now: Position) -> float:
        start, last = 1 / self.div_factor, now.total_steps - 1
        peak = self.rise_share * now.total_steps - 1
        if now.step <= peak:
            # A rise of one step is its own peak; torch divides by zero there.
            return _cosine(start, 1.0, now.step / peak if peak > 0 else 1.0)
        # A rise shorter than a step leaves only the fall, from step 0.
        return _cosine(1.0, start / self.final_div_factor, _share(now.step, max(peak, 0.0), last))


@dataclass(frozen=True)
class Triangular(Schedule):
    """Rises and falls linearly between `min_factor` and 1, again and again.

    Parameters
    ----------
    cycle_epochs : int, default=8
        Epochs of one rise and fall.
    min_factor : float, default=0.1
        Factor at the foot, in (0, 1).

    References
    ----------
    Smith (2017), Cyclical learning rates, arXiv 1506.01186.
    """

    name: ClassVar[str] = "triangular"
    cycle_epochs: int = 8
    min_factor: float = 0.1

    def __post_init__(self) -> None:
        check_positive("cycle_epochs", self.cycle_epochs, integer=True)
        check_fraction("min_factor", self.min_factor)

    def _at(self, now: Position) -> float:
        position = now.step / now.steps_per_epoch / self.cycle_epochs % 1.0
        return self.min_factor + (1 - self.min_factor) * (1 - abs(2 * position - 1))


@dataclass(frozen=True)
class AdaptiveState:
    """What an adaptive schedule remembers between epochs.

    Attributes
    ----------
    factor : float
        Present factor of the base learning rate.
    best : float
        Smallest loss so far.
    stale_epochs : int
        Epochs in a row without an improvement since the last reduction.
    exhausted : bool
        Whether the learning rate was due to shrink and could not: training may stop.
    """

    factor: float = 1.0
    best: float = math.inf
    stale_epochs: int = 0
    exhausted: bool = False


@dataclass(frozen=True)
class Adaptive(Schedule):
    """Divides the learning rate when the loss stops improving, as in scikit-learn.

    An epoch is stale when its loss is not below the best so far by `tol`. More than
    `patience` stale epochs in a row divide the learning rate, or exhaust the schedule
    when the learning rate is down to `min_learning_rate`.

    Parameters
    ----------
    patience : int, default=10
        Stale epochs in a row that are borne; scikit-learn's ``n_iter_no_change``.
    tol : float, default=1e-4
        Improvement that counts, in units of the loss.
    divisor : float, default=5.0
        What the learning rate is divided by, above 1.
    min_learning_rate : float, default=1e-6
        At or below this learning rate there is no further division.

    Examples
    --------
    >>> schedule = Adaptive(patience=1)
    >>> state = schedule.start()
    >>> for loss in [0.9, 0.9, 0.9]:
    ...     state = schedule.advance(state, loss, base_learning_rate=0.1)
    >>> state.factor
    0.2
    """

    name: ClassVar[str] = "adaptive"
    changes: ClassVar[Changes] = "epoch"
    adaptive: ClassVar[bool] = True
    patience: int = 10
    tol: float = 1e-4
    divisor: float = 5.0
    min_learning_rate: float = 1e-6

    def __post_init__(self) -> None:
        check_positive("patience", self.patience, zero=True)
        check_positive("tol", self.tol, zero=True)
        check_positive("min_learning_rate", self.min_learning_rate, zero=True)
        if check_positive("divisor", self.divisor) <= 1:
            raise ValueError(f"divisor must be greater than 1; got {self.divisor!r}.")

    def _at(self, now: Position) -> float:
        return 1.0

    def start(self) -> AdaptiveState:
        """Return the state before the first epoch."""
        return AdaptiveState()

    def advance(
        self, state: AdaptiveState, loss: float, base_learning_rate: float
    ) -> AdaptiveState:
        """Return the state after an epoch.

        Parameters
        ----------
        state : AdaptiveState
            State before the epoch; it is left as it is.
        loss : float
            Loss of the epoch, or minus a score that should rise.
        base_learning_rate : float
            What the factor multiplies.
        """
        # Written so that a NaN loss counts as stale.
        improved = loss <= state.best - self.tol
        stale_epochs = 0 if improved else state.stale_epochs + 1
        best = loss if loss < state.best else state.best
        state = replace(state, best=best, stale_epochs=stale_epochs)
        if stale_epochs <= self.patience:
            return state
        if state.factor * base_learning_rate <= self.min_learning_rate:
            return replace(state, exhausted=True)
        return replace(state, factor=state.factor / self.divisor, stale_epochs=0)


@dataclass(frozen=True)
class Plateau(Adaptive):
    """Adaptive with the customary numbers of computer vision: a tenth, never stopping.

    Parameters
    ----------
    patience : int, default=5
        Stale epochs in a row that are borne.
    tol : float, default=1e-4
        Improvement that counts, in units of the loss.
    divisor : float, default=10.0
        What the learning rate is divided by, above 1.
    min_learning_rate : float, default=0.0
        At or below this learning rate there is no further division.
    """

    name: ClassVar[str] = "plateau"
    patience: int = 5
    divisor: float = 10.0
    min_learning_rate: float = 0.0


def get_schedule(schedule: str | Schedule, **options: Any) -> Schedule:
    """Return the schedule of that name, or the instance given, with `options` set.

    Parameters
    ----------
    schedule : str or Schedule
        A name of `SCHEDULES` or an instance.
    **options : object
        Fields to set, such as ``power_t`` of "invscaling".

    Raises
    ------
    ValueError
        If the name or an option is not known, or an option is out of range.

    Examples
    --------
    >>> get_schedule("invscaling", power_t=0.25)
    InverseScaling(power_t=0.25)
    """
    return resolve("schedule", schedule, SCHEDULES, options)


SCHEDULES: dict[str, Schedule] = {
    "constant": Constant(),
    "invscaling": InverseScaling(),
    "step": StepDecay(),
    "exponential": Exponential(),
    "linear_warmup": LinearWarmup(),
    "cosine": Cosine(),
    "warmup_cosine": WarmupCosine(),
    "one_cycle": OneCycle(),
    "triangular": Triangular(),
    "adaptive": Adaptive(),
    "plateau": Plateau(),
}
