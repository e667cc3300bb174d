"""Losses of pretraining, whose targets a batch makes of its own rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mlfund._check import check_positive
from mlfund.losses._base import Loss, Target


@dataclass(frozen=True)
class NTXent(Loss):
    """Normalised temperature-scaled cross-entropy of two views of each row: InfoNCE.

    Row i of the first half of the batch and row i of the second half are views of one row.
    Each view has to find the other one among all 2 n - 1 other views, by the cosine of the
    angle between them over `temperature`.

    Parameters
    ----------
    temperature : float, default=0.5
        Above 0; small values weigh the most similar other rows more.

    References
    ----------
    Chen, Kornblith, Norouzi, Hinton (2020), A simple framework for contrastive learning of
    visual representations, ICML, arXiv 2002.05709. van den Oord, Li, Vinyals (2018), arXiv
    1807.03748.
    """

    name: ClassVar[str] = "nt_xent"
    target: ClassVar[Target] = "real"
    reduction: ClassVar[Literal["pointwise", "batch"]] = "batch"
    over_outputs: ClassVar[Literal["mean", "sum"]] = "sum"
    zero_at_best: ClassVar[bool] = False
    temperature: float = 0.5

    def __post_init__(self) -> None:
        check_positive("temperature", self.temperature)

    def mean(self, raw: Tensor, y: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """Return the mean over the 2 n views of shape (2 n, k); `y` is not looked at."""
        n = len(raw) // 2
        views = F.normalize(raw, dim=1)
        similarity = views @ views.T / self.temperature
        # A view is not its own partner.
        itself = torch.eye(2 * n, dtype=torch.bool, device=raw.device)
        similarity = similarity.masked_fill(itself, -torch.inf)
        partner = torch.arange(2 * n, device=raw.device).roll(n)
        return F.cross_entropy(similarity, partner)


@dataclass(frozen=True)
class Reconstruction(Loss):
    """Mean squared difference of a row and its reconstruction, over all its values."""

    name: ClassVar[str] = "reconstruction"
    target: ClassVar[Target] = "real"
    over_outputs: ClassVar[Literal["mean", "sum"]] = "sum"

    def value(self, raw: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each row, shape (n,)."""
        return (raw - y).square().mean(dim=1)


@dataclass(frozen=True)
class MaskedReconstruction(Loss):
    """Mean squared difference of a row and its reconstruction, over the values it was denied.

    Targets have shape (n, 2, d): the rows, and 1 where the network did not see them, else 0.
    """

    name: ClassVar[str] = "masked_reconstruction"
    target: ClassVar[Target] = "real"
    over_outputs: ClassVar[Literal["mean", "sum"]] = "sum"

    def value(self, raw: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each row, shape (n,)."""
        rows, hidden = y.unbind(dim=1)
        squares = (raw - rows).square() * hidden
        return squares.sum(dim=1) / hidden.sum(dim=1).clamp_min(1)
