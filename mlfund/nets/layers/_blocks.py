"""Layers made of layers: a residual block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from mlfund._check import check_choice
from mlfund.nets.layers._base import Layer, Shape
from mlfund.nets.layers._images import Conv
from mlfund.nets.layers._plain import Norm

SHORTCUTS = ("projection", "pad")


@dataclass(frozen=True)
class Residual(Layer):
    """The sum of some layers' output and of their input, the shortcut.

    Parameters
    ----------
    body : sequence of Layer
    shortcut : {"projection", "pad"}, default="projection"
        What becomes of an input whose shape is not that of the output: a 1x1 convolution
        with normalisation, or every so manieth pixel with channels of zeros added.

    References
    ----------
    He, Zhang, Ren and Sun, Deep residual learning for image recognition, arXiv 1512.03385
    (options B and A).
    """

    body: tuple[Layer, ...]
    shortcut: str = "projection"

    def __post_init__(self) -> None:
        check_choice("shortcut", self.shortcut, SHORTCUTS)
        # A list is welcome; a frozen entry has to be hashable.
        object.__setattr__(self, "body", tuple(self.body))

    @property
    def window(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return kernel and stride of the whole body."""
        kernel, stride = (1, 1), (1, 1)
        for layer in self.body:
            kernel, stride = compose((kernel, stride), layer.window)
        return kernel, stride

    def output(self, shape: Shape) -> Shape:
        """Return the shape of the output; see `Layer`."""
        out = shape
        for layer in self.body:
            out = layer.output(out)
        stride = self._stride(shape, out)
        if out[0] < shape[0] and self.shortcut == "pad":
            raise ValueError(
                f"Residual(shortcut='pad') adds channels, and its body makes {out[0]} of "
                f"{shape[0]}; take shortcut='projection'."
            )
        strided = tuple(-(-n // s) for n, s in zip(shape[1:], stride, strict=True))
        if strided != out[1:]:
            raise ValueError(
                f"A residual body makes {_pixels(out)} pixels of {_pixels(shape)}, which no stride "
                "of the shortcut does; take padding='same' in its convolutions."
            )
        return out

    def module(self, shape: Shape) -> nn.Module:
        """Return the torch module; see `Layer`."""
        out = self.output(shape)
        body = build(self.body, shape)
        if out == shape:
            return _Residual(body, nn.Identity())
        stride = self._stride(shape, out)
        if self.shortcut == "pad":
            return _Residual(body, _Pad(stride, out[0] - shape[0]))
        return _Residual(body, build(self._projection(shape, out), shape))

    def multiply_adds(self, shape: Shape) -> int:
        """Return the multiplications of one image."""
        out = self.output(shape)
        total = 0
        if out != shape and self.shortcut == "projection":
            total = self._projection(shape, out)[0].multiply_adds(shape)
        for layer in self.body:
            total += layer.multiply_adds(shape)
            shape = layer.output(shape)
        return total

    def _projection(self, shape: Shape, out: Shape) -> tuple[Layer, ...]:
        stride = self._stride(shape, out)
        return Conv(out[0], kernel=1, stride=stride, bias=False), Norm()

    def _stride(self, shape: Shape, out: Shape) -> tuple[int, int]:
        if len(shape) != 3 or len(out) != 3:
            raise ValueError(
                "Residual takes images and gives images: no Dense or GlobalPool in it."
            )
        return max(round(shape[1] / out[1]), 1), max(round(shape[2] / out[2]), 1)


def compose(
    first: tuple[tuple[int, int], tuple[int, int]], then: tuple[tuple[int, int], tuple[int, int]]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return kernel and stride of two windows, one after the other.

    Examples
    --------
    >>> compose(((3, 3), (2, 2)), ((3, 3), (1, 1)))
    ((7, 7), (2, 2))
    """
    (kernel, stride), (next_kernel, next_stride) = first, then
    grown = tuple(k + (f - 1) * s for k, f, s in zip(kernel, next_kernel, stride, strict=True))
    strides = tuple(s * t for s, t in zip(stride, next_stride, strict=True))
    return (grown[0], grown[1]), (strides[0], strides[1])


def build(layers: Sequence[Layer], shape: Shape) -> nn.Sequential:
    """Return the modules of layers, one after the other, for an input of `shape`."""
    modules = []
    for layer in layers:
        modules.append(layer.module(shape))
        shape = layer.output(shape)
    return nn.Sequential(*modules)


def _pixels(shape: Shape) -> str:
    return " x ".join(str(n) for n in shape[1:])


class _Residual(nn.Module):
    """body(X) + shortcut(X)."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, X: Tensor) -> Tensor:
        """Return the sum."""
        total: Tensor = self.body(X) + self.shortcut(X)
        return total


class _Pad(nn.Module):
    """Every so manieth pixel, with channels of zeros behind the others."""

    def __init__(self, stride: tuple[int, int], n_channels: int) -> None:
        super().__init__()
        self.stride, self.n_channels = stride, n_channels

    def forward(self, X: Tensor) -> Tensor:
        """Return fewer pixels and more channels."""
        kept = X[:, :, :: self.stride[0], :: self.stride[1]]
        return F.pad(kept, (0, 0, 0, 0, 0, self.n_channels))
