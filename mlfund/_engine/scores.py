"""Scores of raw outputs on rows set aside, computed where the rows are."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mlfund._engine.data import DeviceRows


def accuracy(raw: Tensor, rows: DeviceRows) -> float:
    """Return the (weighted) share of rows whose labels are all right; NaN for NaN scores."""
    if not bool(torch.isfinite(raw).all()):
        return math.nan
    if rows.y.dtype == torch.int64:
        right = raw.argmax(dim=1) == rows.y
    else:
        right = ((raw > 0) == (rows.y > 0.5)).all(dim=1)
    return float(_mean(right.to(torch.float64), rows))


def r2(mean: Tensor, rows: DeviceRows) -> float:
    """Return R2 averaged over outputs, as `sklearn.metrics.r2_score` does; NaN for NaN."""
    if not bool(torch.isfinite(mean).all()):
        return math.nan
    y = rows.y.to(torch.float64)
    residual = _mean((y - mean.to(torch.float64)).square(), rows)
    spread = _mean((y - _mean(y, rows)).square(), rows)
    # A constant target scores 1 when it is hit and 0 when it is missed.
    constant = torch.where(residual == 0, 1.0, 0.0).to(torch.float64)
    return float(torch.where(spread > 0, 1.0 - residual / spread, constant).mean())


def _mean(values: Tensor, rows: DeviceRows) -> Tensor:
    if rows.weight is None:
        return values.mean(dim=0)
    weight = rows.weight.to(torch.float64)
    return torch.tensordot(weight, values, dims=1) / weight.sum()
