"""Layers that act on each value, each channel, or all values at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from mlfund._check import check_choice, check_fraction, check_positive
from mlfund.nets.activations import get_activation
from mlfund.nets.layers._base import Layer, Shape, image

NORMS = ("batch", "layer", "group", "instance")
MOST_GROUPS = 8


@dataclass(frozen=True)
class Norm(Layer):
    """Normalisation of channels.

    Parameters
    ----------
    kind : {"batch", "layer", "group", "instance"}, default="batch"
        "layer" takes all channels of an image together, "group" up to 8 groups of them,
        "instance" each channel of each image.

    References
    ----------
    Ioffe and Szegedy, arXiv 1502.03167; Ba et al., arXiv 1607.06450; Wu and He,
    arXiv 1803.08494; Ulyanov et al., arXiv 1607.08022.
    """

    kind: str = "batch"

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, NORMS)

    def output(self, shape: Shape) -> Shape:
        """Return the shape of the output; see `Layer`."""
        if self.kind == "instance":
            image(self, shape)
        return shape

    def module(self, shape: Shape) -> nn.Module:
        """Return the torch module; see `Layer`."""
        channels = shape[0]
        if self.kind == "batch":
            return nn.BatchNorm2d(channels) if len(shape) == 3 else nn.BatchNorm1d(channels)
        if self.kind == "instance":
            return nn.InstanceNorm2d(channels, affine=True)
        groups = 1 if self.kind == "layer" else math.gcd(channels, MOST_GROUPS)
        return nn.GroupNorm(groups, channels)


@dataclass(frozen=True)
class Activate(Layer):
    """An activation.

    Parameters
    ----------
    name : str, default="relu"
        A name of `mlfund.nets.activations`, those with learned slopes excepted.
    """

    name: str = "relu"

    def __post_init__(self) -> None:
        if get_activation(self.name).learned:
            raise ValueError(
                f"Activate(name={self.name!r}) has learned slopes, which convolutional nets do "
                "not take; choose another activation, such as 'leaky_relu'."
            )

    def output(self, shape: Shape) -> Shape:
        """Return the shape of the output; see `Layer`."""
        return shape

    def module(self, shape: Shape) -> nn.Module:
        """Return the torch module; see `Layer`."""
        return _Activation(self.name)


@dataclass(frozen=True)
class Drop(Layer):
    """Dropout: of units where the input is flat, of whole channels where it is an image.

    Parameters
    ----------
    rate : float, default=0.5
        Share of values dropped, from 0 to 1.
    """

    rate: float = 0.5

    def __post_init__(self) -> None:
        check_fraction("rate", self.rate)

    def output(self, shape: Shape) -> Shape:
        """Return the shape of the output; see `Layer`."""
        return shape

    def module(self, shape: Shape) -> nn.Module:
        """Return the torch module; see `Layer`."""
        return nn.Dropout2d(self.rate) if len(shape) == 3 else nn.Dropout(self.rate)


@dataclass(frozen=True)
class Dense(Layer):
    """A fully connected layer; images are flattened before it.

    Parameters
    ----------
    units : int
    bias : bool, default=True
    """

    units: int
    bias: bool = True

    def __post_init__(self) -> None:
        check_positive("units", self.units, integer=True)

    def output(self, shape: Shape) -> Shape:
        """Return the shape of the output; see `Layer`."""
        return (self.units,)

    def module(self, shape: Shape) -> nn.Module:
        """Return the torch module; see `Layer`."""
        linear = nn.Linear(math.prod(shape), self.units, bias=self.bias)
        return linear if len(shape) == 1 else nn.Sequential(nn.Flatten(), linear)

    def multiply_adds(self, shape: Shape) -> int:
        """Return the multiplications of one image."""
        return math.prod(shape) * self.units


@dataclass(frozen=True)
class Flatten(Layer):
    """All values of an image as one row: channels, then height and width."""

    def output(self, shape: Shape) -> Shape:
        """Return the shape of the output; see `Layer`."""
        return (math.prod(shape),)

    def module(self, shape: Shape) -> nn.Module:
        """Return the torch module; see `Layer`."""
        return nn.Flatten()


class _Activation(nn.Module):
    """An entry of `ACTIVATIONS` as a module."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.function = get_activation(name)

    def forward(self, X: Tensor) -> Tensor:
        """Return the function of `X`."""
        return self.function.forward(X)

    def extra_repr(self) -> str:
        """Return the name of the function."""
        return self.function.name
