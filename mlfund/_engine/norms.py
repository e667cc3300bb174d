"""Norms of gradients and of updates, measured on the device and read once an epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from mlfund._engine.net import Engine


class NormTracker:
    """Records `gradient_norm` and `update_norm` of each epoch in the history.

    The norm of a gradient is that of the whole objective, penalty included, before it is
    clipped; the norm of an update is how far all parameters moved in one step.

    Parameters
    ----------
    every_step : bool
        Whether all steps of an epoch are measured and their root mean square recorded,
        or the first one alone, which costs next to nothing.
    """

    def __init__(self, every_step: bool) -> None:
        self.every_step = every_step
        self._gradients: list[Tensor] = []
        self._updates: list[Tensor] = []
        self._before: Tensor | None = None
        self._measuring = False

    def before_step(self, net: Engine) -> None:
        """Measure the gradient; runs before it is clipped."""
        self._measuring = self.every_step or not self._gradients
        if not self._measuring:
            return
        parameters = net.parameters
        # Squares, by a dot product: half the time of a norm.
        self._gradients.append(parameters.grad.dot(parameters.grad))
        if self._before is None:
            self._before = torch.empty_like(parameters.grad)
        self._before.copy_(parameters.flat.detach())

    def after_step(self, net: Engine) -> None:
        """Measure the update; runs after all that changes the weights."""
        if self._measuring:
            assert self._before is not None
            moved = self._before.sub_(net.parameters.flat.detach())
            self._updates.append(moved.dot(moved))

    def after_epoch(self, net: Engine) -> None:
        """Write the epoch's norms into the history."""
        count = len(self._gradients)
        if count == 0:
            return
        read = torch.stack([*self._gradients, *self._updates]).tolist()
        net.history.record("gradient_norm", math.sqrt(sum(read[:count]) / count))
        net.history.record("update_norm", math.sqrt(sum(read[count:]) / count))
        self._gradients.clear()
        self._updates.clear()
