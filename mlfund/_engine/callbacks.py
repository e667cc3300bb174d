"""Callbacks of the engine: stopping rules, learning rates, messages.

They are ordinary skorch callbacks. `in_order` puts those of the user first and those
that may end the training last; the engine sees to it that none of them misses the
last `on_epoch_end`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from skorch.callbacks import Callback, EarlyStopping, PrintLog
from torch import Tensor

from mlfund._engine.net import Engine, StopTraining
from mlfund._engine.plateau import gave_up, lowered, watch
from mlfund.optimizers import set_learning_rate
from mlfund.schedules import Adaptive


def in_order(callbacks: Iterable[Any]) -> list[Any]:
    """Return callbacks in the order in which they are told of the end of an epoch.

    Recorders first, then logs (they see what the recorders wrote), then skorch's
    EarlyStopping, whatever the order in which the user listed them.

    Raises
    ------
    ValueError
        If something is not a skorch callback.
    """
    listed = list(callbacks)
    for item in listed:
        callback = _callback_of(item)
        kind = callback if isinstance(callback, type) else type(callback)
        if not issubclass(kind, Callback):
            raise ValueError(
                f"callbacks must be skorch callbacks (instances of skorch.callbacks.Callback, "
                f"or pairs of a name and one); got {item!r}."
            )
    return sorted(listed, key=lambda item: _rank(_callback_of(item)))


def _callback_of(item: Any) -> Any:
    return item[1] if isinstance(item, tuple) and len(item) == 2 else item


def _rank(callback: Any) -> int:
    kind = callback if isinstance(callback, type) else type(callback)
    if issubclass(kind, EarlyStopping):
        return 2
    return 1 if issubclass(kind, PrintLog) else 0


class StopOnPlateau(Callback):
    """scikit-learn's stopping rule, on the training loss or on the validation score.

    An epoch that does not improve the best value by at least `tol` is stale; more than
    `patience` stale epochs in a row end the training or, with `lower`, lower the
    learning rate.

    Parameters
    ----------
    tol : float
        Least improvement.
    patience : int or inf
        Stale epochs that are borne.
    on_score : bool
        Watch `valid_score` (higher is better) and keep the best weights, instead of
        `train_loss`.
    best : float
        Best value so far; +inf or -inf at the start.
    stale : int, default=0
        Stale epochs in a row so far.
    lower : callable, optional
        ``lower(net) -> bool``: lowers the learning rate; False when it cannot.
    """

    def __init__(
        self,
        *,
        tol: float,
        patience: float,
        on_score: bool,
        best: float,
        stale: int = 0,
        lower: Callable[[Engine], bool] | None = None,
    ) -> None:
        self.tol = tol
        self.patience = patience
        self.on_score = on_score
        self.best = best
        self.stale = stale
        self.lower = lower
        self._best_weights: Tensor | None = None

    def on_train_begin(self, net: Engine, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Take the present weights as the best so far."""
        if self.on_score:
            self._best_weights = net.snapshot()

    def on_epoch_end(self, net: Engine, *args: Any, **kwargs: Any) -> None:
        """Count stale epochs; stop or lower the learning rate after too many."""
        value = net.history[-1]["valid_score" if self.on_score else "train_loss"]
        self.best, self.stale, improved = watch(
            value, self.best, self.stale, tol=self.tol, on_score=self.on_score
        )
        if improved and self.on_score:
            self._best_weights = net.snapshot()
        if self.stale > self.patience:
            self._give_up(net)

    def on_train_end(self, net: Engine, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Go back to the best weights, if the validation score is watched."""
        if self._best_weights is not None:
            net.parameters.restore(self._best_weights)

    def _give_up(self, net: Engine) -> None:
        if self.lower is not None and self.lower(net):
            self.stale = 0
            return
        raise StopTraining(gave_up(self.tol, self.patience, on_score=self.on_score))


def lower_adaptively(net: Engine) -> bool:
    """Divide the learning rate by 5; False once it has reached 1e-6."""
    lr = lowered(net.present_lr)
    if lr is None:
        return False
    set_learning_rate(net.optimizer_, lr, keep_velocity=True)
    return True


class InverseScaling(Callback):
    """scikit-learn's learning_rate="invscaling": ``lr / (t + 1) ** power_t``.

    Parameters
    ----------
    lr : float
        Initial learning rate.
    power_t : float
        Exponent.
    t : int
        Rows seen before this training.
    """

    def __init__(self, lr: float, power_t: float, t: int) -> None:
        self.lr = lr
        self.power_t = power_t
        self.t = t

    def on_epoch_end(
        self, net: Engine, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any
    ) -> None:
        """Set the rate of the next epoch."""
        self.t += len(dataset_train)
        lr = self.lr / (self.t + 1) ** self.power_t
        set_learning_rate(net.optimizer_, lr, keep_velocity=True)


class RecordLearningRate(Callback):
    """Write the learning rate that an epoch ended with into the history as `lr`."""

    def on_epoch_end(self, net: Engine, *args: Any, **kwargs: Any) -> None:
        """Record the rate."""
        net.history.record("lr", net.present_lr)


class ProgressText(Callback):
    """Print scikit-learn's line an epoch to standard output."""

    def on_epoch_end(self, net: Engine, *args: Any, **kwargs: Any) -> None:
        """Print loss and, where there is one, validation score."""
        row = net.history[-1]
        sys.stdout.write(f"Iteration {row['epoch']}, loss = {row['train_loss']:.8f}\n")
        if "valid_score" in row:
            sys.stdout.write(f"Validation score: {row['valid_score']:f}\n")


class FollowAdaptive(Callback):
    """Drive a schedule that watches the loss, or the validation score where there is one.

    Parameters
    ----------
    schedule : Adaptive
        Entry of `mlfund.schedules` with a state.
    lr : float
        Base learning rate.
    """

    def __init__(self, schedule: Adaptive, lr: float) -> None:
        self.schedule = schedule
        self.lr = lr
        self._state = schedule.start()

    def on_epoch_end(self, net: Engine, *args: Any, **kwargs: Any) -> None:
        """Advance the schedule; stop when it is exhausted."""
        row = net.history[-1]
        loss = -row["valid_score"] if "valid_score" in row else row["train_loss"]
        self._state = self.schedule.advance(self._state, loss, self.lr)
        net.set_lr(self.lr * self._state.factor)
        if self._state.exhausted:
            raise StopTraining("The learning rate reached its smallest value.")
