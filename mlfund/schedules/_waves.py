"""Schedules that rise, fall or do both from step to step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mlfund._check import check_fraction, check_positive
from mlfund.schedules._base import Position, Schedule, check_share, cosine, share


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
        check_share("warmup_share", self.warmup_share)

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
        check_share("final_factor", self.final_factor)

    def _at(self, now: Position) -> float:
        return cosine(1.0, self.final_factor, share(now.step, 0, now.total_steps))


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
        check_share("warmup_share", self.warmup_share)
        check_share("final_factor", self.final_factor)

    def _at(self, now: Position) -> float:
        warmup_steps = round(self.warmup_share * now.total_steps)
        if now.step < warmup_steps:
            return (now.step + 1) / warmup_steps
        return cosine(1.0, self.final_factor, share(now.step, warmup_steps, now.total_steps))


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
            return cosine(start, 1.0, now.step / peak if peak > 0 else 1.0)
        # A rise shorter than a step leaves only the fall, from step 0.
        return cosine(1.0, start / self.final_div_factor, share(now.step, max(peak, 0.0), last))


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
