"""Stochastic gradient descent for linear models: any pointwise loss, any optimizer.

One `Training` holds the weights, the state of the optimizer and the place in the
schedule; `look_at` shows it rows whose columns it will meet, `epoch` passes over rows
once. `stochastic_fit.minimise` calls `epoch` until the loss stops falling, a stream calls
both for every chunk. `export` and `Training.restore` carry a training through a file.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlfund._solvers.stochastic_gradients import derivative_of, total_loss
from mlfund._solvers.stochastic_rates import base_learning_rate
from mlfund._solvers.stochastic_rows import Block, Coordinates, Moments, Rows
from mlfund._solvers.stochastic_steps import make_step
from mlfund.losses import Loss
from mlfund.optimizers import OPTIMIZERS, Optimizer
from mlfund.schedules import SCHEDULES, Adaptive, AdaptiveState, Schedule

LARGEST_L1 = 1e30


@dataclass(frozen=True)
class Settings:
    """How to descend.

    Attributes
    ----------
    optimizer : Optimizer
    schedule : Schedule
    learning_rate_init : float or None
        None takes what the curvature of the loss and the optimizer allow.
    batch_size : int or None
        None is chosen by the number of rows; `math.inf` is all of them.
    shuffle : bool
        Whether each epoch draws a new order.
    max_iter : int
        Most epochs.
    tol : float
        Improvement of the loss (or of the score) that counts.
    n_iter_no_change : float
        Epochs in a row without one that are borne.
    """

    optimizer: Optimizer = OPTIMIZERS["adam"]
    schedule: Schedule = SCHEDULES["constant"]
    learning_rate_init: float | None = None
    batch_size: float | None = None
    shuffle: bool = True
    max_iter: int = 100
    tol: float = 1e-4
    n_iter_no_change: float = 5


def rows_of_batch(batch_size: float | None, n: int) -> int:
    """Return the rows of a batch for n rows in all; None chooses, infinity is all of them.

    Examples
    --------
    >>> rows_of_batch(None, 150), rows_of_batch(None, 6_000), rows_of_batch(math.inf, 150)
    (16, 64, 150)
    """
    if batch_size is None:
        # Some hundred steps an epoch, in batches that the products can use.
        return int(min(n, np.clip(2 ** round(math.log2(max(n, 1) / 100)), 16, 256)))
    return int(min(batch_size, n))


@dataclass
class Progress:
    """Where a training stands, in plain numbers.

    Attributes
    ----------
    epochs : int
    learning_rate : float or None
        The base rate, once there is one.
    adaptive : AdaptiveState
    loss_curve : list of float
        Mean loss plus penalty: at the start, and after each epoch.
    """

    epochs: int = 0
    learning_rate: float | None = None
    adaptive: AdaptiveState = field(default_factory=AdaptiveState)
    loss_curve: list[float] = field(default_factory=list)


class Training:
    """A linear model in training.

    Parameters
    ----------
    loss : Loss
        A pointwise loss of the vocabulary.
    k : int
        Raw scores a row.
    settings : Settings
    intercept : bool
    dtype : numpy dtype, default=float64
        Of the arithmetic; that of X.
    device : torch.device or None, default=None
        None computes with numpy on the CPU.
    """

    def __init__(
        self,
        loss: Loss,
        k: int,
        settings: Settings,
        *,
        intercept: bool,
        dtype: Any = np.float64,
        device: Any = None,
    ) -> None:
        self.loss, self.k, self.settings = loss, k, settings
        self.intercept, self.dtype, self.device = intercept, np.dtype(dtype), device
        self.progress = Progress()
        self.moments: Moments | None = None
        self.coordinates: Coordinates | None = None
        self.V: Any = None
        self.xp: Any = np
        if device is not None:
            import torch

            self.xp = torch
        self._derivative = derivative_of(loss, self.xp)

    # --- columns -----------------------------------------------------------------

    def look_at(
        self, X: Any, weight: np.ndarray | None, *, l2: float, l1: float = 0.0, start: Any = None
    ) -> None:
        """Choose the coordinates for rows to come; the model stays the function it is.

        Parameters
        ----------
        X : ndarray or CSR of shape (n, d)
        weight : ndarray of shape (n,) or None
        l2, l1 : float
            Penalty for the mean loss: ``0.5 * l2 * |w|^2 + l1 * |w|_1``.
        start : (W, b), optional
            Weights (k, d) and intercepts (k,) to start from; zeros by default.
        """
        first = self.moments is None
        if self.moments is None:
            self.moments = Moments(X.shape[1], centred=self.intercept)
        before = start if first else self.weights()
        self.moments.add(X, weight)
        self.coordinates = self.moments.coordinates(l2, self.dtype, self.intercept)
        d = X.shape[1]
        if before is None:
            before = np.zeros((self.k, d)), np.zeros(self.k)
        V = self._place(self.coordinates.from_original(*before).astype(self.dtype))
        if first:
            self.V = V
            self._step = make_step(self.settings.optimizer, V, self.xp, d)
        else:
            self.V[...] = V
        scale = self.coordinates.scale
        live = ~self.coordinates.dead
        self._l2 = self._by_column(np.where(live, l2 / scale**2, 0.0)) if l2 else None
        self._l1 = self._by_column(np.minimum(live * l1 / scale, LARGEST_L1)) if l1 else None

    def _by_column(self, strengths: np.ndarray) -> Any:
        return self._place(np.append(strengths, [0.0] * self.intercept).astype(self.dtype))

    def _place(self, array: np.ndarray) -> Any:
        return array if self.device is None else self.xp.from_numpy(array).to(self.device)

    def weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (k, d) and intercepts (k,) in the columns of X, float64."""
        assert self.coordinates is not None
        V = self.V if self.device is None else self.V.cpu().numpy()
        return self.coordinates.to_original(V.astype(np.float64))

    # --- descent -----------------------------------------------------------------

    def rows(self, X: Any, y: np.ndarray, weight: np.ndarray | None) -> Rows:
        """Return rows to pass to `epoch`.

        Weights are taken relative to the mean weight of all rows seen, not to that of their
        batch: with one row a batch they would have no effect.
        """
        assert self.coordinates is not None
        assert self.moments is not None
        if weight is not None:
            weight = (weight * (self.moments.rows / self.moments.weight)).astype(self.dtype)
        if self.device is None:
            return Rows(X, y, weight, self.coordinates)
        from mlfund._solvers.stochastic_device import DeviceRows

        return DeviceRows(X, y, weight, self.coordinates, self.device)

    def epoch(self, rows: Rows, rng: np.random.RandomState) -> None:
        """Pass over the rows once.

        Parameters
        ----------
        rows : Rows
        rng : RandomState
            Draws the order of the rows.
        """
        batch_size = rows_of_batch(self.settings.batch_size, rows.n)
        if self.progress.learning_rate is None:
            self.progress.learning_rate = base_learning_rate(self, rows, batch_size)
        order = None
        if self.settings.shuffle and batch_size < rows.n:
            order = rng.permutation(rows.n)
        rate_of = self._rates(-(-rows.n // batch_size), rows.n)
        done = 0
        for block in rows.blocks(order, batch_size):
            self._descend(block, rate_of, done)
            done += len(block.parts)
        self.progress.epochs += 1

    def _descend(self, block: Block, rate_of: Callable[[int], float], done: int) -> None:
        """Take one step a batch."""
        derivative, step, V = self._derivative, self._step, self.V
        y, weight, first = block.y, block.weight, 0
        for i, part in enumerate(block.parts):
            raw = part.raw(V)
            rows = slice(first, first + len(raw))
            first = rows.stop
            R = derivative(raw, y[rows])
            R *= 1.0 / len(raw)
            if weight is not None:
                R *= weight[rows][:, None]
            G = part.pull_back(R)
            if self._l2 is not None:
                G += self._l2 * V
            length = step(V, G, rate_of(done + i))
            if self._l1 is not None:
                self._shrink(length * self._l1)

    def objective(self, rows: Rows) -> float:
        """Return mean loss plus penalty of the present weights on these rows."""
        total = weights = 0.0
        for part, y, weight in rows.pieces():
            total += total_loss(self.loss, part.raw(self.V), y, weight)
            weights += len(y) if weight is None else float(weight.sum())
        return total / weights + self.penalty()

    def _shrink(self, amount: Any) -> None:
        """Take the proximal step of the l1 penalty: towards zero, and not beyond."""
        xp, V = self.xp, self.V
        V[...] = xp.sign(V) * xp.clip(abs(V) - amount, 0.0, None)

    def penalty(self) -> float:
        """Return the penalty of the present weights."""
        value = 0.0
        if self._l2 is not None:
            value += 0.5 * float((self._l2 * self.V * self.V).sum())
        if self._l1 is not None:
            value += float((self._l1 * abs(self.V)).sum())
        return value

    def _rates(self, steps: int, n: int) -> Callable[[int], float]:
        """Return the learning rate of each step of the coming epoch."""
        schedule, progress = self.settings.schedule, self.progress
        base = progress.learning_rate
        assert base is not None
        if schedule.adaptive:
            base *= progress.adaptive.factor
        total, before = self.settings.max_iter * steps, progress.epochs * steps

        def rate(i: int) -> float:
            return base * schedule.factor(before + i, total, steps, rows_per_epoch=n)

        if schedule.changes == "step":
            return rate
        constant = rate(0)
        return lambda i: constant

    def is_finite(self) -> bool:
        """Whether no weight is NaN or infinite."""
        return math.isfinite(float(self.V.sum()))

    def snapshot(self) -> Any:
        """Return a copy of the weights."""
        return self.V.copy() if self.device is None else self.V.clone()

    def export(self) -> dict[str, Any]:
        """Return everything that a later `restore` needs, in numbers and numpy arrays."""
        assert self.moments is not None
        assert self.coordinates is not None
        on_host = (lambda a: a.copy()) if self.device is None else (lambda a: a.cpu().numpy())
        return {
            "V": on_host(self.V),
            "moments": dict(vars(self.moments)),
            "coordinates": dict(vars(self.coordinates)),
            "epochs": self.progress.epochs,
            "learning_rate": self.progress.learning_rate,
            "adaptive": dict(vars(self.progress.adaptive)),
            "optimizer": self.settings.optimizer.name,
            "steps": self._step.t,
            "memory": {name: on_host(array) for name, array in self._step.state.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `export` returned; another optimizer starts with a fresh memory."""
        d = len(state["moments"]["mean"])
        self.moments = Moments(d, self.intercept)
        vars(self.moments).update(state["moments"])
        self.coordinates = Coordinates(**state["coordinates"])
        adaptive = AdaptiveState(**state["adaptive"])
        self.progress = Progress(state["epochs"], state["learning_rate"], adaptive)
        self.V = self._place(state["V"].astype(self.dtype))
        self._step = make_step(self.settings.optimizer, self.V, self.xp, d)
        if state["optimizer"] == self.settings.optimizer.name:
            self._step.t = state["steps"]
            for name, array in state["memory"].items():
                self._step.state[name] = self._place(array.astype(self.dtype))
        else:
            # A rate that suits one optimizer does not suit another.
            self.progress.learning_rate = None

    def follow(self, loss: float) -> bool:
        """Tell an adaptive schedule the loss of an epoch; return whether it is exhausted."""
        schedule, progress = self.settings.schedule, self.progress
        if not isinstance(schedule, Adaptive):
            return False
        assert progress.learning_rate is not None
        progress.adaptive = schedule.advance(progress.adaptive, loss, progress.learning_rate)
        return progress.adaptive.exhausted
