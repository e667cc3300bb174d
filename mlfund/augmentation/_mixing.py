"""Augmentations that make a row of two rows of its batch."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mlfund._check import check_positive
from mlfund.augmentation._base import Augmentation, Rows, place_of
from mlfund.augmentation._images import box_mask, check_images


@dataclass(frozen=True)
class _OfPairs(Augmentation, ABC):
    """Rows made of two, the share of each drawn from Beta(alpha, alpha)."""

    softens: ClassVar[bool] = True
    alpha: float

    def __post_init__(self) -> None:
        check_positive("alpha", self.alpha)


@dataclass(frozen=True)
class Mixup(_OfPairs):
    """Mixes each row, features and target, with another one of its batch.

    The share of the row itself is drawn from Beta(alpha, alpha) for each row. A pair
    weighs what it would if rows were repeated according to their weights: rows of weight
    0 leave no trace.

    Parameters
    ----------
    alpha : float, default=0.2
        Above 0. Small values leave most rows close to one of the two; at 1 all shares are
        equally likely.

    References
    ----------
    Zhang, Cisse, Dauphin, Lopez-Paz (2018), mixup: beyond empirical risk minimization,
    ICLR, arXiv 1710.09412.
    """

    name: ClassVar[str] = "mixup"
    alpha: float = 0.2

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return mixed rows; see `Augmentation.apply`."""
        X, y, weight = rows.X, rows.y, rows.weight
        partner, share = _pairs(X, self.alpha, generator)
        share = share.to(X.dtype)
        mixed_X = X[partner].lerp(X, share.view(-1, *[1] * (X.ndim - 1)))
        mixed_y = y[partner].lerp(y, share[:, None].to(y.dtype))
        return rows._replace(X=mixed_X, y=mixed_y, weight=_pair_weights(weight, partner))


@dataclass(frozen=True)
class CutMix(_OfPairs):
    """Replaces a box of each image by the same box of another image of its batch.

    The share of the image that stays is drawn from Beta(alpha, alpha); the target is mixed
    by the area that did stay. Weights act as under "mixup".

    Parameters
    ----------
    alpha : float, default=1.0
        Above 0; at 1 all shares are equally likely.

    References
    ----------
    Yun, Han, Oh, Chun, Choe, Yoo (2019), CutMix: regularization strategy to train strong
    classifiers with localizable features, ICCV, arXiv 1905.04899.
    """

    name: ClassVar[str] = "cutmix"
    of_images: ClassVar[bool] = True
    alpha: float = 1.0

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return images with boxes of others; see `Augmentation.apply`."""
        X, y, weight = rows.X, rows.y, rows.weight
        check_images(self.name, X)
        n, _, high, wide = X.shape
        partner, share = _pairs(X, self.alpha, generator)
        place = place_of(X, generator)
        centre = torch.rand(n, 2, generator=generator, device=place).to(X.device)
        side = (1 - share).clamp_min(0).sqrt()
        box = box_mask(centre, torch.stack([side * high, side * wide], dim=1), high, wide)
        mixed_X = torch.where(box[:, None], X[partner], X)
        kept = 1 - box.to(y.dtype).mean(dim=(1, 2))
        mixed_y = y[partner].lerp(y, kept[:, None])
        return rows._replace(X=mixed_X, y=mixed_y, weight=_pair_weights(weight, partner))


def _pairs(X: Tensor, alpha: float, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Draw a partner for each row, and the share of the row itself, in float32."""
    place = place_of(X, generator)
    partner = torch.randperm(len(X), generator=generator, device=place).to(X.device)
    # Beta of torch.distributions takes no generator; what it calls does.
    concentration = torch.full((len(X), 2), alpha, device=place)
    share = torch._sample_dirichlet(concentration, generator=generator)[:, 0]
    return partner, share.to(X.device)


def _pair_weights(weight: Tensor | None, partner: Tensor) -> Tensor | None:
    """Return what pairs weigh if rows were repeated according to their weights."""
    if weight is None:
        return None
    mean = weight.mean().clamp_min(torch.finfo(weight.dtype).tiny)
    return weight * (weight[partner] / mean)
