"""What happens to one replica at the end of an epoch: rates, patience, divergence."""

from __future__ import annotations

import math

from mlfund._engine.divergence import EXPLODED
from mlfund._engine.plateau import gave_up, lowered, watch
from mlfund._engine.replicas_spec import Replica, Trained
from mlfund.schedules import Adaptive


class Course:
    """The course of one training, by the rules of the engine's callbacks.

    Parameters
    ----------
    replica : Replica
        What is asked for.
    n_rows : int
        Rows of an epoch.

    Attributes
    ----------
    lr : float
        Rate of the steps to come, where no schedule by position sets it.
    keeps_velocity : bool
        Whether the last change of the rate leaves velocities, not sums of gradients, as
        they are: see `mlfund.optimizers.set_learning_rate`.
    improved : bool
        Whether the last epoch had the best score.
    over : bool
        Whether the training has ended.
    """

    def __init__(self, replica: Replica, n_rows: int) -> None:
        self.replica = replica
        self.n_rows = n_rows
        self.trained = Trained()
        self.lr = replica.lr
        self.keeps_velocity = False
        self.improved = False
        self.over = False
        self._best = -math.inf if replica.early_stopping else math.inf
        self._stale = 0
        self._limit = math.inf
        schedule = replica.schedule
        self._schedule = schedule if isinstance(schedule, Adaptive) else None
        self._state = None if self._schedule is None else self._schedule.start()

    @property
    def n_epochs(self) -> int:
        """Return the epochs so far."""
        return len(self.trained.loss_curve)

    def end_epoch(
        self, loss: float, finite: bool, valid: tuple[float, float] | None, lr: float
    ) -> None:
        """Take note of an epoch, set the rate of the next one, or stop.

        Parameters
        ----------
        loss : float
            Mean loss, penalties included.
        finite : bool
            Whether all weights are finite.
        valid : (float, float) or None
            Loss and score of the valid rows.
        lr : float
            Rate that the epoch ended with.
        """
        done = self.trained
        done.loss_curve.append(loss)
        done.rates.append(lr)
        if valid is not None:
            done.valid_losses.append(valid[0])
            done.scores.append(valid[1])
        self.lr, self.keeps_velocity = lr, False
        self._guard(loss, finite)
        self._inverse_scaling()
        self._follow_schedule()
        self._watch()
        if done.stopped is not None or self.n_epochs == self.replica.max_epochs:
            self.over = True
            done.stale = self._stale
            if not self.replica.early_stopping:
                done.best_loss = self._best

    def _guard(self, loss: float, finite: bool) -> None:
        done = self.trained
        good = finite and math.isfinite(loss)
        if good and self.n_epochs == 1:
            self._limit = EXPLODED * loss
        if good and loss <= self._limit:
            done.bad_epoch = None
        elif done.bad_epoch is None:
            done.bad_epoch = self.n_epochs
        if not good:
            self._stop(f"The loss or a weight was not finite in epoch {self.n_epochs}.")

    def _inverse_scaling(self) -> None:
        if isinstance(self.replica.rate, tuple):
            t = self.n_epochs * self.n_rows
            self.lr = self.replica.lr / (t + 1) ** self.replica.rate[1]
            self.keeps_velocity = True

    def _follow_schedule(self) -> None:
        if self._schedule is None or self._state is None:
            return
        done = self.trained
        loss = -done.scores[-1] if done.scores else done.loss_curve[-1]
        self._state = self._schedule.advance(self._state, loss, self.replica.lr)
        self.lr = self.replica.lr * self._state.factor
        if self._state.exhausted:
            self._stop("The learning rate reached its smallest value.")

    def _watch(self) -> None:
        ours, done = self.replica, self.trained
        value = done.scores[-1] if ours.early_stopping else done.loss_curve[-1]
        self._best, self._stale, self.improved = watch(
            value, self._best, self._stale, tol=ours.tol, on_score=ours.early_stopping
        )
        if self._stale <= ours.patience:
            return
        lower = lowered(self.lr) if ours.rate == "adaptive" else None
        if lower is None:
            self._stop(gave_up(ours.tol, ours.patience, on_score=ours.early_stopping))
        else:
            self.lr, self._stale, self.keeps_velocity = lower, 0, True

    def _stop(self, why: str) -> None:
        # The first of several reasons counts.
        self.trained.stopped = self.trained.stopped or why
