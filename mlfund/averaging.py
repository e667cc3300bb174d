"""Averages of the weights along a training, which often generalise better than the last.

Examples
--------
>>> from mlfund.averaging import get_averaging
>>> get_averaging("ema", decay=0.99)
EMA(decay=0.99)
>>> get_averaging("swa").first_epoch(100)
76
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from mlfund._check import check_positive
from mlfund._entries import Entry, resolve


@dataclass(frozen=True)
class Averaging(Entry, ABC):
    """Which weights of a training are averaged, and how; subclasses say so.

    The average is what is evaluated on validation data and what a training ends with;
    the steps themselves are taken by the weights as they are.

    Attributes
    ----------
    name : str
        The name in `AVERAGINGS`.
    every : {"step", "epoch"}
        When weights join the average.
    """

    every: ClassVar[Literal["step", "epoch"]]

    def first_epoch(self, max_epochs: int) -> int:
        """Return the epoch, counted from 1, that is the first to be averaged."""
        return 1

    @abstractmethod
    def share(self, n: int) -> float:
        """Return the share in (0, 1] of the newest weights after `n` others have joined."""


@dataclass(frozen=True)
class EMA(Averaging):
    """Exponential moving average over steps (Polyak's averaging with forgetting).

    Parameters
    ----------
    decay : float, default=0.999
        Share of the past that is kept a step, in [0, 1). After t steps it is at most
        (1 + t) / (10 + t), so that the initial weights are soon forgotten.
    """

    name: ClassVar[str] = "ema"
    every: ClassVar[Literal["step", "epoch"]] = "step"
    decay: float = 0.999

    def __post_init__(self) -> None:
        if check_positive("decay", self.decay, zero=True) >= 1:
            raise ValueError(f"decay must be at least 0 and less than 1; got {self.decay!r}.")

    def share(self, n: int) -> float:
        """Return one minus the decay of the step."""
        return 1.0 - min(self.decay, (1 + n) / (10 + n))


@dataclass(frozen=True)
class SWA(Averaging):
    """Stochastic weight averaging: the mean of the weights at the ends of late epochs.

    Parameters
    ----------
    start : float, default=0.75
        Share of the epochs, in [0, 1), after which averaging begins. A training that
        ends before keeps the weights of its last step.

    References
    ----------
    Izmailov et al. (2018), Averaging weights leads to wider optima and better
    generalization, UAI.
    """

    name: ClassVar[str] = "swa"
    every: ClassVar[Literal["step", "epoch"]] = "epoch"
    start: float = 0.75

    def __post_init__(self) -> None:
        if check_positive("start", self.start, zero=True) >= 1:
            raise ValueError(f"start must be at least 0 and less than 1; got {self.start!r}.")

    def first_epoch(self, max_epochs: int) -> int:
        """Return the first epoch after that share of `max_epochs`."""
        return int(self.start * max_epochs) + 1

    def share(self, n: int) -> float:
        """Return the share that makes a plain mean."""
        return 1.0 / (n + 1)


def get_averaging(averaging: str | Averaging, **options: Any) -> Averaging:
    """Return the averaging of that name, or the instance given, with `options` set.

    Parameters
    ----------
    averaging : str or Averaging
        A name of `AVERAGINGS` or an instance.
    **options : object
        Fields to set: ``decay`` of "ema", ``start`` of "swa".

    Raises
    ------
    ValueError
        If the name or an option is not known, or an option is out of range.
    """
    return resolve("averaging", averaging, AVERAGINGS, options)


AVERAGINGS: dict[str, Averaging] = {
    "ema": EMA(),
    "swa": SWA(),
}
