"""Schedules that fall from epoch to epoch, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mlfund._check import check_fraction, check_positive
from mlfund.schedules._base import Changes, Position, Schedule


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
