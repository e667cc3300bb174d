"""Schedules that watch the loss, and what they remember of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from mlfund._check import check_positive
from mlfund.schedules._base import Changes, Position, Schedule


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

    @property
    def changes(self) -> Changes:
        """Return "epoch"."""
        return "epoch"

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
