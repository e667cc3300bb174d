"""Schedules that rise, fall or do both from step to step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from mlfund._check import check_fraction, check_positive
from mlfund.schedules._base import Position, TimedSchedule, check_share, cosine, share


@dataclass(frozen=True, repr=False)
class LinearWarmup(TimedSchedule):
    """Rises linearly to the base learning rate and stays there.

    Parameters
    ----------
    warmup_share : float, default=0.05
        Share of the run that the rise takes, in [0, 1].
    epochs, steps_per_epoch : float and int or None
        What a run and an epoch are; see `TimedSchedule`.
    """

    name: ClassVar[str] = "linear_warmup"
    warmup_share: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("warmup_share", self.warmup_share)

    def _at(self, now: Position) -> float:
        warmup_steps = round(self.warmup_share * now.total_steps)
        return min((now.step + 1) / warmup_steps, 1.0) if warmup_steps else 1.0


@dataclass(frozen=True, repr=False)
class Cosine(TimedSchedule):
    """Half a cosine wave from the base learning rate down to `final_factor` of it.

    Parameters
    ----------
    final_factor : float, default=0.0
        Factor that the run ends at, in [0, 1].
    epochs, steps_per_epoch : float and int or None
        What a run and an epoch are; see `TimedSchedule`.

    References
    ----------
    Loshchilov and Hutter (2017), SGDR, arXiv 1608.03983.
    """

    name: ClassVar[str] = "cosine"
    final_factor: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("final_factor", self.final_factor)

    def _at(self, now: Position) -> float:
        return cosine(1.0, self.final_factor, share(now.step, 0, now.total_steps))


@dataclass(frozen=True, repr=False)
class WarmupCosine(TimedSchedule):
    """Rises linearly, then falls along half a cosine wave.

    Parameters
    ----------
    warmup_share : float, default=0.05
        Share of the run that the rise takes, in [0, 1).
    final_factor : float, default=0.0
        Factor that the run ends at, in [0, 1].
    epochs, steps_per_epoch : float and int or None
        What a run and an epoch are; see `TimedSchedule`.
    """

    name: ClassVar[str] = "warmup_cosine"
    warmup_share: float = 0.05
    final_factor: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("warmup_share", self.warmup_share)
        check_share("final_factor", self.final_factor)

    def _at(self, now: Position) -> float:
        warmup_steps = round(self.warmup_share * now.total_steps)
        if now.step < warmup_steps:
            return (now.step + 1) / warmup_steps
        return cosine(1.0, self.final_factor, share(now.step, warmup_steps, now.total_steps))


@dataclass(frozen=True, repr=False)
class OneCycle(TimedSchedule):
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
    epochs, steps_per_epoch : float and int or None
        What a run and an epoch are; see `TimedSchedule`.

    References
    ----------
    Smith and Topin (2018), Super-convergence, arXiv 1708.07120.
    """

    name: ClassVar[str] = "one_cycle"
    rise_share: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction("rise_share", self.rise_share)
        check_positive("div_factor", self.div_factor)
        check_positive("final_div_factor", self.final_div_factor)

    def _at(self, now: Position) -> float:
        start, last = 1 / self.div_factor, now.total_steps - 1
        peak = self.rise_share * now.total_steps - 1
        if now.step <= peak:
            # A rise of one step is its own peak; torch divides by zero there.
            return cosine(start, 1.0, now.step / peak if peak > 0 else 1.0)
        # A rise shorter than a step leaves only the fall, from step 0.
        return cosine(1.0, start / self.final_div_factor, share(now.step, max(peak, 0.0), last))


@dataclass(frozen=True, repr=False)
class Triangular(TimedSchedule):
    """Rises and falls linearly between `min_factor` and 1, again and again.

    Parameters
    ----------
    cycle_epochs : int, default=8
        Epochs of one rise and fall.
    min_factor : float, default=0.1
        Factor at the foot, in (0, 1).
    epochs, steps_per_epoch : float and int or None
        What a run and an epoch are; see `TimedSchedule`.

    References
    ----------
    Smith (2017), Cyclical learning rates, arXiv 1506.01186.
    """

    name: ClassVar[str] = "triangular"
    cycle_epochs: int = 8
    min_factor: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("cycle_epochs", self.cycle_epochs, integer=True)
        check_fraction("min_factor", self.min_factor)

    def _at(self, now: Position) -> float:
        position = now.step / now.steps_per_epoch / self.cycle_epochs % 1.0
        return self.min_factor + (1 - self.min_factor) * (1 - abs(2 * position - 1))


@dataclass(frozen=True, repr=False)
class CosineRestarts(TimedSchedule):
    """Half a cosine wave after another, each starting at the base learning rate.

    As torch's CosineAnnealingWarmRestarts.

    Parameters
    ----------
    cycle_epochs : int, default=10
        Epochs of the first wave.
    cycle_factor : float, default=2.0
        How many times as long as the one before each wave is, at least 1.
    final_factor : float, default=0.0
        Factor that each wave ends at, in [0, 1].
    steps_per_epoch : int or None
        What an epoch is; see `TimedSchedule`.

    References
    ----------
    Loshchilov and Hutter (2017), SGDR, arXiv 1608.03983.
    """

    name: ClassVar[str] = "cosine_restarts"
    cycle_epochs: int = 10
    cycle_factor: float = 2.0
    final_factor: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("cycle_epochs", self.cycle_epochs, integer=True)
        if check_positive("cycle_factor", self.cycle_factor) < 1:
            raise ValueError(f"cycle_factor must be at least 1; got {self.cycle_factor!r}.")
        check_share("final_factor", self.final_factor)

    def _at(self, now: Position) -> float:
        position, length = float(now.step), float(self.cycle_epochs * now.steps_per_epoch)
        if self.cycle_factor == 1:
            position %= length
        while position >= length:
            position -= length
            length *= self.cycle_factor
        return cosine(1.0, self.final_factor, position / length)


@dataclass(frozen=True, repr=False)
class CosLog4(TimedSchedule):
    """Four waves from 0 to the base learning rate and back, each twice as long as the last.

    ``(1 - cos(2 pi log2(1 + 15 t))) / 2`` at the share t of the run, the schedule of
    RealMLP. The factor is 0 at the start and between the waves.

    Parameters
    ----------
    epochs, steps_per_epoch : float and int or None
        What a run and an epoch are; see `TimedSchedule`.

    References
    ----------
    Holzmueller, Grinsztajn, Steinwart (2024), Better by default: strong pre-tuned MLPs
    and boosted trees on tabular data, NeurIPS, arXiv 2407.04491.
    """

    name: ClassVar[str] = "coslog4"

    def _at(self, now: Position) -> float:
        waves = math.log2(1 + 15 * share(now.step, 0, now.total_steps))
        return math.sin(math.pi * waves) ** 2


@dataclass(frozen=True, repr=False)
class FunctionOfProgress(TimedSchedule):
    """A function of one's own of the share of the run that is done.

    Parameters
    ----------
    function : callable
        ``function(progress) -> float``: the factor, at least 0, for a progress from 0 to
        1. Pickled, and saved, by import path.
    epochs, steps_per_epoch : float and int or None
        What a run and an epoch are; see `TimedSchedule`.

    Examples
    --------
    >>> schedule = FunctionOfProgress(lambda progress: 1 - progress)
    >>> [schedule.factor(step, 4, 1) for step in range(4)]
    [1.0, 0.75, 0.5, 0.25]
    """

    name: ClassVar[str] = "function"
    # Needed, though the options it inherits have defaults: those are keyword-only.
    function: Callable[[float], float]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.function):
            raise ValueError(f"function must be callable; got {self.function!r}.")

    def _at(self, now: Position) -> float:
        progress = share(now.step, 0, now.total_steps)
        factor = self.function(progress)
        try:
            return float(check_positive("factor", factor, zero=True))
        except ValueError as error:
            raise ValueError(
                f"The schedule {self.function!r} must return a finite number of at least 0; at "
                f"progress {progress:g} it returned {factor!r}."
            ) from error
