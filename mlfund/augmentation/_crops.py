"""Augmentations of images that pretraining by two views relies on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mlfund._check import check_positive
from mlfund.augmentation._base import Augmentation, Rows
from mlfund.augmentation._images import _check_part, _uniform, check_images


@dataclass(frozen=True)
class RandomResizedCrop(Augmentation):
    """Enlarges a random part of each image to the size of the whole, with interpolation.

    Parameters
    ----------
    smallest : float, default=0.25
        Least part of the area that is kept, above 0 to 1.
    aspect : float, default=4/3
        Most that height over width of the part differs from that of the image, at least 1.

    References
    ----------
    Szegedy et al. (2015), Going deeper with convolutions, CVPR, arXiv 1409.4842.
    """

    name: ClassVar[str] = "resized_crop"
    of_images: ClassVar[bool] = True
    smallest: float = 0.25
    aspect: float = 4 / 3

    def __post_init__(self) -> None:
        _check_part("smallest", self.smallest)
        check_positive("smallest", self.smallest)
        if check_positive("aspect", self.aspect) < 1:
            raise ValueError(f"aspect must be at least 1; got {self.aspect!r}.")

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return parts of images, enlarged; see `Augmentation.apply`."""
        X = rows.X
        check_images(self.name, X)
        area = _uniform(X, self.smallest, 1, generator)
        most = math.log(self.aspect)
        aspect = _uniform(X, -most, most, generator).exp()
        # Sides as parts of the image's; a long one is all of it.
        high = (area * aspect).sqrt().clamp_max(1)
        wide = (area / aspect).sqrt().clamp_max(1)
        down = (1 - high) * _uniform(X, -1, 1, generator)
        right = (1 - wide) * _uniform(X, -1, 1, generator)
        return rows._replace(X=_sampled(X, wide, right, high, down))


def _sampled(X: Tensor, wide: Tensor, right: Tensor, high: Tensor, down: Tensor) -> Tensor:
    nought = torch.zeros_like(wide)
    part = torch.stack([wide, nought, right, nought, high, down], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(part.to(X.dtype), list(X.shape), align_corners=False)
    return F.grid_sample(X, grid, padding_mode="reflection", align_corners=False)


@dataclass(frozen=True)
class RandomGrayscale(Augmentation):
    """Gives some images the mean of their channels in each of them.

    Parameters
    ----------
    probability : float, default=0.2
        Share of images, from 0 to 1.
    """

    name: ClassVar[str] = "grayscale"
    of_images: ClassVar[bool] = True
    probability: float = 0.2

    def __post_init__(self) -> None:
        _check_part("probability", self.probability)

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return images, some of them grey; see `Augmentation.apply`."""
        X = rows.X
        check_images(self.name, X)
        grey = _uniform(X, 0, 1, generator, 1, 1, 1) < self.probability
        return rows._replace(X=torch.where(grey, X.mean(dim=1, keepdim=True), X))
