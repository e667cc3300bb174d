"""Keeps an average of the weights beside them, and puts it in their place when it counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mlfund._engine.batches import Batches
from mlfund._engine.data import DeviceRows
from mlfund._engine.parameters import FlatParameters
from mlfund.averaging import Averaging

if TYPE_CHECKING:
    from mlfund._engine.net import Engine


class Averager:
    """The average of the weights of one training.

    Batch normalisation keeps means and variances of what the weights produced; those
    of averaged weights are another, so they are estimated anew on the training rows.

    Parameters
    ----------
    kind : Averaging
        Which weights are averaged.
    """

    def __init__(self, kind: Averaging) -> None:
        self.kind = kind
        self.n_averaged = 0
        self._average: Tensor | None = None
        self._parameters: FlatParameters | None = None
        self._statistics: RunningStatistics | None = None

    def begin(self, net: Engine, rows: DeviceRows) -> None:
        """Start from the present weights."""
        self._parameters = net.parameters
        self._average = net.parameters.flat.detach().clone()
        self.n_averaged = 0
        if batch_norm_layers(net.module_):
            self._statistics = RunningStatistics(net.module_, rows, net.batch_size)

    def after_step(self, net: Engine) -> None:
        """Let the weights after a step join, if each step counts."""
        if self.kind.every == "step":
            self._join()

    def after_epoch(self, net: Engine) -> None:
        """Let the weights after an epoch join, if each epoch counts and this one does."""
        due = len(net.history) >= self.kind.first_epoch(net.max_epochs)
        if self.kind.every == "epoch" and due:
            self._join()

    def snapshot(self) -> Tensor:
        """Return the average as a snapshot of the parameters; theirs while it is empty."""
        assert self._parameters is not None
        assert self._average is not None
        copy = self._parameters.snapshot()
        if self.n_averaged:
            copy[: len(self._average)] = self._average
        return copy

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average into the module, and the weights back afterwards."""
        assert self._parameters is not None
        weights = self._parameters.snapshot()
        self._parameters.restore(self.snapshot())
        self.estimate_statistics()
        try:
            yield
        finally:
            self._parameters.restore(weights)

    def publish(self) -> None:
        """Put the average into the module for good."""
        assert self._parameters is not None
        self._parameters.restore(self.snapshot())

    def estimate_statistics(self) -> None:
        """Estimate the statistics of batch normalisation for the weights in the module."""
        if self._statistics is not None and self.n_averaged:
            self._statistics.estimate()

    def state_dict(self) -> dict[str, Any]:
        """Return the average and how many weights it holds."""
        return {"n_averaged": self.n_averaged, "average": self._average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        assert self._average is not None
        self.n_averaged = state["n_averaged"]
        self._average.copy_(state["average"])

    def _join(self) -> None:
        assert self._parameters is not None
        assert self._average is not None
        share = self.kind.share(self.n_averaged)
        self._average.lerp_(self._parameters.flat.detach(), share)
        self.n_averaged += 1


def batch_norm_layers(module: nn.Module) -> list[_BatchNorm]:
    """Return the layers that normalise by batches and keep averages of the statistics.

    One whose parameters are all frozen is meant to stay as it is, statistics included.
    """
    return [
        layer
        for layer in module.modules()
        if isinstance(layer, _BatchNorm)
        and layer.track_running_stats
        and (not layer.affine or any(p.requires_grad for p in layer.parameters()))
    ]


class RunningStatistics:
    """The means and variances that layers of batch normalisation keep.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    rows : DeviceRows
        Rows to estimate them on.
    batch_size : int
        Rows of a batch.
    """

    def __init__(self, module: nn.Module, rows: DeviceRows, batch_size: int) -> None:
        self.module = module
        self.layers = batch_norm_layers(module)
        # Rows in an order of their own, sorted by class say, would make batches that vary
        # less than the rows do.
        order = np.random.RandomState(0).permutation(len(rows))
        self.batches = Batches(rows, batch_size, lambda: order, smallest=2)

    @torch.no_grad()
    def estimate(self) -> None:
        """Set them to the mean over all batches; the other layers are in evaluation mode."""
        was_training = [part.training for part in self.module.modules()]
        momenta = [layer.momentum for layer in self.layers]
        self.module.eval()
        for layer in self.layers:
            layer.train()
            # All batches to come count alike, and those seen not at all.
            layer.reset_running_stats()
            layer.momentum = None
        for batch in self.batches:
            self.module(batch[0])
        for layer, momentum in zip(self.layers, momenta, strict=True):
            layer.momentum = momentum
        for part, mode in zip(self.module.modules(), was_training, strict=True):
            part.training = mode
