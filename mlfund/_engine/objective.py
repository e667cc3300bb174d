"""The quantity a training minimises, and its gradient in the raw scores."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mlfund._engine.data import Batch
from mlfund.losses import Loss


class Objective(nn.Module):
    """Weighted mean of a row loss, normalised by the weight sum of the batch.

    A loss that is a function of the whole batch (`reduction` "batch") takes the weights
    itself. Targets may be soft where the loss says so: probabilities in place of codes.

    Losses of several real outputs report the mean over outputs, as scikit-learn does;
    what is minimised is their sum, as in scikit-learn's gradient, so that each output
    is trained as if it stood alone.

    Parameters
    ----------
    loss : Loss
        An entry of `mlfund.losses`.
    n_outputs : int
        Width of the raw scores.
    """

    def __init__(self, loss: Loss, n_outputs: int) -> None:
        super().__init__()
        self.loss = loss
        self.scale = float(n_outputs) if loss.over_outputs == "mean" else 1.0
        self.report_scale = 1.0 / self.scale

    def forward(self, raw: Tensor, batch: Batch) -> Tensor:
        """Return the data term of the objective on a batch, a scalar tensor."""
        if self.loss.reduction == "batch":
            mean = self.loss.mean(raw, batch[1], batch.weight)
        else:
            rows = self.loss.value(raw, batch[1])
            mean = rows.mean() if batch.weight is None else rows.dot(batch.weight) / batch.total
        return mean * self.scale if self.scale != 1.0 else mean

    def with_gradient(self, raw: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the objective and its gradient in `raw`, a new tensor of its shape."""
        if not self.loss.canonical:
            raw = raw.detach().requires_grad_()
            with torch.enable_grad():
                value = self(raw, batch)
            return value.detach(), torch.autograd.grad(value, raw)[0]
        value = self(raw, batch)
        link = self.loss.inverse_link
        assert link is not None
        mean = link(raw)
        gradient = mean.clone() if mean is raw else mean
        if batch[1].dtype == torch.int64:
            chosen = batch[1][:, None]
            gradient.scatter_add_(1, chosen, gradient.new_full((), -1.0).expand_as(chosen))
        else:
            gradient -= batch[1]
        if batch.weight is not None:
            gradient *= batch.weight[:, None]
        return value, gradient.mul_(1.0 / batch.total)
