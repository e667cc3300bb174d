"""Images that grow from epoch to epoch: `progressive_resizing` of the estimators of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from mlfund.augmentation import Augmentation, Rows
from mlfund.backbones import ImageEncoder

# Sides of convolutional nets are multiples of it, and the first of growing images half as long.
STEP, FIRST_SIDE = 32, 0.5


@dataclass(frozen=True)
class GrowingImages(Augmentation):
    """Makes images smaller in the first epochs, so that these take less time.

    Parameters
    ----------
    epochs : int, default=1
        Epochs with smaller images; sides grow by equal steps of `STEP` pixels.
    """

    name: ClassVar[str] = "growing_images"
    of_images: ClassVar[bool] = True
    epochs: int = 1

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return images of the sides of their epoch; see `Augmentation.apply`."""
        if rows.epoch >= self.epochs:
            return rows
        sides = [self.side(side, rows.epoch) for side in rows.X.shape[2:]]
        X = F.interpolate(rows.X, sides, mode="bilinear", antialias=True, align_corners=False)
        return rows._replace(X=X)

    def side(self, full: int, epoch: int) -> int:
        """Return the side of images in an epoch whose full side is given."""
        share = FIRST_SIDE + (1 - FIRST_SIDE) * epoch / self.epochs
        return min(full, max(STEP, round(share * full / STEP) * STEP))

    def check(self, encoder: ImageEncoder) -> None:
        """Raise ValueError if an encoder cannot take the smallest images."""
        height, width, _ = encoder.pixels.size
        try:
            encoder.with_size(self.side(height, 0), self.side(width, 0))
        except ValueError as error:
            raise ValueError(
                f"progressive_resizing=True trains on smaller images first. {error}"
            ) from error
