"""The objectives of stacked replicas and their gradients in the raw scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from mlfund._engine.objective import Objective
from mlfund._engine.replicas_rows import StackedBatch
from mlfund.losses import BinaryLogLoss, MultilabelLogLoss, MultinomialLogLoss


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
        y, share = self._targets(batch.y, raw), self._shares(batch, raw.shape[2])
        losses, gradient = _IN_PLACE.get(type(self.objective.loss), self._by_rows)(raw, y)
        if isinstance(share, float):
            return losses.mean(1), gradient.mul_(share)
        return (losses * share).sum(1), gradient.mul_(share.unsqueeze(1))

    def of_replicas(self, values: Tensor) -> Tensor:
        """Return numbers of the streams, replica by replica."""
        return values.index_select(0, self._group_of)

    def _by_rows(self, raw: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of each row, (R, rows), and the gradient of what is minimised."""
        n_replicas, k, n_rows = raw.shape
        loss = self.objective.loss
        scores = raw.transpose(1, 2).reshape(-1, k)
        y = y.reshape(-1, *y.shape[2:])
        if loss.canonical:
            link = loss.inverse_link
            assert link is not None
            losses, mean = loss.value(scores, y), link(scores)
            coded = y.dtype == torch.int64
            gradient = _minus_one_at(mean, y[:, None], 1) if coded else mean - y
        else:
            scores = scores.detach().requires_grad_()
            with torch.enable_grad():
                losses = loss.value(scores, y)
                total = losses.sum() * self.objective.scale
            gradient = torch.autograd.grad(total, scores)[0]
        # Not transpose alone: an axis of one score would keep a stride that slows products.
        gradient = (
            gradient.view(n_replicas, k, n_rows)
            if k == 1
            else gradient.view(n_replicas, n_rows, k).transpose(1, 2).contiguous()
        )
        return losses.detach().view(n_replicas, n_rows), gradient

    def _targets(self, y: Tensor, raw: Tensor) -> Tensor:
        """Return the targets of all replicas, (R, rows) or (R, rows, k)."""
        n_replicas, k = raw.shape[:2]
        if self._smooth is not None and y.dtype == torch.int64:
            y = torch.nn.functional.one_hot(y, k).to(raw)
        y = y.expand(n_replicas, *y.shape[1:]) if len(y) == 1 else self.of_replicas(y)
        if self._smooth is None:
            return y
        amount = self._smooth.to(y).view(-1, 1, 1)
        n_classes = k if self.objective.loss.target == "multiclass" else 2
        return y * (1 - amount) + amount / n_classes

    def _shares(self, batch: StackedBatch, n_rows: int) -> Tensor | float:
        """Return the share of each row in its replica's mean, (R, rows), or one for all."""
        if batch.weight is None:
            return 1.0 / n_rows
        totals = torch.as_tensor(batch.totals).view(-1, 1)
        return self.of_replicas(batch.weight / totals)


def _multinomial(raw: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return what `_by_rows` does of `MultinomialLogLoss`, without moving the classes.

    Over classes that are apart in memory torch works on many rows at once: a tenth of the
    time of rows of ten classes.
    """
    log_proba = torch.log_softmax(raw, 1)
    if y.dtype == torch.int64:
        chosen = y.unsqueeze(1)
        losses = log_proba.gather(1, chosen).squeeze(1).neg_()
        return losses, _minus_one_at(log_proba.exp_(), chosen, 1)
    y = y.transpose(1, 2)
    losses = (log_proba * y).sum(1).neg_()
    return losses, log_proba.exp_().sub_(y)


def _binary(raw: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return what `_by_rows` does of `BinaryLogLoss` and `MultilabelLogLoss`, in fewer passes."""
    n_replicas, k, n_rows = raw.shape
    y = y.reshape(raw.shape) if k == 1 else y.transpose(1, 2)
    # Beyond 40, log(1 + exp(x)) is x to the last digit of float64.
    losses = softplus(raw, threshold=40.0).addcmul_(raw, y, value=-1)
    summed = losses.view(n_replicas, n_rows) if k == 1 else losses.sum(1)
    return summed, torch.sigmoid(raw).sub_(y)


def _minus_one_at(values: Tensor, index: Tensor, axis: int) -> Tensor:
    """Take 1 from some of the values, in place."""
    return values.scatter_add_(axis, index, values.new_full((), -1.0).expand(index.shape))


# What the library's own losses come to on (R, k, rows); of these classes alone, not of their
# subclasses, which may be other losses.
_IN_PLACE = {
    MultinomialLogLoss: _multinomial,
    BinaryLogLoss: _binary,
    MultilabelLogLoss: _binary,
}
