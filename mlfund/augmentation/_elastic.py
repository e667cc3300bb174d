"""Elastic distortion: images drawn on rubber."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from mlfund._check import check_positive
from mlfund.augmentation._base import Augmentation, Rows, place_of
from mlfund.augmentation._images import check_images


@dataclass(frozen=True)
class RandomElastic(Augmentation):
    """Distorts images as if they were drawn on rubber: nearby pixels move together.

    Pixels of a coarse grid are moved at random, those between them by smooth (bicubic)
    interpolation. It is what hands do to letters and digits.

    Parameters
    ----------
    amount : float, default=0.05
        Standard deviation of the moves at the points of the grid, as a share of height and width.
    cells : int, default=4
        Points of the grid in each direction: more of them make smaller waves.

    References
    ----------
    Simard, Steinkraus, Platt (2003), Best practices for convolutional neural networks applied
    to visual document analysis, ICDAR.
    """

    name: ClassVar[str] = "elastic"
    of_images: ClassVar[bool] = True
    amount: float = 0.05
    cells: int = 4

    def __post_init__(self) -> None:
        check_positive("amount", self.amount, zero=True)
        check_positive("cells", self.cells, integer=True)

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return distorted images; see `Augmentation.apply`."""
        X = rows.X
        check_images(self.name, X)
        size = (len(X), 2, int(self.cells), int(self.cells))
        drawn = torch.randn(size, generator=generator, device=place_of(X, generator))
        # Positions run from -1 to 1 over an image.
        moves = drawn.to(X.device, X.dtype) * (2 * self.amount)
        moves = F.interpolate(moves, X.shape[2:], mode="bicubic", align_corners=False)
        stay = torch.eye(2, 3, dtype=X.dtype, device=X.device).expand(len(X), 2, 3)
        grid = F.affine_grid(stay, list(X.shape), align_corners=False)
        grid = grid + moves.permute(0, 2, 3, 1)
        return rows._replace(X=F.grid_sample(X, grid, align_corners=False))
