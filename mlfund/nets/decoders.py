"""Decoders: from an encoder's features back to rows of its inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from mlfund.nets.architectures import SMALLEST_SIDE
from mlfund.nets.layers import Activate, Conv, Dense, Layer, Norm, Shape, build

# Decoders are narrow: what is to be learned belongs into the encoder.
NARROWER = 4
FEWEST_FILTERS = 16


def image_decoder(
    given: Shape, shape: tuple[int, int, int], activation: str, normalization: str
) -> nn.Sequential:
    """Return the modules that make images of features.

    Pixels are doubled and convolved until the size is reached: transposed convolutions
    would leave chequers.

    Parameters
    ----------
    given : (int, int, int) or (int,)
        Shape of the features: channels, height and width, or flat.
    shape : (int, int, int)
        Channels, height and width of an image.
    activation, normalization : str
        Between the convolutions.

    References
    ----------
    Odena, Dumoulin and Olah (2016), Deconvolution and checkerboard artifacts, Distill.
    """
    sizes = [shape[1:]]
    while min(sizes[0]) >= 2 * SMALLEST_SIDE:
        high, wide = sizes[0]
        sizes.insert(0, (math.ceil(high / 2), math.ceil(wide / 2)))
    modules: list[nn.Module] = []
    if len(given) == 1:
        start = (FEWEST_FILTERS * NARROWER, *sizes[0])
        modules += [nn.Linear(given[0], math.prod(start)), nn.Unflatten(1, start)]
        given = start
    for high, wide in sizes:
        if (high, wide) != given[1:] and high >= given[1] and wide >= given[2]:
            modules.append(nn.Upsample((high, wide)))
            given = (given[0], high, wide)
            block = _block(max(FEWEST_FILTERS, given[0] // NARROWER), activation, normalization)
            modules += build(block, given)
            given = (block[0].filters, high, wide)
    return nn.Sequential(*modules, Conv(shape[0]).module(given))


def _block(filters: int, activation: str, normalization: str) -> tuple[Conv, Norm, Activate]:
    return Conv(filters, bias=False), Norm(normalization), Activate(activation)


def row_decoder(
    n_given: int, widths: Sequence[int], n_values: int, activation: str, normalization: str
) -> nn.Sequential:
    """Return the modules that make rows of a table of features.

    Parameters
    ----------
    n_given : int
        Features.
    widths : sequence of int
        Units of the hidden layers.
    n_values : int
        Columns.
    activation, normalization : str
        Between the layers.
    """
    layers = dense_layers(widths, activation, normalization)
    return build([*layers, Dense(n_values)], (n_given,))


def dense_layers(widths: Sequence[int], activation: str, normalization: str) -> list[Layer]:
    """Return hidden layers of so many units, normalised and with activations."""
    layers: list[Layer] = []
    for width in widths:
        layers += [Dense(int(width), bias=False), Norm(normalization), Activate(activation)]
    return layers
