"""Views of an image over which a prediction is averaged: test-time augmentation.

Examples
--------
>>> from mlfund.nets.views import VIEWS
>>> [(view.mirrored, view.down, view.right, view.weight) for view in VIEWS["flip"]]
[(False, 0, 0, 0.5), (True, 0, 0, 0.5)]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from mlfund.nets.convnet import ConvNet


class View(NamedTuple):
    """One way to look at an image.

    Attributes
    ----------
    mirrored : bool
        Whether left and right are swapped.
    down, right : int
        Pixels by which it is moved; zeros, the mean of standardised images, come in. Images
        one pixel high or wide are moved along the other direction alone.
    weight : float
        Share of its scores in the mean.
    """

    mirrored: bool
    down: int
    right: int
    weight: float

    def of(self, X: Tensor) -> Tensor:
        """Return the view of images, (n, channels, height, width)."""
        if self.mirrored:
            X = X.flip(3)
        down, right = (
            pixels if side > 1 else 0
            for pixels, side in zip((self.down, self.right), X.shape[2:], strict=True)
        )
        # Negative padding cuts off.
        return F.pad(X, (right, -right, down, -down)) if down or right else X


_FLIP = (View(False, 0, 0, 0.5), View(True, 0, 0, 0.5))
_SHIFT = (View(False, 0, 0, 0.5), View(False, 1, 1, 0.25), View(False, -1, -1, 0.25))

VIEWS: dict[str, tuple[View, ...]] = {
    "flip": _FLIP,
    "shift": _SHIFT,
    "flip_shift": tuple(
        moved._replace(mirrored=flip.mirrored, weight=flip.weight * moved.weight)
        for flip in _FLIP
        for moved in _SHIFT
    ),
}


class AveragedViews(nn.Module):
    """A net whose raw scores are the weighted mean of those of several views.

    Parameters
    ----------
    net : ConvNet
    views : sequence of View
        Their weights sum to 1.
    """

    def __init__(self, net: ConvNet, views: Sequence[View]) -> None:
        super().__init__()
        self.net, self.views = net, tuple(views)

    def forward(self, X: Tensor) -> Tensor:
        """Return raw scores, (n, n_outputs), of flattened pixels."""
        images = self.net.pixels.images(X)
        total: Tensor | float = 0.0
        for view in self.views:
            total = total + self.net(view.of(images)) * view.weight
        assert isinstance(total, Tensor)
        return total
