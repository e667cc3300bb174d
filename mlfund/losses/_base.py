"""What every loss is: raw scores to one number a row, and the targets it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from mlfund._entries import Entry

Target = Literal["binary", "multiclass", "multilabel", "real", "nonnegative"]
Link = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Loss(Entry):
    """A loss of raw scores; subclasses say which.

    Attributes
    ----------
    name : str
        The name in `LOSSES`.
    family : str or None
        The name that losses of one kind for several kinds of target share, "focal" for
        instance; `loss_for` picks the member by the target.
    target : {"binary", "multiclass", "multilabel", "real", "nonnegative"}
        The kind of target: ``"binary"`` is float of shape (n, 1) in [0, 1],
        ``"multiclass"`` is int64 codes of shape (n,), or with `soft_targets` also
        probabilities of shape (n, k); the others are float of shape (n, k).
    soft_targets : bool
        Whether a class target may be a probability instead of 0 or 1.
    reduction : {"pointwise", "batch"}
        ``"pointwise"`` losses of a row depend on that row alone. ``"batch"`` losses
        compare whole batches: `mean` is the loss to minimise, and `value` is that of each
        row taken as a batch of its own.
    over_outputs : {"mean", "sum"}
        How the k outputs of a row make one number, as scikit-learn's MLPs report it:
        the mean for most regression losses, the sum for the others. scikit-learn
        nevertheless descends the *sum* for squared errors; multiply a loss of ``"mean"``
        by k for its gradients. One of ``"sum"`` is minimised as it is reported.
    canonical : bool
        Whether the derivative of each output's loss in the raw score is
        ``inverse_link(raw) - y`` (with y one-hot for class codes), so that a gradient
        can be had in closed form. A subclass that overrides the loss is not canonical
        unless it says so itself.
    zero_at_best : bool
        Whether a perfect prediction of a hard target costs 0 and none costs less. Not so
        for densities, which have no upper bound.
    inverse_link : callable or None
        Maps raw scores to the mean or to probabilities; None where the raw score has
        no such reading, and then there is no ``predict_proba``.
    """

    family: ClassVar[str | None] = None
    target: ClassVar[Target]
    soft_targets: ClassVar[bool] = False
    reduction: ClassVar[Literal["pointwise", "batch"]] = "pointwise"
    over_outputs: ClassVar[Literal["mean", "sum"]] = "mean"
    canonical: ClassVar[bool] = False
    zero_at_best: ClassVar[bool] = True

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
        """Return the loss of each output of each row, shape (n, k).

        Not abstract, since a subclass whose rows are no sum of outputs writes `value` instead.
        """
        raise NotImplementedError(
            f"{type(self).__name__} says no loss; give it a method `elementwise` or `value`."
        )

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
