"""Schedules that fall from epoch to epoch, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mlfund._check import check_fraction, check_positive
from mlfund.schedules._base import Changes, Position, Schedule, TimedSchedule


@dataclass(frozen=True)
class Constant(Schedule):
    """The base learning rate throughout."""

    name: ClassVar[str] = "constant"

    @property
    def changes(self) -> Changes:
        """Return "never"."""
        return "never"

    def _at(self, now: Position) -> float:
        return 1.0


@dataclass(frozen=True, repr=False)
class InverseScaling(TimedSchedule):
    """1 / (t + 1)^power_t with t the rows seen in whole epochs, as in scikit-learn.

    Parameters
    ----------
    power_t : float, default=0.5
        Exponent >= 0.
    steps_per_epoch : int or None
        What an epoch is; see `TimedSchedule`.
    """

    name: ClassVar[str] = "invscaling"
    by_epoch: ClassVar[bool] = True
    power_t: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("power_t", self.power_t, zero=True)

    def _at(self, now: Position) -> float:
        return float((now.epoch * now.rows_per_epoch + 1) ** -self.power_t)


@dataclass(frozen=True, repr=False)
class StepDecay(TimedSchedule):
    """Multiplies the learning rate by `gamma` every so many epochs.

    Parameters
    ----------
    every_epochs : int, default=30
        Epochs between two drops.
    gamma : float, default=0.1
        Factor of each drop, in (0, 1).
    steps_per_epoch : int or None
        What an epoch is; see `TimedSchedule`.
    """

    name: ClassVar[str] = "step"
    by_epoch: ClassVar[bool] = True
    every_epochs: int = 30
    gamma: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("every_epochs", self.every_epochs, integer=True)
        check_fraction("gamma", self.gamma)

    def _at(self, now: Position) -> float:
        return float(self.gamma ** (now.epoch // self.every_epochs))


@dataclass(frozen=True, repr=False)
class Exponential(TimedSchedule):
    """Multiplies the learning rate by `gamma` after every epoch.

    Parameters
    ----------
    gamma : float, default=0.95
        Factor of each epoch, in (0, 1).
    steps_per_epoch : int or None
        What an epoch is; see `TimedSchedule`.
    """

    name: ClassVar[str] = "exponential"
    by_epoch: ClassVar[bool] = True
    gamma: float = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction("gamma", self.gamma)

    def _at(self, now: Position) -> float:
        return float(self.gamma**now.epoch)
