"""What early stopping watches, for all replicas of a split at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mlfund.losses import Loss

# (raw (m, v, k), targets, weights (v,) or None) -> (m,)
StackedScore = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def stacked_score(estimator: Any, loss: Loss) -> StackedScore:
    """Return the score of held-out rows that a single fit computes, higher is better.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Its `scoring` is None or "loss".
    loss : Loss
        What is minimised.
    """
    if estimator.scoring == "loss":

        def minus_loss(raw: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
            return torch.stack([-loss.mean(one, y, weight).double() for one in raw])

        return minus_loss
    if estimator._task() != "regression":
        return accuracy
    link = loss.inverse_link

    def of_means(raw: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        mean = raw if link is None else torch.stack([link(one) for one in raw])
        return r2(mean, y, weight)

    return of_means


def accuracy(raw: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
    """Return the (weighted) share of rows whose labels are all right, shape (m,)."""
    if y.dtype == torch.int64:
        right = raw.argmax(dim=2) == y
    else:
        right = ((raw > 0) == (y > 0.5)).all(dim=2)
    return _nan_where_not_finite(_mean(right.double().unsqueeze(2), weight)[:, 0], raw)


def r2(mean: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
    """Return R2 averaged over outputs, shape (m,)."""
    y = y.double().unsqueeze(0)
    residual = _mean((y - mean.double()).square(), weight)
    spread = _mean((y - _mean(y, weight).unsqueeze(1)).square(), weight)
    # A constant target scores 1 when it is hit and 0 when it is missed.
    constant = torch.where(residual == 0, 1.0, 0.0).double()
    each = torch.where(spread > 0, 1.0 - residual / spread, constant)
    return _nan_where_not_finite(each.mean(dim=1), mean)


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Return the mean over rows of (m, v, k), shape (m, k)."""
    if weight is None:
        return values.mean(dim=1)
    weight = weight.double()
    return torch.einsum("v,mvk->mk", weight, values) / weight.sum()


def _nan_where_not_finite(scores: Tensor, raw: Tensor) -> Tensor:
    finite = torch.isfinite(raw).flatten(1).all(dim=1)
    return torch.where(finite, scores, torch.nan)
