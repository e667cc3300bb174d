"""Encoders that mlfund's own estimators trained, as sources of embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mlfund._files import fingerprint
from mlfund.backbones._backbone import Backbone
from mlfund.backbones._encoder import ImageEncoder
from mlfund.backbones._source import BackboneSource
from mlfund.nets.convnet import ReadPixels
from mlfund.nets.layers import build

READING_VERSION = 1
WHITE = 255.0
# Of red, green and blue in a grey pixel (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, repr=False)
class OwnBackbone(BackboneSource):
    """A `Backbone` as the source of embeddings of photographs.

    Images come as bytes of three channels; those for a backbone of one channel are made grey.

    Parameters
    ----------
    backbone : Backbone
        Of images with one or three channels.
    white : float or None, default=None
        The value that a white pixel had in the images it was trained on. None takes 1 where
        means and spreads of its channels are at most 1, and 255 otherwise.

    Examples
    --------
    >>> from mlfund.backbones import Backbone, OwnBackbone
    >>> from mlfund.nets.convnet import ConvNet, ReadPixels
    >>> from mlfund.nets.layers import Activate, Conv, GlobalPool
    >>> layers, pixels = [Conv(4), Activate(), GlobalPool()], ReadPixels((8, 8, 1))
    >>> net = ConvNet(layers, pixels, n_outputs=10)
    >>> weights = {name: t.numpy() for name, t in net.body.state_dict().items()}
    >>> OwnBackbone(Backbone(layers, pixels, weights)).load().pixels.size
    (8, 8, 3)
    """

    kind: ClassVar[str] = "image"
    backbone: Backbone
    white: float | None = None

    def __post_init__(self) -> None:
        if self.backbone.image_size[2] not in (1, 3):
            raise ValueError(
                f"{self.backbone} takes images of {self.backbone.image_size[2]} channels, and "
                "photographs have 1 or 3; give a backbone that was trained on such images."
            )

    @property
    def fingerprint(self) -> str:
        """Hash of layers, weights and the way pixels are read."""
        return fingerprint(self.backbone.fingerprint, self._white(), READING_VERSION)

    def build(self) -> ImageEncoder:
        """Return a new encoder with the weights."""
        backbone = self.backbone
        height, width, channels = backbone.image_size
        body = build(backbone.layers, (channels, height, width))
        backbone.load_into(body)
        own = backbone.pixels
        scale = tuple(WHITE / self._white() * s for s in own.scale)
        mean = tuple(WHITE / self._white() * m for m in own.mean)
        if channels == 1:
            body, mean, scale = nn.Sequential(Grey(), body), 3 * mean, 3 * scale
        return ImageEncoder(body, ReadPixels((height, width, 3), mean, scale), backbone.n_features)

    def _white(self) -> float:
        if self.white is not None:
            return self.white
        own = self.backbone.pixels
        return 1.0 if max(map(abs, (*own.mean, *own.scale))) <= 1 else WHITE

    def standalone(self) -> OwnBackbone:
        """Return itself: the backbone holds its weights."""
        return self

    def __repr__(self) -> str:
        return repr(self.backbone)


class Grey(nn.Module):
    """Makes one channel of red, green and blue."""

    def forward(self, images: Tensor) -> Tensor:
        """Return images (n, 1, height, width) of (n, 3, height, width)."""
        weights = torch.tensor(LUMA, dtype=images.dtype, device=images.device)
        return (images * weights.view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
