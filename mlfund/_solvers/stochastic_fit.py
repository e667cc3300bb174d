"""Stochastic descent by epochs, until the loss stops falling.

Examples
--------
>>> import numpy as np
>>> from mlfund._solvers.stochastic import Settings, Training
>>> from mlfund.losses import get_loss
>>> X = np.random.RandomState(0).standard_normal((500, 3))
>>> y = X @ [[1.0], [2.0], [-1.0]] + 4.0
>>> training = Training(get_loss("squared_error"), 1, Settings(max_iter=200), intercept=True)
>>> training.look_at(X, None, l2=0.0)
>>> outcome = minimise(training, X, y, None, rng=np.random.RandomState(0))
>>> W, b = training.weights()
>>> np.round(W[0], 2), np.round(b, 2)
(array([ 1.,  2., -1.]), array([4.]))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlfund._solvers.stochastic import Training

# A loss this many times the smallest one met has exploded.
EXPLODED = 1e3


@dataclass(frozen=True)
class Outcome:
    """How a training by epochs ended.

    Attributes
    ----------
    status : {"converged", "max_iter", "diverged", "stopped"}
    n_iter : int
        Epochs done.
    bad_epoch : int or None
        The epoch, from 1, in which the training diverged.
    good_epoch : int
        The epoch whose weights were kept; 0 for the start.
    """

    status: str
    n_iter: int
    bad_epoch: int | None = None
    good_epoch: int = 0


def minimise(
    training: Training,
    X: Any,
    y: np.ndarray,
    weight: np.ndarray | None,
    *,
    rng: np.random.RandomState,
    score: Callable[[Training], float] | None = None,
    after_epoch: Callable[[float], bool] | None = None,
) -> Outcome:
    """Train by epochs until the loss, or the score, stops improving.

    Parameters
    ----------
    training : Training
        After `look_at`.
    X, y, weight
        As for `Training.rows`.
    rng : RandomState
        Draws the order of the rows.
    score : callable, optional
        Score of the model on rows set aside, higher is better; the best weights are kept.
    after_epoch : callable, optional
        Is given the loss of each epoch; returning true ends the training.
    """
    settings = training.settings
    rows = training.rows(X, y, weight)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        watch = _Watch(training, training.objective(rows), score)
        for n_iter in range(1, settings.max_iter + 1):
            training.epoch(rows, rng)
            status = watch.look(training.objective(rows), n_iter)
            if after_epoch is not None and status is None and after_epoch(watch.loss):
                status = "stopped"
            if status is not None:
                return watch.end(status, n_iter)
    return watch.end("max_iter", settings.max_iter)


class _Watch:
    """Decides after each epoch whether to go on, and keeps the weights to return.

    Parameters
    ----------
    training : Training
    loss : float
        Objective at the start.
    score : callable or None
        As for `minimise`.
    """

    def __init__(self, training: Training, loss: float, score: Any) -> None:
        self.training, self.score = training, score
        self.loss = self._lowest = loss
        self._best = math.inf if score is not None else loss
        self._stale = 0
        self._kept, self._kept_epoch = training.snapshot(), 0
        self._bad_epoch: int | None = None
        # An adaptive schedule decides itself when the loss is flat for good.
        adaptive = training.settings.schedule.adaptive and score is None
        self._patience = math.inf if adaptive else training.settings.n_iter_no_change
        training.progress.loss_curve.append(loss)

    def look(self, loss: float, n_iter: int) -> str | None:
        """Return why to end after an epoch with this loss, or None to go on."""
        training, self.loss = self.training, loss
        training.progress.loss_curve.append(loss)
        if not (math.isfinite(loss) and training.is_finite()):
            self._bad_epoch = self._bad_epoch or n_iter
            return "diverged"
        self._lowest = min(self._lowest, loss)
        exploded = loss > EXPLODED * max(abs(self._lowest), math.sqrt(np.finfo(float).eps))
        self._bad_epoch = (self._bad_epoch or n_iter) if exploded else None
        value = loss if self.score is None else -self.score(training)
        if not exploded and (self.score is None or value < self._best):
            self._kept, self._kept_epoch = training.snapshot(), n_iter
        self._stale = 0 if value <= self._best - training.settings.tol else self._stale + 1
        self._best = min(self._best, value)
        exhausted = training.follow(value)
        return "converged" if self._stale > self._patience or exhausted else None

    def end(self, status: str, n_iter: int) -> Outcome:
        """Write the weights to keep back; return how the training ended."""
        if self._bad_epoch is not None:
            status = "diverged"
        if status == "diverged" or self.score is not None:
            self.training.V[...] = self._kept
        return Outcome(status, n_iter, self._bad_epoch, self._kept_epoch)
