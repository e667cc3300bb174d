"""Layers over the pixels of an image: convolution and pooling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from mlfund._check import check_choice, check_positive
from mlfund.nets.layers._base import Layer, Pair, Shape, image, pair, sizes

PADDINGS = ("same", "valid")
POOLS = ("max", "average")


@dataclass(frozen=True)
class Conv(Layer):
    """A convolution.

    Parameters
    ----------
    filters : int
        Channels of the output.
    kernel : int or (int, int), default=3
        Height and width of the filters, in pixels.
    stride : int or (int, int), default=1
    padding : {"same", "valid"}, int or (int, int), default="same"
        Zeros around the image. "same" makes ceil(N / stride) of N pixels, "valid" is none.
        With a number the size (N + 2P - F) / stride + 1 must come out whole.
    groups : int, default=1
        Groups of channels that do not see each other.
    bias : bool, default=True

    Examples
    --------
    >>> from mlfund.nets.layers import Conv
    >>> Conv(16, kernel=5, padding="valid").output((3, 32, 32))
    (16, 28, 28)
    >>> Conv(16, stride=2, padding=0).output((3, 32, 32))
    Traceback (most recent call last):
    ...
    ValueError: Conv(filters=16, stride=2, padding=0) does not fit 32 pixels of height: \
(N + 2P - F) / stride + 1 = (32 + 0 - 3) / 2 + 1 = 15.5 is not an integer; change kernel, stride \
or padding, or take padding='same'.
    """

    way_out: ClassVar[str] = "take padding='same'"

    filters: int
    kernel: Pair = 3
    stride: Pair = 1
    padding: str | Pair = "same"
    groups: int = 1
    bias: bool = True

    def __post_init__(self) -> None:
        check_positive("filters", self.filters, integer=True)
        check_positive("groups", self.groups, integer=True)
        pair("kernel", self.kernel)
        pair("stride", self.stride)
        if isinstance(self.padding, str):
            check_choice("padding", self.padding, PADDINGS)
        else:
            pair("padding", self.padding, zero=True)

    @property
    def window(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return kernel and stride."""
        return pair("kernel", self.kernel), pair("stride", self.stride)

    def output(self, shape: Shape) -> Shape:
        """Return the shape of the output; see `Layer`."""
        channels, *pixels = image(self, shape)
        if channels % self.groups or self.filters % self.groups:
            raise ValueError(
                f"{self} cannot split {channels} channels into {self.filters} filters in "
                f"groups={self.groups}: both must be multiples of it."
            )
        kernel, stride = self.window
        if self.padding == "same":
            high, wide = (math.ceil(n / s) for n, s in zip(pixels, stride, strict=True))
            return self.filters, high, wide
        padding = self._fixed_padding()
        return (self.filters, *sizes(self, pixels, kernel, stride, padding, whole=True))

    def module(self, shape: Shape) -> nn.Module:
        """Return the torch module; see `Layer`."""
        kernel, stride = self.window
        padding, behind = self._fixed_padding(), (0, 0)
        if self.padding == "same":
            padding, behind = self._same_padding(shape)
        options: dict[str, Any] = {"stride": stride, "groups": self.groups, "bias": self.bias}
        conv = nn.Conv2d(shape[0], self.filters, kernel, padding=padding, **options)
        if behind == (0, 0):
            return conv
        # Zeros of torch's own are as many behind as before.
        return nn.Sequential(nn.ZeroPad2d((0, behind[1], 0, behind[0])), conv)

    def _fixed_padding(self) -> tuple[int, int]:
        return (0, 0) if isinstance(self.padding, str) else pair("padding", self.padding, zero=True)

    def _same_padding(self, shape: Shape) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return zeros on both sides, and how many more behind, in height and width."""
        both, behind = [], []
        for n, s, f in zip(shape[1:], *reversed(self.window), strict=True):
            missing = max((math.ceil(n / s) - 1) * s + f - n, 0)
            # One too many at the end, which a stride above 1 never reaches.
            one_sided = s == 1 and missing % 2
            both.append(missing // 2 if one_sided else math.ceil(missing / 2))
            behind.append(int(one_sided))
        return (both[0], both[1]), (behind[0], behind[1])

    def multiply_adds(self, shape: Shape) -> int:
        """Return the multiplications of one image."""
        kernel, _ = self.window
        return math.prod(self.output(shape)) * math.prod(kernel) * shape[0] // self.groups


@dataclass(frozen=True)
class Pool(Layer):
    """Pooling over windows.

    Parameters
    ----------
    kind : {"max", "average"}, default="max"
    kernel : int or (int, int), default=2
    stride : int, (int, int) or None, default=None
        None is the kernel: windows side by side.
    padding : int or (int, int), default=0
    drop_rest : bool, default=False
        Whether pixels at the end that fill no window are left out; else a size
        (N + 2P - F) / stride + 1 that is not whole is refused.
    """

    way_out: ClassVar[str] = "take drop_rest=True"

    kind: str = "max"
    kernel: Pair = 2
    stride: Pair | None = None
    padding: Pair = 0
    drop_rest: bool = False

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, POOLS)
        pair("kernel", self.kernel)
        if self.stride is not None:
            pair("stride", self.stride)
        pair("padding", self.padding, zero=True)

    @property
    def window(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return kernel and stride."""
        kernel = pair("kernel", self.kernel)
        return kernel, kernel if self.stride is None else pair("stride", self.stride)

    def output(self, shape: Shape) -> Shape:
        """Return the shape of the output; see `Layer`."""
        channels, *pixels = image(self, shape)
        padding = pair("padding", self.padding, zero=True)
        return (channels, *sizes(self, pixels, *self.window, padding, whole=not self.drop_rest))

    def module(self, shape: Shape) -> nn.Module:
        """Return the torch module; see `Layer`."""
        kernel, stride = self.window
        pool = nn.MaxPool2d if self.kind == "max" else nn.AvgPool2d
        return pool(kernel, stride, pair("padding", self.padding, zero=True))


@dataclass(frozen=True)
class GlobalPool(Layer):
    """The largest or the mean value of each channel; the output is flat.

    Parameters
    ----------
    kind : {"max", "average"}, default="average"
    """

    kind: str = "average"

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, POOLS)

    def output(self, shape: Shape) -> Shape:
        """Return the shape of the output; see `Layer`."""
        return (image(self, shape)[0],)

    def module(self, shape: Shape) -> nn.Module:
        """Return the torch module; see `Layer`."""
        return _GlobalPool(largest=self.kind == "max")


class _GlobalPool(nn.Module):
    """The largest or the mean pixel of each channel."""

    def __init__(self, *, largest: bool) -> None:
        super().__init__()
        self.largest = largest

    def forward(self, X: Tensor) -> Tensor:
        """Return one value a channel, (n, channels)."""
        if self.largest:
            # Adaptive pooling takes several times as long, and amax, whose gradient is shared
            # among equal pixels, half as long again.
            return F.max_pool2d(X, X.shape[2:]).flatten(1)
        return X.mean(dim=(2, 3))
