"""A first layer that makes the values of small patches uncorrelated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlfund._check import check_positive
from mlfund.nets.layers._base import Layer, Pair, Shape, image, pair, sizes


@dataclass(frozen=True)
class Whiten(Layer):
    """Patches of pixels in the directions in which they vary, each scaled to a spread of one.

    A convolution whose filters are the principal directions of all patches of the training
    images, and their negatives: an activation that cuts off one keeps the other. They are
    computed when a training begins and are not trained; the biases are.

    Parameters
    ----------
    kernel : int or (int, int), default=2
        Height and width of a patch.
    regularisation : float, default=5e-4
        Added to the variance in each direction, in squared units of standardised pixels, so
        that directions in which nothing varies are not blown up.

    References
    ----------
    Page, How to train your ResNet 8: Bag of tricks (2019). Jordan, arXiv 2404.00498, section 3.2.
    """

    kernel: Pair = 2
    regularisation: float = 5e-4

    def __post_init__(self) -> None:
        pair("kernel", self.kernel)
        check_positive("regularisation", self.regularisation)

    @property
    def window(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return kernel and stride."""
        return pair("kernel", self.kernel), (1, 1)

    def output(self, shape: Shape) -> Shape:
        """Return the shape of the output; see `Layer`."""
        channels, *pixels = image(self, shape)
        kernel, stride = self.window
        directions = channels * math.prod(kernel)
        return (2 * directions, *sizes(self, pixels, kernel, stride, (0, 0), whole=True))

    def module(self, shape: Shape) -> nn.Module:
        """Return the torch module; see `Layer`."""
        return Whitening(self, shape[0])

    def multiply_adds(self, shape: Shape) -> int:
        """Return the multiplications of one image."""
        return math.prod(self.output(shape)) * math.prod(self.window[0]) * shape[0]


class Whitening(nn.Conv2d):
    """The convolution of a `Whiten`; an ordinary one until `learn_` is called.

    Parameters
    ----------
    layer : Whiten
        What it is made for.
    channels : int
        Channels of the images.
    """

    def __init__(self, layer: Whiten, channels: int) -> None:
        kernel, _ = layer.window
        super().__init__(channels, 2 * channels * math.prod(kernel), kernel)
        self.regularisation = layer.regularisation

    def learn_(self, images: Tensor) -> None:
        """Set the filters from images, (n, channels, height, width)."""
        high, wide = self.kernel_size
        filters = whitening_filters(images, (high, wide), self.regularisation)
        with torch.no_grad():
            self.weight.copy_(torch.cat([filters, -filters]))
            if self.bias is not None:
                self.bias.zero_()
        self.freeze_()

    def freeze_(self) -> None:
        """Keep the filters as they are."""
        self.weight.requires_grad_(False)


def whitening_filters(
    images: Tensor, kernel: tuple[int, int], regularisation: float = 5e-4
) -> Tensor:
    """Return the filters that whiten the patches of images, most variable direction first.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)
    kernel : (int, int)
        Height and width of a patch.
    regularisation : float, default=5e-4
        Added to each variance.

    Returns
    -------
    filters : Tensor of shape (channels * height * width of a patch, channels, *kernel)
        The responses to a patch are its coordinates in the eigenvectors of the patches' second
        moments, divided by the roots of the regularised eigenvalues.

    Examples
    --------
    >>> import torch
    >>> from mlfund.nets.layers import whitening_filters
    >>> images = torch.randn(50, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> filters = whitening_filters(images, (2, 2), 1e-9)
    >>> responses = torch.nn.functional.conv2d(images, filters).movedim(1, 0).flatten(1)
    >>> moments = responses @ responses.T / responses.shape[1]
    >>> bool(torch.allclose(moments, torch.eye(12), atol=1e-4))
    True
    """
    patches = F.unfold(images, kernel).movedim(1, 2).flatten(0, 1).double()
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    scaled = vectors / (values.clamp(min=0) + regularisation).sqrt()
    filters = scaled.T.flip(0).view(-1, images.shape[1], *kernel)
    return filters.to(images.dtype)
