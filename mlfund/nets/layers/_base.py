"""What every layer of a convolutional net says of itself; the arithmetic of image sizes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from typing import ClassVar

from torch import nn

Shape = tuple[int, ...]
Pair = int | tuple[int, int]

SIDES = ("height", "width")


@dataclass(frozen=True)
class Layer(ABC):
    """One layer; subclasses say which.

    Attributes
    ----------
    way_out : str
        What helps where windows do not fill the image.
    has_window : bool
        Whether `window` is known.
    """

    way_out: ClassVar[str] = "choose another size of image"
    has_window: ClassVar[bool] = True

    @property
    def window(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return kernel and stride in height and width, from which receptive fields follow."""
        return (1, 1), (1, 1)

    @abstractmethod
    def output(self, shape: Shape) -> Shape:
        """Return the shape of the output for an input of `shape`.

        Raises
        ------
        ValueError
            If the layer does not fit the input.
        """

    @abstractmethod
    def module(self, shape: Shape) -> nn.Module:
        """Return the torch module for inputs of `shape`, with torch's initial weights."""

    def multiply_adds(self, shape: Shape) -> int:
        """Return the multiplications of a forward pass of one image, those of products only."""
        return 0

    def __str__(self) -> str:
        """Return the call that makes the layer, without what is at its default."""
        said = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)
            if getattr(self, field.name) != field.default
        ]
        return f"{type(self).__name__}({', '.join(said)})"


def pair(name: str, value: Pair, *, zero: bool = False) -> tuple[int, int]:
    """Return a number of pixels for height and width.

    Raises
    ------
    ValueError
        If it is neither an integer nor two, or one of them is too small.
    """
    both = value if isinstance(value, tuple | list) else (value, value)
    least = 0 if zero else 1
    good = len(both) == 2 and all(isinstance(v, Integral) and v >= least for v in both)
    if not good or isinstance(value, bool):
        raise ValueError(
            f"{name} must be an integer of at least {least}, or two of them for height and "
            f"width; got {value!r}."
        )
    return int(both[0]), int(both[1])


def image(layer: Layer, shape: Shape) -> tuple[int, int, int]:
    """Return channels, height and width; raises ValueError if `shape` is flat."""
    if len(shape) != 3:
        raise ValueError(
            f"{layer} takes images, and the layer before it gives {shape[0]} values a row; put it "
            "before GlobalPool and Dense."
        )
    return shape[0], shape[1], shape[2]


def sizes(
    layer: Layer,
    pixels: Sequence[int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    *,
    whole: bool,
) -> tuple[int, int]:
    """Return (N + 2P - F) / stride + 1 in height and width.

    Raises
    ------
    ValueError
        If the window is larger than the image, or `whole` and a size is not an integer.
    """
    found = []
    for side, n, f, s, p in zip(SIDES, pixels, kernel, stride, padding, strict=True):
        left = n + 2 * p - f
        if left < 0:
            raise ValueError(
                f"{layer} does not fit {n} pixels of {side}: its window takes {f}"
                + (f", and padding makes {n + 2 * p} of them" if p else "")
                + "; use a smaller kernel, or fewer layers that make the image smaller."
            )
        if whole and left % s:
            raise ValueError(
                f"{layer} does not fit {n} pixels of {side}: (N + 2P - F) / stride + 1 = "
                f"({n} + {2 * p} - {f}) / {s} + 1 = {left / s + 1:.4g} is not an integer; change "
                f"kernel, stride or padding, or {layer.way_out}."
            )
        found.append(left // s + 1)
    return found[0], found[1]
