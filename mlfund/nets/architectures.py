"""Convolutional nets by name, as lists of layers for images of any size.

The last layer, from features to raw scores, is not part of a list: it is made for the
number of outputs. Names and what they hold:

============ ========================================================================
lenet        two 5x5 convolutions with pooling, two dense layers
simple       three blocks of convolution, pooling, normalisation and activation
small        the same with half as many filters
deep         the same with a fourth convolution, a pooling after every other one
tiny         a strided convolution, pooled, and two more at a sixteenth of the pixels
strided      a strided convolution and two more, each pooled
strided_wide the same with more filters and one more convolution
resnet20     residual net for small images, 0.27 M parameters (resnet32, resnet56: deeper)
resnet9      eight convolutions with two residual blocks, wide; fast to a good accuracy
fast         three groups of two convolutions on whitened 2x2 patches, quick to learn
wide         residual net of 14 layers, four times as wide as resnet20
============ ========================================================================

References
----------
LeCun et al., Gradient-based learning applied to document recognition, Proc. IEEE 86
(1998). He et al., arXiv 1512.03385, section 4.2. Zagoruyko and Komodakis, arXiv 1605.07146.
Page, How to train your ResNet (2018). Jordan, 94% on CIFAR-10 in 3.29 seconds on a single
GPU, arXiv 2404.00498.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from mlfund._check import check_choice
from mlfund.nets.layers import (
    Activate,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    Layer,
    Norm,
    Pool,
    Residual,
    Shape,
    Whiten,
)
from mlfund.nets.layers._base import Pair
from mlfund.nets.layers._own import own_layers

Builder = Callable[[Shape, str, str], list[Layer]]

# Images are not pooled below so many pixels a side.
SMALLEST_SIDE = 4
# In nets that begin with a stride: sides that are halved by it, and later by pooling.
STRIDED_SIDE, POOLED_SIDE = 16, 12


def layers_for(
    architecture: str | nn.Module | Sequence[Layer | nn.Module],
    shape: Shape,
    *,
    activation: str = "relu",
    normalization: str = "batch",
) -> list[Layer]:
    """Return the layers of an architecture for images of a shape.

    Parameters
    ----------
    architecture : str, torch.nn.Module, or sequence of Layer and torch.nn.Module
        A name of `ARCHITECTURES`, or layers, which are checked and returned; modules are taken
        as `FromTorch`, the parts of a plain `torch.nn.Sequential` one by one.
    shape : (int, int, int)
        Channels, height and width of an image.
    activation, normalization : str, default="relu", "batch"
        What a named architecture has between its convolutions.

    Returns
    -------
    layers : list of Layer

    Raises
    ------
    ValueError
        If the name is not known, a list holds something else than layers, or a layer does
        not fit what reaches it.

    Examples
    --------
    >>> from mlfund.nets.architectures import layers_for
    >>> [str(layer) for layer in layers_for("lenet", (1, 28, 28))][:2]
    ['Conv(filters=6, kernel=5)', 'Activate()']
    """
    if isinstance(architecture, str):
        check_choice("architecture", architecture, ARCHITECTURES)
        layers = ARCHITECTURES[architecture](shape, activation, normalization)
    else:
        layers = own_layers(architecture)
        for place, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise ValueError(
                    f"Layer {place} of the architecture is {layer!r}; give layers of "
                    "mlfund.nets.layers, such as Conv(32) and Pool(), torch modules, or a name of "
                    f"{', '.join(map(repr, ARCHITECTURES))}."
                )
    for layer in layers:
        shape = layer.output(shape)
    return layers


def _conv_block(
    filters: int, activation: str, normalization: str, *, kernel: int = 3
) -> list[Layer]:
    """Return convolution, normalisation, activation; the norm has the bias."""
    conv = Conv(filters, kernel=kernel, bias=False)
    return [conv, Norm(normalization), Activate(activation)]


def _halved(shape: Shape) -> bool:
    return min(shape[1:]) >= 2 * SMALLEST_SIDE


def _lenet(shape: Shape, activation: str, normalization: str) -> list[Layer]:
    """Return LeNet-5 with today's activations and pooling."""
    layers: list[Layer] = []
    for filters in (6, 16):
        layers += [Conv(filters, kernel=5), Activate(activation)]
        if min(shape[1:]) >= 2:
            layers.append(Pool(drop_rest=True))
            shape = layers[-1].output(shape)
    return [*layers, Dense(120), Activate(activation), Dense(84), Activate(activation)]


def _pooled_block(
    filters: int, shape: Shape, activation: str, normalization: str
) -> tuple[list[Layer], Shape]:
    """Return convolution, pooling, normalisation, activation, and the shape they make.

    Pooling comes first, so that the others see a quarter of the pixels: a step of "simple"
    takes a fifth less time on a CPU.
    """
    layers: list[Layer] = [Conv(filters, bias=False)]
    if _halved(shape):
        layers.append(Pool(drop_rest=True))
        shape = layers[-1].output(shape)
    return [*layers, Norm(normalization), Activate(activation)], (filters, *shape[1:])


def _simple(*widths: int) -> Builder:
    """Return the builder of blocks of more and more filters, each with half the pixels."""

    def layers_of(shape: Shape, activation: str, normalization: str) -> list[Layer]:
        layers: list[Layer] = []
        for filters in widths:
            block, shape = _pooled_block(filters, shape, activation, normalization)
            layers += block
        return [*layers, GlobalPool("max")]

    return layers_of


def _after(shape: Shape, layers: Sequence[Layer]) -> Shape:
    for layer in layers:
        shape = layer.output(shape)
    return shape


def _halving(shape: Shape, least: int) -> tuple[int, int]:
    """Return 2 for height and width where these have so many pixels, else 1."""
    return 1 + (shape[1] >= least), 1 + (shape[2] >= least)


def _pool(window: tuple[int, int]) -> list[Layer]:
    """Return the pooling by a window, none for a single pixel."""
    return [Pool(kernel=_plain(window), drop_rest=True)] if max(window) > 1 else []


def _plain(window: tuple[int, int]) -> Pair:
    return window[0] if window[0] == window[1] else window


def _strided(stem: int, *widths: int, pooled: bool = False) -> Builder:
    """Return the builder of a strided convolution and blocks of convolutions on its output.

    Most work of a small net is at its first pixels, and little of that in products: with a
    quarter of them a step of "small" takes two thirds of the time. What is left, three to five
    pixels a side, is not pooled further: where a stroke is tells digits apart. Images that are too
    small for the stride are pooled as a whole: one pixel is a long way there.

    Parameters
    ----------
    stem : int
        Filters of the strided convolution, which has a bias in place of normalisation.
    *widths : int
        Filters of the blocks.
    pooled : bool, default=False
        Whether the output of the strided convolution is pooled.
    """

    def layers_of(shape: Shape, activation: str, normalization: str) -> list[Layer]:
        layers: list[Layer] = [Conv(stem, kernel=5, stride=_plain(_halving(shape, STRIDED_SIDE)))]
        if pooled:
            layers += _pool(_halving(_after(shape, layers), POOLED_SIDE))
        layers.append(Activate(activation))
        for left, width in zip(range(len(widths))[::-1], widths, strict=True):
            layers.append(Conv(width, bias=False))
            reached = _after(shape, layers)
            thirds = max(reached[1] // 3, 1), max(reached[2] // 3, 1)
            layers += _pool(_halving(reached, POOLED_SIDE) if left else thirds)
            layers += [Norm(normalization), Activate(activation)]
        small = min(shape[1:]) < STRIDED_SIDE
        return [*layers, GlobalPool("max") if small else Flatten()]

    return layers_of


def _deep(shape: Shape, activation: str, normalization: str) -> list[Layer]:
    """Return four convolutions, two of them pooled."""
    layers: list[Layer] = []
    for pooled, single in ((32, 48), (64, 128)):
        block, shape = _pooled_block(pooled, shape, activation, normalization)
        layers += block + _conv_block(single, activation, normalization)
    return [*layers, GlobalPool("max")]


def _resnet(depth: int, width: int = 1) -> Builder:
    """Return the builder of a residual net of 6 n + 2 layers for small images."""

    def layers_of(shape: Shape, activation: str, normalization: str) -> list[Layer]:
        layers: list[Layer] = _conv_block(16, activation, normalization)
        for stage, filters in enumerate((16 * width, 32 * width, 64 * width)):
            for block in range((depth - 2) // 6):
                stride = 2 if stage and not block else 1
                body = [
                    Conv(filters, stride=stride, bias=False),
                    Norm(normalization),
                    Activate(activation),
                    Conv(filters, bias=False),
                    Norm(normalization),
                ]
                shortcut = "pad" if width == 1 else "projection"
                layers += [Residual(tuple(body), shortcut=shortcut), Activate(activation)]
        return [*layers, GlobalPool()]

    return layers_of


def _resnet9(shape: Shape, activation: str, normalization: str) -> list[Layer]:
    """Return the eight convolutions of Page's DAWNBench net."""
    layers: list[Layer] = _conv_block(64, activation, normalization)
    for filters, residual in ((128, True), (256, False), (512, True)):
        block, shape = _pooled_block(filters, shape, activation, normalization)
        layers += block
        if residual:
            body = 2 * _conv_block(filters, activation, normalization)
            layers.append(Residual(tuple(body)))
    return [*layers, GlobalPool("max")]


def _fast(shape: Shape, activation: str, normalization: str) -> list[Layer]:
    """Return whitened 2x2 patches and three groups of two 3x3 convolutions."""
    layers: list[Layer] = [Whiten(2), Activate(activation)]
    shape = layers[0].output(shape)
    for filters in (64, 256, 256):
        block, shape = _pooled_block(filters, shape, activation, normalization)
        layers += block + _conv_block(filters, activation, normalization)
    return [*layers, GlobalPool("max")]


ARCHITECTURES: dict[str, Builder] = {
    "lenet": _lenet,
    "small": _simple(16, 32, 64),
    "simple": _simple(32, 64, 128),
    "deep": _deep,
    "tiny": _strided(16, 32, 48, pooled=True),
    "strided": _strided(16, 24, 48),
    "strided_wide": _strided(32, 48, 64, 64),
    "resnet20": _resnet(20),
    "resnet32": _resnet(32),
    "resnet56": _resnet(56),
    "resnet9": _resnet9,
    "fast": _fast,
    "wide": _resnet(14, width=4),
}
