"""Losses of classes: cross-entropies and margins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mlfund.losses._base import Link, Loss, Target


def softmax(raw: Tensor) -> Tensor:
    """Return the softmax over the last axis."""
    return torch.softmax(raw, dim=-1)


@dataclass(frozen=True)
class BinaryLogLoss(Loss):
    """Cross-entropy of one raw score, the log-odds of the positive class."""

    name: ClassVar[str] = "log_loss_binary"
    family: ClassVar[str | None] = "log_loss"
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
    family: ClassVar[str | None] = "log_loss"
    canonical: ClassVar[bool] = True
    target: ClassVar[Target] = "multiclass"
    soft_targets: ClassVar[bool] = True
    over_outputs: ClassVar[Literal["mean", "sum"]] = "sum"

    @property
    def inverse_link(self) -> Link:
        """Return the softmax over the last axis."""
        return softmax

    def value(self, raw: Tensor, y: Tensor) -> Tensor:
        """Return logsumexp(raw) - raw[y]; see `Loss.value`."""
        return F.cross_entropy(raw, y, reduction="none")


@dataclass(frozen=True)
class Hinge(Loss):
    """max(0, 1 - s raw) with s = 2 y - 1, the loss of support vector machines.

    The raw score is a margin without a probability: there is no inverse link.
    """

    name: ClassVar[str] = "hinge"
    family: ClassVar[str | None] = "hinge"
    target: ClassVar[Target] = "binary"
    over_outputs: ClassVar[Literal["mean", "sum"]] = "sum"

    def elementwise(self, raw: Tensor, y: Tensor) -> Tensor:
        """Return max(0, 1 - (2 y - 1) raw)."""
        return torch.relu(1 - (2 * y - 1) * raw)


@dataclass(frozen=True)
class MultilabelHinge(Hinge):
    """Sum over labels of the hinge loss of each."""

    name: ClassVar[str] = "hinge_multilabel"
    target: ClassVar[Target] = "multilabel"


@dataclass(frozen=True)
class MulticlassHinge(Loss):
    """max(0, 1 - margin) of k raw scores; the margin is to the best of the other classes.

    There is no inverse link. The mean is `sklearn.metrics.hinge_loss`.

    References
    ----------
    Crammer and Singer (2001), On the algorithmic implementation of multiclass
    kernel-based vector machines, JMLR 2.
    """

    name: ClassVar[str] = "hinge_multiclass"
    family: ClassVar[str | None] = "hinge"
    target: ClassVar[Target] = "multiclass"
    over_outputs: ClassVar[Literal["mean", "sum"]] = "sum"

    def value(self, raw: Tensor, y: Tensor) -> Tensor:
        """Return max(0, 1 + max of the other scores - raw[y]); see `Loss.value`."""
        own = y[:, None]
        others = raw.scatter(-1, own, -torch.inf).amax(-1)
        return torch.relu(1 + others - raw.gather(-1, own).squeeze(-1))
