"""Losses of numbers: the raw score is the prediction, or the log of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mlfund._check import check_fraction, check_positive
from mlfund.losses._base import Link, Loss, Target


def _identity(raw: Tensor) -> Tensor:
    return raw


@dataclass(frozen=True)
class _Regression(Loss):
    """A loss on real targets whose raw score is the prediction."""

    target: ClassVar[Target] = "real"

    @property
    def inverse_link(self) -> Link:
        """Return the identity."""
        return _identity


@dataclass(frozen=True)
class SquaredError(_Regression):
    """Half the squared error; the prediction is the mean."""

    name: ClassVar[str] = "squared_error"
    canonical: ClassVar[bool] = True

    def elementwise(self, raw: Tensor, y: Tensor) -> Tensor:
        """Return (raw - y)^2 / 2."""
        return 0.5 * (raw - y).square()


@dataclass(frozen=True)
class AbsoluteError(_Regression):
    """The absolute error; the prediction is the median."""

    name: ClassVar[str] = "absolute_error"

    def elementwise(self, raw: Tensor, y: Tensor) -> Tensor:
        """Return abs(raw - y)."""
        return (raw - y).abs()


@dataclass(frozen=True)
class Huber(_Regression):
    """Squared near zero, absolute beyond `delta`: outliers pull with bounded force.

    Parameters
    ----------
    delta : float, default=1.35
        Residual, in units of the target, from which the loss grows linearly. At noise
        of unit variance 1.35 keeps 95 % of the efficiency of least squares (Huber 1964).
    """

    name: ClassVar[str] = "huber"
    delta: float = 1.35

    def __post_init__(self) -> None:
        check_positive("delta", self.delta)

    def elementwise(self, raw: Tensor, y: Tensor) -> Tensor:
        """Return r^2 / 2 where abs(r) <= delta, else delta (abs(r) - delta / 2)."""
        return F.huber_loss(raw, y, reduction="none", delta=self.delta)


@dataclass(frozen=True)
class Quantile(_Regression):
    """Pinball loss; the prediction is the quantile.

    Parameters
    ----------
    quantile : float, default=0.5
        Level strictly between 0 and 1; 0.5 is half the absolute error.
    """

    name: ClassVar[str] = "quantile"
    quantile: float = 0.5

    def __post_init__(self) -> None:
        check_fraction("quantile", self.quantile)

    def elementwise(self, raw: Tensor, y: Tensor) -> Tensor:
        """Return q r where r = y - raw is positive, else (q - 1) r."""
        residual = y - raw
        return torch.maximum(self.quantile * residual, (self.quantile - 1) * residual)


@dataclass(frozen=True)
class Poisson(Loss):
    """Half the Poisson deviance with a log link, 0 for a perfect prediction."""

    name: ClassVar[str] = "poisson"
    canonical: ClassVar[bool] = True
    target: ClassVar[Target] = "nonnegative"
    over_outputs: ClassVar[Literal["mean", "sum"]] = "sum"

    @property
    def inverse_link(self) -> Link:
        """Return the exponential function."""
        return torch.exp

    def elementwise(self, raw: Tensor, y: Tensor) -> Tensor:
        """Return y log(y / mu) - y + mu at mu = exp(raw)."""
        # As y (expm1(d) - d) with d = raw - log(y): the textbook form cancels y log(y)
        # and loses every digit in float32 for counts in the thousands. Each branch
        # sees harmless input where the other is taken, or NaN would enter the gradient.
        positive = y > 0
        gap = torch.where(positive, raw - torch.where(positive, y, 1).log(), 0)
        return torch.where(positive, y * (gap.expm1() - gap), torch.where(positive, 0, raw).exp())
