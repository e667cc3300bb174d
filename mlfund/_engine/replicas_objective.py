"""The objectives of stacked replicas and their gradients in the raw scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mlfund._engine.objective import Objective
from mlfund._engine.replicas_rows import StackedBatch


class StackedObjective:
    """`Objective` of every replica at once.

    Parameters
    ----------
    objective : Objective
        Of a loss of single rows.
    smoothing : ndarray of shape (R,)
        Label smoothing of each replica.
    groups : sequence of slice
        The replicas of each stream.
    """

    def __init__(
        self,
        objective: Objective,
        smoothing: np.ndarray,
        groups: Sequence[slice],
        device: torch.device | str = "cpu",
    ) -> None:
        self.objective = objective
        self.smoothing = smoothing
        self.device = torch.device(device)
        self.keep(np.arange(len(smoothing)), groups)

    def keep(self, index: np.ndarray, groups: Sequence[slice]) -> None:
        """Go on with the replicas `index` alone."""
        self.smoothing = self.smoothing[index]
        sizes = [part.stop - part.start for part in groups]
        group_of = np.repeat(np.arange(len(sizes)), sizes)
        self._group_of = torch.from_numpy(group_of).to(self.device)
        smoothed = self.smoothing.any()
        self._smooth = torch.from_numpy(self.smoothing).to(self.device) if smoothed else None

    def __call__(self, raw: Tensor, batch: StackedBatch) -> tuple[Tensor, Tensor]:
        """Return the mean loss of each replica, (R,), and the gradient in `raw`.

        Parameters
        ----------
        raw : Tensor of shape (R, k, rows)
            Raw scores.
        batch : StackedBatch
            The rows they are of.
        """
        n_replicas, k, n_rows = raw.shape
        scores = raw.transpose(1, 2).reshape(-1, k)
        y = self._targets(batch.y, scores)
        share = self._shares(batch, n_rows)
        losses, gradient = self._losses_and_gradient(scores, y)
        losses = losses.view(n_replicas, n_rows)
        if isinstance(share, float):
            values = losses.mean(1)
            gradient.mul_(share)
        else:
            values = (losses * share.view(n_replicas, n_rows)).sum(1)
            gradient.mul_(share.view(-1, 1))
        return values, gradient.view(n_replicas, n_rows, k).transpose(1, 2).contiguous()

    def of_replicas(self, values: Tensor) -> Tensor:
        """Return numbers of the streams, replica by replica."""
        return values.index_select(0, self._group_of)

    def _losses_and_gradient(self, scores: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of each row, and the gradient of what is minimised in its scores."""
        loss = self.objective.loss
        if not loss.canonical:
            scores = scores.detach().requires_grad_()
            with torch.enable_grad():
                losses = loss.value(scores, y)
                total = losses.sum() * self.objective.scale
            return losses.detach(), torch.autograd.grad(total, scores)[0]
        link = loss.inverse_link
        assert link is not None
        losses, mean = loss.value(scores, y), link(scores)
        if y.dtype == torch.int64:
            minus_one = mean.new_full((), -1.0).expand(len(y), 1)
            return losses, mean.scatter_add_(1, y[:, None], minus_one)
        return losses, mean.sub_(y) if mean is not scores else mean - y

    def _targets(self, y: Tensor, like: Tensor) -> Tensor:
        """Return the targets of all rows of all replicas, (R * rows, ...)."""
        n_replicas, k = len(self.smoothing), like.shape[1]
        if self._smooth is not None and y.dtype == torch.int64:
            y = torch.nn.functional.one_hot(y, k).to(like)
        y = y.expand(n_replicas, *y.shape[1:]) if len(y) == 1 else self.of_replicas(y)
        if self._smooth is not None:
            amount = self._smooth.to(y).view(-1, 1, 1)
            n_classes = k if self.objective.loss.target == "multiclass" else 2
            y = y * (1 - amount) + amount / n_classes
        return y.reshape(-1, *y.shape[2:])

    def _shares(self, batch: StackedBatch, n_rows: int) -> Tensor | float:
        """Return the share of each row in its replica's mean, (R * rows,), or one for all."""
        if batch.weight is None:
            return 1.0 / n_rows
        totals = torch.as_tensor(batch.totals).view(-1, 1)
        share = batch.weight / totals
        return self.of_replicas(share).view(-1)
