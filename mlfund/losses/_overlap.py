"""Dice and Jaccard losses: how far the predicted and the true members of a class overlap.

They compare sums over a whole batch and are therefore blind to the rows that are easily
seen not to belong to a class, however many there are: meant for imbalance. In the form
below, with the distance of the two instead of their product, they equal the usual soft
losses for hard targets and are 0 only at ``p = y`` for soft ones (Wang et al. 2023).

References
----------
Milletari, Navab, Ahmadi (2016), V-Net, 3DV, arXiv 1606.04797 (Dice).

Rahman and Wang (2016), Optimizing intersection-over-union in deep neural networks, ISVC
(Jaccard).

Wang, Ning, Blaschko (2023), Jaccard metric losses: optimizing the Jaccard index with
soft labels, NeurIPS, arXiv 2302.05666.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mlfund._check import check_positive
from mlfund.losses._base import Link, Loss, Target
from mlfund.losses._classification import softmax


@dataclass(frozen=True)
class _Overlap(Loss, ABC):
    """One minus an overlap of the batch, averaged over classes; subclasses say which."""

    soft_targets: ClassVar[bool] = True
    reduction: ClassVar[Literal["pointwise", "batch"]] = "batch"
    over_outputs: ClassVar[Literal["mean", "sum"]] = "sum"
    smoothing: float = 1e-3

    def __post_init__(self) -> None:
        check_positive("smoothing", self.smoothing)

    @property
    def inverse_link(self) -> Link:
        """Return the logistic function, or the softmax for more than two classes."""
        return softmax if self.target == "multiclass" else torch.sigmoid

    def value(self, raw: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each row taken as a batch of its own; see `Loss.value`."""
        p, y = self._proba_and_truth(raw, y)
        return self._of_shares(p, y, (p - y).abs()).mean(-1)

    def mean(self, raw: Tensor, y: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Return the loss of the batch, a scalar; see `Loss.mean`."""
        p, y = self._proba_and_truth(raw, y)
        apart = (p - y).abs()
        if sample_weight is None:
            return self._of_shares(p.mean(0), y.mean(0), apart.mean(0)).mean()
        # Weights of 0 only leave nothing to compare: shares, loss and gradient are 0.
        total = sample_weight.sum().clamp_min(torch.finfo(p.dtype).tiny)
        share = sample_weight / total
        return self._of_shares(share @ p, share @ y, share @ apart).mean()

    def _proba_and_truth(self, raw: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        link = self.inverse_link
        if not y.is_floating_point():
            y = F.one_hot(y, raw.shape[-1]).to(raw.dtype)
        return link(raw), y

    @abstractmethod
    def _of_shares(self, predicted: Tensor, true: Tensor, apart: Tensor) -> Tensor:
        """Return the loss of each class from shares of the rows: p, y and abs(p - y)."""


@dataclass(frozen=True)
class BinaryDice(_Overlap):
    """1 - 2 |p y| / (|p| + |y|) over the rows of a batch: one minus a soft F1 score.

    Parameters
    ----------
    smoothing : float, default=1e-3
        Share of the rows that is added to numerator and denominator: a class without
        members and without predictions costs nothing.
    """

    name: ClassVar[str] = "dice_binary"
    family: ClassVar[str | None] = "dice"
    target: ClassVar[Target] = "binary"

    def _of_shares(self, predicted: Tensor, true: Tensor, apart: Tensor) -> Tensor:
        return apart / (predicted + true + self.smoothing)


@dataclass(frozen=True)
class MultilabelDice(BinaryDice):
    """Mean over labels of the Dice loss of each.

    Parameters
    ----------
    smoothing : float, default=1e-3
        Share of the rows that is added to numerator and denominator.
    """

    name: ClassVar[str] = "dice_multilabel"
    target: ClassVar[Target] = "multilabel"


@dataclass(frozen=True)
class MulticlassDice(BinaryDice):
    """Mean over classes of the Dice loss of each, under the softmax.

    Parameters
    ----------
    smoothing : float, default=1e-3
        Share of the rows that is added to numerator and denominator.
    """

    name: ClassVar[str] = "dice_multiclass"
    target: ClassVar[Target] = "multiclass"


@dataclass(frozen=True)
class BinaryJaccard(_Overlap):
    """1 - |p y| / (|p| + |y| - |p y|) over the rows of a batch: intersection over union.

    Parameters
    ----------
    smoothing : float, default=1e-3
        Share of the rows that is added to numerator and denominator: a class without
        members and without predictions costs nothing.
    """

    name: ClassVar[str] = "jaccard_binary"
    family: ClassVar[str | None] = "jaccard"
    target: ClassVar[Target] = "binary"

    def _of_shares(self, predicted: Tensor, true: Tensor, apart: Tensor) -> Tensor:
        return apart / ((predicted + true + apart) / 2 + self.smoothing)


@dataclass(frozen=True)
class MultilabelJaccard(BinaryJaccard):
    """Mean over labels of the Jaccard loss of each.

    Parameters
    ----------
    smoothing : float, default=1e-3
        Share of the rows that is added to numerator and denominator.
    """

    name: ClassVar[str] = "jaccard_multilabel"
    target: ClassVar[Target] = "multilabel"


@dataclass(frozen=True)
class MulticlassJaccard(BinaryJaccard):
    """Mean over classes of the Jaccard loss of each, under the softmax.

    Parameters
    ----------
    smoothing : float, default=1e-3
        Share of the rows that is added to numerator and denominator.
    """

    name: ClassVar[str] = "jaccard_multiclass"
    target: ClassVar[Target] = "multiclass"
