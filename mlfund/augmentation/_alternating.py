"""The flip that shows each image as it is in one epoch, and in a mirror in the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mlfund.augmentation._base import Augmentation, Rows
from mlfund.augmentation._images import RandomFlip, check_images

# Odd factors of 64 bits that spread each bit of a number over the others: those of the
# generator splitmix64 (Steele, Lea and Flood 2014), as signed integers.
_SPREAD = (-7046029254386353131, -4658895280553007687)


@dataclass(frozen=True)
class AlternatingFlip(Augmentation):
    """Swaps left and right of half of the images, and of the other half in the next epoch.

    Which half an image is in follows from a hash of its row number and the seed. Two epochs
    together show every image and its mirror image once, where random flips show a quarter of
    the images twice as they are, and another quarter twice in the mirror: nothing is seen
    twice before all is seen once. Rows without numbers, in pictures and in pairs of views,
    are swapped at random.

    References
    ----------
    Jordan (2024), 94% on CIFAR-10 in 3.29 seconds on a single GPU, arXiv 2404.00498, section 3.6.
    """

    name: ClassVar[str] = "alternating_flip"
    of_images: ClassVar[bool] = True

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return images, half of them mirrored; see `Augmentation.apply`."""
        X = rows.X
        check_images(self.name, X)
        if rows.number is None:
            return RandomFlip().apply(rows, generator, target)
        seed = torch.initial_seed() if generator is None else generator.initial_seed()
        mirrored = _coin(rows.number, seed) ^ bool(rows.epoch % 2)
        return rows._replace(X=torch.where(mirrored.view(-1, 1, 1, 1), X.flip(3), X))


def _coin(numbers: Tensor, seed: int) -> Tensor:
    """Return heads or tails for each number, (n,) of bool: the same ones for the same seed."""
    # Products of int64 wrap around, which is what a hash wants.
    bits = (numbers + seed % 2**62) * _SPREAD[0]
    bits = (bits ^ (bits >> 32)) * _SPREAD[1]
    return (bits >> 40).bitwise_and(1).bool()
