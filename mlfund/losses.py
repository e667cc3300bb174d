"""Losses: what a raw score costs, given the target.

A loss maps raw scores, before any link, to one number a row. Raw scores are always
of shape (n, k): k = 1 for a binary target or a single regression output. The loss
declares the kind of target it takes, its inverse link (raw score to mean or
probabilities) and whether it accepts soft targets; whoever trains relies on the
declarations, and ``tests/laws/test_losses.py`` holds every entry to them.

Examples
--------
>>> import torch
>>> from mlfund.losses import get_loss
>>> loss = get_loss("huber", delta=2.0)
>>> loss.value(torch.tensor([[0.0], [5.0]]), torch.tensor([[1.0], [1.0]]))
tensor([0.5000, 6.0000])
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mlfund._check import check_fraction, check_positive
from mlfund._entries import Entry, resolve

Target = Literal["binary", "multiclass", "multilabel", "real", "nonnegative"]
Link = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Loss(Entry):
    """A loss of raw scores; subclasses say which.

    Attributes
    ----------
    name : str
        The name in `LOSSES`.
    target : {"binary", "multiclass", "multilabel", "real", "nonnegative"}
        The kind of target: ``"binary"`` is float of shape (n, 1) in [0, 1],
        ``"multiclass"`` is int64 codes of shape (n,), or with `soft_targets` also
        probabilities of shape (n, k); the others are float of shape (n, k).
    soft_targets : bool
        Whether a class target may be a probability instead of 0 or 1.
    reduction : {"pointwise", "batch"}
        ``"pointwise"`` losses of a row depend on that row alone.
    over_outputs : {"mean", "sum"}
        How the k outputs of a row make one number, as scikit-learn's MLPs report it:
        the mean for regression losses, except "poisson", the sum for the others.
        scikit-learn nevertheless descends the *sum* for squared errors; multiply the
        loss by k for its gradients.
    canonical : bool
        Whether the derivative of each output's loss in the raw score is
        ``inverse_link(raw) - y`` (with y one-hot for class codes), so that a gradient
        can be had in closed form. A subclass that overrides the loss is not canonical
        unless it says so itself.
    inverse_link : callable or None
        Maps raw scores to the mean or to probabilities; None where the raw score has
        no such reading, and then there is no ``predict_proba``.
    """

    target: ClassVar[Target]
    soft_targets: ClassVar[bool] = False
    reduction: ClassVar[Literal["pointwise", "batch"]] = "pointwise"
    over_outputs: ClassVar[Literal["mean", "sum"]] = "mean"
    canonical: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        overrides = {"elementwise", "value", "inverse_link"} & cls.__dict__.keys()
        if overrides and "canonical" not in cls.__dict__:
            cls.canonical = False

    @property
    def inverse_link(self) -> Link | None:
        """Return the map from raw scores to means or probabilities, or None."""
        return None

    def elementwise(self, raw: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each output of each row, shape (n, k)."""
        raise NotImplementedError

    def value(self, raw: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each row.

        Parameters
        ----------
        raw : Tensor of shape (n, k)
            Scores before the link, floating point.
        y : Tensor
            Targets; see `target` for shape and dtype.

        Returns
        -------
        Tensor of shape (n,)
            Unweighted and differentiable in `raw`.
        """
        losses = self.elementwise(raw, y)
        if losses.shape[-1] == 1:
            return losses.squeeze(-1)
        return losses.mean(-1) if self.over_outputs == "mean" else losses.sum(-1)

    def mean(self, raw: Tensor, y: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Return the (weighted) mean loss over rows, a scalar.

        Parameters
        ----------
        raw, y : Tensor
            As for `value`.
        sample_weight : Tensor of shape (n,), optional
            Weights >= 0. A weight of 2 is the row repeated. When all are 0 the mean
            is 0, so that a batch of unweighted rows leaves the parameters alone.
        """
        losses = self.value(raw, y)
        if sample_weight is None:
            return losses.mean()
        total = sample_weight.sum().clamp_min(torch.finfo(losses.dtype).tiny)
        return (losses * sample_weight).sum() / total

    def raw_width(self, n_classes_or_outputs: int) -> int:
        """Return k, the number of raw scores a row, for that many classes or outputs."""
        return 1 if self.target == "binary" else n_classes_or_outputs

    def check_target(self, y: Any) -> None:
        """Raise a ValueError in plain words when the loss cannot take these targets.

        Parameters
        ----------
        y : array-like of shape (n,) or (n, k)
            Encoded targets (class codes, not labels) before they become tensors.
        """
        y = np.asarray(y)
        self._require(y.dtype.kind in "biuf", f"numbers, not values of dtype {y.dtype}")
        self._require(bool(np.isfinite(y).all()), "finite values; drop or fill NaN and infinity")
        _TARGET_CHECKS[self.target](self, y)

    def _require(self, holds: bool, needs: str) -> None:
        if not holds:
            raise ValueError(f"The loss {self.name!r} needs targets that are {needs}.")


def _check_in_unit_interval(loss: Loss, y: np.ndarray) -> None:
    low, high = (y.min(), y.max()) if y.size else (0, 1)
    found = f"; found values from {low} to {high}"
    if loss.soft_targets:
        loss._require(low >= 0 and high <= 1, f"between 0 and 1{found}")
    else:
        loss._require(bool(np.isin(y, (0, 1)).all()), f"0 or 1{found}")


def _check_binary(loss: Loss, y: np.ndarray) -> None:
    shaped = y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1)
    loss._require(shaped, f"of shape (n,) or (n, 1), not {y.shape}")
    _check_in_unit_interval(loss, y)


def _check_multilabel(loss: Loss, y: np.ndarray) -> None:
    loss._require(y.ndim == 2, f"of shape (n, n_labels), not {y.shape}")
    _check_in_unit_interval(loss, y)


def _check_multiclass(loss: Loss, y: np.ndarray) -> None:
    if y.ndim == 2 and loss.soft_targets:
        _check_in_unit_interval(loss, y)
        # 1e-3 admits probabilities stored in half precision.
        sums_to_one = np.allclose(y.sum(axis=1), 1, atol=1e-3)
        loss._require(sums_to_one, "rows of probabilities that sum to 1")
        return
    loss._require(y.ndim == 1, f"class codes of shape (n,), not of shape {y.shape}")
    whole = y.dtype.kind != "f" or bool((y == np.floor(y)).all())
    loss._require(whole and bool((y >= 0).all()), "class codes 0, 1, 2, ...")


def _check_real(loss: Loss, y: np.ndarray) -> None:
    loss._require(y.ndim in (1, 2), f"of shape (n,) or (n, n_outputs), not {y.shape}")


def _check_nonnegative(loss: Loss, y: np.ndarray) -> None:
    _check_real(loss, y)
    if y.size:
        loss._require(
            y.min() >= 0,
            f"0 or more (counts, rates); the smallest is {y.min()}: "
            "shift the target or use loss='squared_error'",
        )


_TARGET_CHECKS: dict[str, Callable[[Loss, np.ndarray], None]] = {
    "binary": _check_binary,
    "multiclass": _check_multiclass,
    "multilabel": _check_multilabel,
    "real": _check_real,
    "nonnegative": _check_nonnegative,
}


def _identity(raw: Tensor) -> Tensor:
    return raw


def _softmax(raw: Tensor) -> Tensor:
    return torch.softmax(raw, dim=-1)


@dataclass(frozen=True)
class BinaryLogLoss(Loss):
    """Cross-entropy of one raw score, the log-odds of the positive class."""

    name: ClassVar[str] = "log_loss_binary"
    canonical: ClassVar[bool] = True
    target: ClassVar[Target] = "binary"
    soft_targets: ClassVar[bool] = True
    over_outputs: ClassVar[Literal["mean", "sum"]] = "sum"

    @property
    def inverse_link(self) -> Link:
        """Return the logistic function."""
        return torch.sigmoid

    def elementwise(self, raw: Tensor, y: Tensor) -> Tensor:
        """Return log(1 + exp(raw)) - y raw, without overflow."""
        return F.binary_cross_entropy_with_logits(raw, y, reduction="none")


@dataclass(frozen=True)
class MultilabelLogLoss(BinaryLogLoss):
    """Sum over labels of the binary cross-entropy of each."""

    name: ClassVar[str] = "log_loss_multilabel"
    target: ClassVar[Target] = "multilabel"


@dataclass(frozen=True)
class MultinomialLogLoss(Loss):
    """Cross-entropy of k raw scores under the softmax."""

    name: ClassVar[str] = "log_loss_multinomial"
    canonical: ClassVar[bool] = True
    target: ClassVar[Target] = "multiclass"
    soft_targets: ClassVar[bool] = True
    over_outputs: ClassVar[Literal["mean", "sum"]] = "sum"

    @property
    def inverse_link(self) -> Link:
        """Return the softmax over the last axis."""
        return _softmax

    def value(self, raw: Tensor, y: Tensor) -> Tensor:
        """Return logsumexp(raw) - raw[y]; see `Loss.value`."""
        return F.cross_entropy(raw, y, reduction="none")


@dataclass(frozen=True)
class Hinge(Loss):
    """max(0, 1 - s raw) with s = 2 y - 1, the loss of support vector machines.

    The raw score is a margin without a probability: there is no inverse link.
    """

    name: ClassVar[str] = "hinge"
    target: ClassVar[Target] = "binary"
    over_outputs: ClassVar[Literal["mean", "sum"]] = "sum"

    def elementwise(self, raw: Tensor, y: Tensor) -> Tensor:
        """Return max(0, 1 - (2 y - 1) raw)."""
        return torch.relu(1 - (2 * y - 1) * raw)


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


def get_loss(loss: str | Loss, **options: Any) -> Loss:
    """Return the loss of that name, or the instance given, with `options` set.

    Parameters
    ----------
    loss : str or Loss
        A name of `LOSSES` or an instance.
    **options : object
        Fields of the loss to set, such as ``delta`` of "huber".

    Raises
    ------
    ValueError
        If the name or an option is not known, or an option is out of range.

    Examples
    --------
    >>> get_loss("quantile", quantile=0.9)
    Quantile(quantile=0.9)
    """
    return resolve("loss", loss, LOSSES, options)


LOSSES: dict[str, Loss] = {
    "log_loss_binary": BinaryLogLoss(),
    "log_loss_multinomial": MultinomialLogLoss(),
    "log_loss_multilabel": MultilabelLogLoss(),
    "hinge": Hinge(),
    "squared_error": SquaredError(),
    "absolute_error": AbsoluteError(),
    "huber": Huber(),
    "quantile": Quantile(),
    "poisson": Poisson(),
}
