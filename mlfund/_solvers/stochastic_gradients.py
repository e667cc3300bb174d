"""Derivatives of the losses by the raw score, in closed form where there is one.

A step over a small batch costs less than one call of automatic differentiation, so the
losses of the vocabulary have their derivative here, for numpy and for torch. Any other
`mlfund.losses.Loss` is differentiated by torch, in the raw scores only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from mlfund import losses

Derivative = Callable[[Any, Any], Any]


def derivative_of(loss: losses.Loss, xp: Any) -> Derivative:
    """Return the function (raw, y) -> derivative of each row's loss, of the shape of raw.

    Parameters
    ----------
    loss : Loss
        A pointwise loss.
    xp : module
        numpy or torch: what raw and y will be.
    """
    make = _CLOSED_FORMS.get(type(loss))
    if make is not None:
        return make(loss, xp)
    return _by_autograd(loss, xp)


def _log_loss(loss: Any, xp: Any) -> Derivative:
    logistic = expit if xp is np else torch.sigmoid

    def derivative(raw: Any, y: Any) -> Any:
        P = logistic(raw)
        P -= y
        return P

    return derivative


def _softmax_loss(loss: Any, xp: Any) -> Derivative:
    def in_numpy(raw: Any, y: Any) -> Any:
        P = np.exp(raw - raw.max(axis=1, keepdims=True))
        P /= P.sum(axis=1, keepdims=True)
        P[np.arange(len(y)), y] -= 1.0
        return P

    def in_torch(raw: Any, y: Any) -> Any:
        P = torch.softmax(raw, dim=1)
        chosen = y[:, None]
        return P.scatter_add_(1, chosen, P.new_full((), -1.0).expand_as(chosen))

    return in_numpy if xp is np else in_torch


def _per_output(form: Callable[[Any, Any, Any, Any], Any]) -> Callable[[Any, Any], Derivative]:
    """Make a maker from ``form(xp, loss, raw, y)``."""

    def make(loss: Any, xp: Any) -> Derivative:
        return lambda raw, y: form(xp, loss, raw, y)

    return make


def _hinge(xp: Any, loss: Any, raw: Any, y: Any) -> Any:
    side = 2 * y - 1
    return xp.where(side * raw < 1, -side, 0 * side)


def _quantile(xp: Any, loss: Any, raw: Any, y: Any) -> Any:
    side = xp.sign(raw - y)
    return xp.where(side > 0, (1 - loss.quantile) * side, loss.quantile * side)


_CLOSED_FORMS: dict[type, Callable[[Any, Any], Derivative]] = {
    losses.BinaryLogLoss: _log_loss,
    losses.MultilabelLogLoss: _log_loss,
    losses.MultinomialLogLoss: _softmax_loss,
    losses.Hinge: _per_output(_hinge),
    losses.SquaredError: _per_output(lambda xp, loss, raw, y: raw - y),
    losses.AbsoluteError: _per_output(lambda xp, loss, raw, y: xp.sign(raw - y)),
    losses.Huber: _per_output(lambda xp, loss, raw, y: xp.clip(raw - y, -loss.delta, loss.delta)),
    losses.Quantile: _per_output(_quantile),
    losses.Poisson: _per_output(lambda xp, loss, raw, y: xp.exp(raw) - y),
}


def _by_autograd(loss: losses.Loss, xp: Any) -> Derivative:
    def in_torch(raw: Any, y: Any) -> Any:
        raw = raw.detach().requires_grad_()
        with torch.enable_grad():
            total = loss.value(raw, y).sum()
        # What is descended is the sum over outputs: each is trained as if it stood alone.
        scale = raw.shape[1] if loss.over_outputs == "mean" else 1
        return scale * torch.autograd.grad(total, raw)[0]

    def in_numpy(raw: Any, y: Any) -> Any:
        return in_torch(torch.from_numpy(raw), torch.from_numpy(np.ascontiguousarray(y))).numpy()

    return in_numpy if xp is np else in_torch


def total_loss(loss: losses.Loss, raw: Any, y: Any, weight: Any) -> float:
    """Return the (weighted) sum of the loss over rows, as it is descended."""
    raw, y = torch.as_tensor(raw), torch.as_tensor(y)
    rows = loss.value(raw, y).to(torch.float64 if raw.device.type != "mps" else torch.float32)
    if loss.over_outputs == "mean":
        rows = rows * raw.shape[1]
    if weight is not None:
        rows = rows * torch.as_tensor(weight)
    return float(rows.sum())
