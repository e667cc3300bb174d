"""Look into a training from outside: a callback that any neural estimator takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlfund._engine.batches import Batches
from mlfund._engine.callbacks import Callback
from mlfund._engine.data import DeviceRows
from mlfund._engine.net import Engine

# Epochs at which held-out rows are looked at: all of the first ones, then ever sparser.
_FIRST_EPOCHS, _GROWTH = 50, 1.05
# Rows in a block of which a loss over whole batches is taken.
_BLOCK = 32


class Captured(Exception):
    """Carries an engine out of `fit`, before its first step."""

    def __init__(self, net: Engine, rows: DeviceRows) -> None:
        super().__init__("captured")
        self.net = net
        self.rows = rows


class Capture(Callback):
    """Stop a training before its first step and hand out the engine."""

    def on_train_begin(self, net: Engine, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Raise `Captured`."""
        raise Captured(net, X)


@dataclass
class Record:
    """What a training went through.

    Attributes
    ----------
    epochs : list of int
        Epochs at which held-out rows were looked at; 0 is the start.
    valid_losses : list of ndarray of shape (n_valid,)
        Loss of every held-out row at these epochs.
    kept_losses : ndarray of shape (n_valid,) or None
        The same for the weights that the training kept, maybe those of an earlier epoch.
    train_losses : list of float
        Training loss of every epoch, penalty included.
    start, end : dict of str to Tensor
        The parameters by name, before and after.
    updates : dict of str to list of float
        Size of single steps beside the size of the weights, by parameter.
    """

    epochs: list[int] = field(default_factory=list)
    valid_losses: list[np.ndarray] = field(default_factory=list)
    kept_losses: np.ndarray | None = None
    train_losses: list[float] = field(default_factory=list)
    start: dict[str, Tensor] = field(default_factory=dict)
    end: dict[str, Tensor] = field(default_factory=dict)
    updates: dict[str, list[float]] = field(default_factory=dict)


class Probe(Callback):
    """Record a training: held-out losses, sizes of steps, parameters before and after.

    Parameters
    ----------
    valid : DeviceRows
        Rows held out.

    Attributes
    ----------
    record : Record
        What was seen.
    net_ : Engine
        The engine, with the module as the training left it.
    """

    def __init__(self, valid: DeviceRows) -> None:
        self.valid = valid
        self.record = Record()
        self.net_: Engine | None = None
        self._next = 0
        self._before: list[Tensor] | None = None
        self._stride = 1

    def on_train_begin(self, net: Engine, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Note the start; ask to be told before each step."""
        self.net_ = net
        self.record.start = _copies(net)
        self.record.updates = {name: [] for name, p in net.module_.named_parameters()}
        self._look(net, 0)
        self._stride = len(Batches(X, net.batch_size))
        net.rules.append(self._before_step)

    def on_epoch_end(self, net: Engine, *args: Any, **kwargs: Any) -> None:
        """Look at the held-out rows, if it is time to."""
        epoch = len(self.record.train_losses) + 1
        self.record.train_losses.append(float(net.history[-1]["train_loss"]))
        if epoch >= self._next:
            self._look(net, epoch)

    def finish(self) -> Record:
        """Note the end; call it when `fit` is over, so that the best weights are back."""
        if self.net_ is not None:
            self.record.end = _copies(self.net_)
            self.record.kept_losses = self._losses(self.net_)
        return self.record

    def _look(self, net: Engine, epoch: int) -> None:
        self._next = epoch + 1 if epoch < _FIRST_EPOCHS else int(epoch * _GROWTH) + 1
        self.record.epochs.append(epoch)
        self.record.valid_losses.append(self._losses(net))

    def _losses(self, net: Engine) -> np.ndarray:
        return row_losses(net, raw_scores(net, self.valid), self.valid)

    def _before_step(self, net: Engine) -> None:
        """Measure the last step, and remember where the next begins; one step an epoch."""
        if self._before is not None:
            for (name, now), before in zip(
                net.module_.named_parameters(), self._before, strict=True
            ):
                size = before.norm()
                if size > 0:
                    change = (now.detach() - before).norm() / size
                    self.record.updates[name].append(float(change))
            self._before = None
        elif net.n_steps_ % self._stride <= 1:
            self._before = [p.detach().clone() for p in net.module_.parameters()]


def _copies(net: Engine) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in net.module_.named_parameters()}


def raw_scores(net: Engine, rows: DeviceRows) -> Tensor:
    """Return raw scores of rows in evaluation mode; the module's mode stays as it was."""
    training = net.module_.training
    net.module_.eval()
    try:
        batches = Batches(rows, net.iterator_valid__batch_size)
        return torch.cat([net.validation_step(batch)["y_pred"] for batch in batches])
    finally:
        net.module_.train(training)


def row_losses(net: Engine, raw: Tensor, rows: DeviceRows) -> np.ndarray:
    """Return the loss of every row, without weights.

    A loss over whole batches gives the rows of a block their common value.
    """
    loss = net.criterion_.loss
    if loss.reduction == "pointwise":
        values = loss.value(raw, rows.y)
        return values.detach().to(torch.float64).cpu().numpy()
    parts = []
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        value = float(loss.mean(raw[part], rows.y[part]))
        parts.append(np.full(len(rows.y[part]), value))
    return np.concatenate(parts)


def weights_of(rows: DeviceRows) -> np.ndarray:
    """Return the weights of rows on the host, ones where there are none."""
    if rows.weight is None:
        return np.ones(len(rows))
    return rows.weight.detach().to(torch.float64).cpu().numpy()
