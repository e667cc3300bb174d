"""Short trainings of a copy of a network, beside the user's own."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mlfund._check import limited_threads, preserved_torch_state
from mlfund._engine.batches import ShuffledOrder
from mlfund._engine.callbacks import Callback
from mlfund._engine.data import DeviceRows
from mlfund._engine.net import Engine, StepRule, StopTraining


class InEvaluation(nn.Module):
    """A module that stays in evaluation mode: no dropout, no batch statistics."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def train(self, mode: bool = True) -> InEvaluation:
        """Stay in evaluation mode."""
        super().train(False)
        return self

    def forward(self, X: Tensor) -> Tensor:
        """Return raw scores."""
        raw: Tensor = self.module(X)
        return raw


def run_twin(
    net: Engine,
    rows: DeviceRows,
    *,
    rules: Sequence[StepRule],
    epochs: int,
    batch_size: int | None = None,
    in_evaluation: bool = False,
    penalty: Any = None,
    callbacks: Sequence[Callback] = (),
) -> Engine:
    """Train a copy of the module of an engine, on rows of its own; return the copy's engine.

    Parameters
    ----------
    net : Engine
        Initialised, at rest; gives module, objective, optimizer and precision.
    rows : DeviceRows
        Rows to train on.
    rules : sequence of callable
        Run before each step; one may raise `StopTraining`.
    epochs : int
        Most epochs.
    batch_size : int, optional
        Rows of a batch; that of `net` by default.
    in_evaluation : bool, default=False
        Whether the copy trains in evaluation mode, so without dropout.
    penalty : Penalty, optional
        Of the weights.
    callbacks : sequence of skorch callbacks
        Told of its epochs.
    """
    module = copy.deepcopy(net.module_)
    if in_evaluation:
        module = InEvaluation(module)
    size = min(net.batch_size if batch_size is None else batch_size, len(rows))
    optimizer = copy.copy(net.optimizer)
    optimizer.state = None
    with preserved_torch_state(), limited_threads(_flop(module, size)):
        twin = Engine(
            module,
            net.criterion_,
            optimizer=optimizer,
            lr=net.lr,
            batch_size=size,
            max_epochs=epochs,
            order=ShuffledOrder(len(rows), np.random.RandomState(0)),
            rules=rules,
            penalty=penalty,
            callbacks=callbacks,
            track_norms=False,
            autocast=net.autocast,
            device=rows.device,
        )
        # What a training overflows with is what a trial is there to find out.
        with np.errstate(all="ignore"):
            twin.partial_fit(rows)
    return twin


def constant_rate(lr: float) -> StepRule:
    """Return the rule that holds the learning rate at `lr`."""

    def rule(net: Engine) -> None:
        net.set_lr(lr)

    return rule


class StopBelow(Callback):
    """End a training whose loss has come below a bound."""

    def __init__(self, bound: float) -> None:
        self.bound = bound

    def on_epoch_end(self, net: Engine, *args: Any, **kwargs: Any) -> None:
        """Look at the loss of the epoch."""
        if net.history[-1]["train_loss"] < self.bound:
            raise StopTraining(f"The loss came below {self.bound:.3g}.")


def mean_loss(net: Engine, raw: Tensor, rows: DeviceRows) -> float:
    """Return the weighted mean loss of raw scores, as `fit` reports it, without a penalty."""
    with torch.no_grad():
        return float(net.criterion_.loss.mean(raw, rows.y, rows.weight))


def best_constant(net: Engine, raw: Tensor, rows: DeviceRows) -> Tensor:
    """Return the raw scores of shape (1, k), the same for every row, of the smallest loss.

    Parameters
    ----------
    net : Engine
        Gives the loss.
    raw : Tensor of shape (n, k)
        Any raw scores of the rows, for their width.
    rows : DeviceRows
        Rows whose targets the constant should meet.
    """
    y = rows.y if rows.y.dtype == torch.int64 else rows.y.to(torch.float64)
    weight = None if rows.weight is None else rows.weight.to(torch.float64)
    loss = net.criterion_.loss
    constant = torch.zeros((1, raw.shape[1]), dtype=torch.float64, device=raw.device)
    if loss.target == "real" and y.shape == raw.shape:
        # Losses of absolute residuals have their kink there, and L-BFGS stays.
        constant = y.median(dim=0, keepdim=True).values.clone()
    constant.requires_grad_()
    search = torch.optim.LBFGS([constant], max_iter=100, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        search.zero_grad()
        value: Tensor = loss.mean(constant.expand(len(y), -1), y, weight)
        value.backward()
        return value

    search.step(objective)
    return constant.detach().to(raw.dtype)


def _flop(module: nn.Module, rows: int) -> float:
    return 6.0 * rows * sum(p.numel() for p in module.parameters())
