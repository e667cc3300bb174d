"""Losses of numbers: the raw score is the prediction, or the log of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mlfund._check import check_fraction, check_positive
from mlfund.losses._base import Link, Loss, Target

# Log-precision up to which exp(-log variance) is followed: a standard deviation of 3e-7.
_LARGEST_LOG_PRECISION = 30.0


def identity(raw: Tensor) -> Tensor:
    """Return the raw scores."""
    return raw


@dataclass(frozen=True)
class _Regression(Loss):
    """A loss on real targets whose raw score is the prediction."""

    target: ClassVar[Target] = "real"

    @property
    def inverse_link(self) -> Link:
        """Return the identity."""
        return identity


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


@dataclass(frozen=True)
class GaussianNLL(Loss):
    """Negative log-density of a normal distribution that predicts its own variance.

    For k outputs there are 2 k raw scores a row: k means, then k logarithms of variances.
    The inverse link gives the means, `variance` the variances. The outputs of a row are
    independent given X, so that the row's log-density is the sum of theirs.

    Notes
    -----
    Below -30 a raw score r stands for the variance ``exp(-30) / (1 - 30 - r)`` instead of
    ``exp(r)``, continued smoothly: loss and gradients stay finite in float32 for any raw
    score, and a variance that has become too small finds its way back. Targets of another
    order of magnitude than 1 are better standardised first.

    References
    ----------
    Nix and Weigend (1994), Estimating the mean and variance of the target probability
    distribution, ICNN.

    Examples
    --------
    >>> import torch
    >>> raw = torch.tensor([[1.0, 0.0]])
    >>> GaussianNLL().value(raw, torch.tensor([[2.0]]))
    tensor([1.4189])
    """

    name: ClassVar[str] = "gaussian_nll"
    target: ClassVar[Target] = "real"
    over_outputs: ClassVar[Literal["mean", "sum"]] = "sum"
    zero_at_best: ClassVar[bool] = False

    @property
    def inverse_link(self) -> Link:
        """Return the map from raw scores (n, 2 k) to means (n, k)."""
        return _first_half

    def variance(self, raw: Tensor) -> Tensor:
        """Return the predicted variances, shape (n, k), in squared units of the target."""
        return (-_log_precision(raw)).exp()

    def elementwise(self, raw: Tensor, y: Tensor) -> Tensor:
        """Return log(2 pi v) / 2 + (y - m)^2 / (2 v), shape (n, k)."""
        log_precision = _log_precision(raw)
        squares = (_first_half(raw) - y).square() * log_precision.exp()
        return 0.5 * (squares - log_precision + math.log(2 * math.pi))

    def raw_width(self, n_classes_or_outputs: int) -> int:
        """Return 2 k: a mean and a log-variance of each output."""
        return 2 * n_classes_or_outputs


def _first_half(raw: Tensor) -> Tensor:
    return raw[..., : raw.shape[-1] // 2]


def _log_precision(raw: Tensor) -> Tensor:
    """Return minus the log-variances; where they are very small, the log of a line."""
    asked = -raw[..., raw.shape[-1] // 2 :]
    beyond = torch.relu(asked - _LARGEST_LOG_PRECISION)
    return asked.clamp(max=_LARGEST_LOG_PRECISION) + beyond.log1p()
