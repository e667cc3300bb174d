"""Augmentations of images, shape (n, channels, height, width), drawn for each image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mlfund._check import check_choice, check_positive
from mlfund.augmentation._base import Augmentation, Rows, place_of

FILLS = ("zeros", "reflect")
AXES = ("horizontal", "vertical", "both")


def check_images(name: str, X: Tensor) -> None:
    """Raise ValueError unless X holds images."""
    if X.ndim != 4:
        raise ValueError(
            f"{name} is for images of shape (n, channels, height, width), and X has shape "
            f"{tuple(X.shape)}; leave it out."
        )


def _check_part(name: str, value: float) -> None:
    """Raise ValueError unless a value lies between 0 and 1, both allowed."""
    if check_positive(name, value, zero=True) > 1:
        raise ValueError(f"{name} must be a number from 0 to 1; got {value!r}.")


def _uniform(
    X: Tensor, low: float, high: float, generator: torch.Generator | None, *more: int
) -> Tensor:
    """Draw numbers for each image, shape (n, ...), between two bounds."""
    drawn = torch.rand(len(X), *more, generator=generator, device=place_of(X, generator))
    return drawn.to(X.device).mul_(high - low).add_(low)


def _integers(X: Tensor, most: int, generator: torch.Generator | None, *more: int) -> Tensor:
    """Draw integers from -most to most for each image."""
    size = (len(X), *more)
    place = place_of(X, generator)
    return torch.randint(-most, most + 1, size, generator=generator, device=place).to(X.device)


def box_mask(centre: Tensor, sides: Tensor, high: int, wide: int) -> Tensor:
    """Return where pixels lie in a box, (n, high, wide) of bool.

    Parameters
    ----------
    centre : Tensor of shape (n, 2)
        In height and width, from 0 to 1; the box is cut off at the edges.
    sides : Tensor of shape (n, 2)
        Height and width in pixels, rounded.
    """
    inside = []
    for axis, size in enumerate((high, wide)):
        length = sides[:, axis].round()
        start = (centre[:, axis] * size - length / 2).round()[:, None]
        at = torch.arange(size, device=centre.device)
        inside.append((at >= start) & (at < start + length[:, None]))
    return inside[0][:, :, None] & inside[1][:, None, :]


@dataclass(frozen=True)
class RandomFlip(Augmentation):
    """Mirrors images at random.

    Parameters
    ----------
    axis : {"horizontal", "vertical", "both"}, default="horizontal"
        "horizontal" swaps left and right; "both" draws for each direction.
    probability : float, default=0.5
        Share of images mirrored, from 0 to 1.
    """

    name: ClassVar[str] = "flip"
    of_images: ClassVar[bool] = True
    axis: str = "horizontal"
    probability: float = 0.5

    def __post_init__(self) -> None:
        check_choice("axis", self.axis, AXES)
        _check_part("probability", self.probability)

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return images, some of them mirrored; see `Augmentation.apply`."""
        X = rows.X
        check_images(self.name, X)
        for axis, dim in (("horizontal", 3), ("vertical", 2)):
            if self.axis in (axis, "both"):
                mirrored = _uniform(X, 0, 1, generator) < self.probability
                X = torch.where(mirrored.view(-1, 1, 1, 1), X.flip(dim), X)
        return rows._replace(X=X)


@dataclass(frozen=True)
class RandomShift(Augmentation):
    """Moves images by whole pixels: a crop of the padded image.

    Parameters
    ----------
    pixels : int, default=2
        Most pixels in each direction.
    fill : {"zeros", "reflect"}, default="zeros"
        What comes in at the edges; zero is the mean of standardised images.
    """

    name: ClassVar[str] = "shift"
    of_images: ClassVar[bool] = True
    pixels: int = 2
    fill: str = "zeros"

    def __post_init__(self) -> None:
        check_positive("pixels", self.pixels, zero=True, integer=True)
        check_choice("fill", self.fill, FILLS)

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return moved images; see `Augmentation.apply`."""
        X, most = rows.X, int(self.pixels)
        check_images(self.name, X)
        n, _, high, wide = X.shape
        if self.fill == "reflect" and most >= min(high, wide):
            raise ValueError(
                f"pixels={most} with fill='reflect' needs larger images than {high} x {wide}; use "
                "fewer pixels or fill='zeros'."
            )
        start = most - _integers(X, most, generator, 2)
        mode = "constant" if self.fill == "zeros" else "reflect"
        padded = F.pad(X, (most,) * 4, mode=mode)
        # All crops as views, (n, down, right, height, width, channels): picking one an image
        # copies whole rows, in a third of the time of picking pixels.
        crops = padded.unfold(2, high, 1).unfold(3, wide, 1).movedim(1, -1)
        moved = crops[torch.arange(n, device=X.device), start[:, 0], start[:, 1]]
        return rows._replace(X=moved.permute(0, 3, 1, 2))


@dataclass(frozen=True)
class RandomAffine(Augmentation):
    """Rotates, scales and slants images around their centre, with bilinear interpolation.

    Parameters
    ----------
    degrees : float, default=10
        Largest rotation to either side, from 0 to 180.
    scale : float, default=0.1
        Largest part by which images grow or shrink, from 0 to below 1.
    shear : float, default=0
        Largest slant to either side, as handwriting has it, from 0 to 1: pixels that a row is
        moved, for each row between it and the middle.
    """

    name: ClassVar[str] = "affine"
    of_images: ClassVar[bool] = True
    degrees: float = 10.0
    scale: float = 0.1
    shear: float = 0.0

    def __post_init__(self) -> None:
        if check_positive("degrees", self.degrees, zero=True) > 180:
            raise ValueError(f"degrees must be at most 180; got {self.degrees!r}.")
        if check_positive("scale", self.scale, zero=True) >= 1:
            raise ValueError(f"scale must be at least 0 and less than 1; got {self.scale!r}.")
        if check_positive("shear", self.shear, zero=True) > 1:
            raise ValueError(
                f"shear must be at most 1, a slant of 45 degrees; got {self.shear!r}. It counts "
                "pixels a row, not degrees: 0.2 are 11 degrees."
            )

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return turned, scaled and slanted images; see `Augmentation.apply`."""
        X = rows.X
        check_images(self.name, X)
        high, wide = X.shape[2:]
        angle = _uniform(X, -self.degrees, self.degrees, generator) * (math.pi / 180)
        size = 1 + _uniform(X, -self.scale, self.scale, generator)
        cos, sin = angle.cos() / size, angle.sin() / size
        slant = _uniform(X, -self.shear, self.shear, generator)
        across, down = cos * slant - sin, sin * slant + cos
        nought = torch.zeros_like(cos)
        # affine_grid runs from -1 to 1 in both directions, also where pixels do not.
        turn = torch.stack(
            [cos, across * high / wide, nought, sin * wide / high, down, nought], dim=1
        ).view(-1, 2, 3)
        grid = F.affine_grid(turn.to(X.dtype), list(X.shape), align_corners=False)
        return rows._replace(X=F.grid_sample(X, grid, align_corners=False))


@dataclass(frozen=True)
class ColorJitter(Augmentation):
    """Changes brightness, contrast and saturation of images.

    Parameters
    ----------
    brightness : float, default=0.2
        Most that is added to all values of an image or taken from them: in standard
        deviations where images are standardised.
    contrast, saturation : float, default=0.2
        Largest part by which distances from the mean of the image, and from the mean of
        the channels, grow or shrink, from 0 to 1.
    """

    name: ClassVar[str] = "color_jitter"
    of_images: ClassVar[bool] = True
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2

    def __post_init__(self) -> None:
        check_positive("brightness", self.brightness, zero=True)
        _check_part("contrast", self.contrast)
        _check_part("saturation", self.saturation)

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return images of other colours; see `Augmentation.apply`."""
        X = rows.X
        check_images(self.name, X)
        added = _uniform(X, -self.brightness, self.brightness, generator, 1, 1, 1)
        contrast = 1 + _uniform(X, -self.contrast, self.contrast, generator, 1, 1, 1)
        mean = X.mean(dim=(1, 2, 3), keepdim=True)
        jittered = (X - mean) * contrast.to(X.dtype) + (mean + added.to(X.dtype))
        if X.shape[1] > 1:
            more = 1 + _uniform(X, -self.saturation, self.saturation, generator, 1, 1, 1)
            grey = jittered.mean(dim=1, keepdim=True)
            jittered = grey + (jittered - grey) * more.to(X.dtype)
        return rows._replace(X=jittered)


@dataclass(frozen=True)
class Cutout(Augmentation):
    """Sets a square of each image to zero, the mean of standardised images.

    Parameters
    ----------
    size : int, default=8
        Side of the square in pixels; part of it may lie outside of the image.

    References
    ----------
    DeVries and Taylor (2017), Improved regularization of convolutional neural networks with
    cutout, arXiv 1708.04552.
    """

    name: ClassVar[str] = "cutout"
    of_images: ClassVar[bool] = True
    size: int = 8

    def __post_init__(self) -> None:
        check_positive("size", self.size, integer=True)

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return images with squares of zeros; see `Augmentation.apply`."""
        X = rows.X
        check_images(self.name, X)
        centre = _uniform(X, 0, 1, generator, 2)
        sides = torch.full_like(centre, self.size)
        box = box_mask(centre, sides, *X.shape[2:])
        return rows._replace(X=X.masked_fill(box[:, None], 0))


@dataclass(frozen=True)
class RandomErasing(Augmentation):
    """Fills a box of random size in some images with noise of the images' spread.

    Parameters
    ----------
    probability : float, default=0.5
        Share of images, from 0 to 1.
    largest : float, default=0.33
        Largest part of the area erased, above 0 to 1; the smallest is 0.02, or `largest`
        where that is less. Height over width is between 0.3 and 3.3.

    References
    ----------
    Zhong, Zheng, Kang, Li, Yang (2020), Random erasing data augmentation, AAAI,
    arXiv 1708.04896.
    """

    name: ClassVar[str] = "erasing"
    of_images: ClassVar[bool] = True
    probability: float = 0.5
    largest: float = 0.33

    def __post_init__(self) -> None:
        _check_part("probability", self.probability)
        _check_part("largest", self.largest)
        check_positive("largest", self.largest)

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return images with boxes of noise; see `Augmentation.apply`."""
        X = rows.X
        check_images(self.name, X)
        high, wide = X.shape[2:]
        erased = _uniform(X, 0, 1, generator) < self.probability
        area = _uniform(X, min(0.02, self.largest), self.largest, generator) * (high * wide)
        aspect = _uniform(X, math.log(0.3), math.log(3.3), generator).exp()
        sides = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], dim=1)
        # Boxes of such an aspect may be longer than the image: then all of it in that axis.
        sides = torch.minimum(sides, sides.new_tensor([high, wide]))
        box = box_mask(_uniform(X, 0, 1, generator, 2), sides, high, wide)
        box &= erased[:, None, None]
        place = place_of(X, generator)
        noise = torch.randn(X.shape, generator=generator, dtype=X.dtype, device=place)
        return rows._replace(X=torch.where(box[:, None], noise.to(X.device), X))
