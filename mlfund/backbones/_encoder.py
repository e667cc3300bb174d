"""What every backbone is once its weights are in memory: inputs to embeddings."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from mlfund.backbones._folding import folded, noise
from mlfund.backbones._groups import layer_groups
from mlfund.nets.convnet import ReadPixels

INTERPOLATIONS = ("bicubic", "bilinear")


class Encoder(nn.Module, ABC):
    """A net from inputs to embeddings, (n, n_features) in float32.

    Attributes
    ----------
    kind : {"image", "text"}
        What it takes.
    n_features : int
        Length of an embedding.

    Notes
    -----
    `BackboneSource.load` returns one in evaluation mode, on the CPU, with every parameter
    trainable. `shared_encoder` returns the one of the process that nobody may train.
    """

    kind: ClassVar[str]
    n_features: int

    @abstractmethod
    def groups(self) -> list[nn.Module]:
        """Return its layers in groups, from the one that sees the input to the top.

        Together they hold each of its parameters and buffers once.
        """

    def for_inference(self) -> Encoder:
        """Return an encoder with the same embeddings, as fast as may be, that is not trained.

        It stays on the device of this one, may share memory with it, and has no use for `groups`.
        """
        return self.eval().requires_grad_(False)

    def with_frozen_below(self, n_groups: int) -> Encoder:
        """Return an encoder for a training that leaves the lowest groups as they are.

        Its embeddings are the same up to rounding, and it shares the layers of the other groups,
        which gradients reach. The weights of the lowest ones may be read once for all.

        Parameters
        ----------
        n_groups : int
            Of `groups`, fewer than all.
        """
        return self


class ImageEncoder(Encoder):
    """A net from images to embeddings.

    Parameters
    ----------
    body : Module
        From standardised images (n, channels, height, width) to embeddings, (n, n_features) or
        (n, n_features, 1, 1).
    pixels : ReadPixels
        Height, width and channels of the images it takes as rows, and how their pixels, 0 to
        255, are standardised.
    n_features : int
        Length of an embedding.
    interpolation : {"bicubic", "bilinear"}, default="bicubic"
        How images of another size are brought to that of `pixels`.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from mlfund.backbones import ImageEncoder
    >>> from mlfund.nets.convnet import ReadPixels
    >>> body = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    >>> pixels = ReadPixels((8, 8, 3), mean=(127.0,) * 3, scale=(128.0,) * 3)
    >>> encoder = ImageEncoder(body, pixels, 5)
    >>> encoder(torch.zeros(2, 8 * 8 * 3, dtype=torch.uint8)).shape
    torch.Size([2, 5])
    >>> encoder.with_size(16, 12).pixels.size
    (16, 12, 3)
    """

    kind = "image"

    def __init__(
        self,
        body: nn.Module,
        pixels: ReadPixels,
        n_features: int,
        *,
        interpolation: str = "bicubic",
    ) -> None:
        super().__init__()
        self.body = body
        self.pixels = pixels
        self.n_features = n_features
        self.interpolation = interpolation

    def groups(self) -> list[nn.Module]:
        """Return its layers in groups, from stem to top; see `Encoder.groups`."""
        return layer_groups(self.body)

    def forward(self, X: Tensor) -> Tensor:
        """Return embeddings of rows (n, height * width * channels) or standardised images."""
        images = self.pixels.images(X) if X.ndim == 2 else X
        embeddings: Tensor = self.body(images)
        return embeddings.flatten(1).float()

    def for_inference(self) -> ImageEncoder:
        """Return an encoder with the same embeddings up to rounding; see `Encoder`."""
        made = ImageEncoder(
            self._inference_body(),
            self.pixels,
            self.n_features,
            interpolation=self.interpolation,
        )
        return made.eval().requires_grad_(False)

    def _inference_body(self) -> nn.Module:
        height, width, channels = self.pixels.size
        parameter = next(self.parameters(), torch.empty(0))
        images = noise(2, channels, height, width).to(parameter.device, parameter.dtype)
        return folded(self.body, images)

    def with_size(self, height: int, width: int) -> ImageEncoder:
        """Return one that takes images of another size; it shares layers and weights with this.

        Raises
        ------
        ValueError
            If the net takes images of its own size only, or such small ones leave nothing.
        """
        size = (height, width, self.pixels.size[2])
        if size == self.pixels.size:
            return self
        # A copy of the module is one of its attributes: the layers are the same objects.
        other = copy.copy(self)
        other.pixels = replace(self.pixels, size=size)
        if not _embeds(other):
            own = self.pixels.size
            raise ValueError(
                f"This backbone takes images of {own[0]} x {own[1]} pixels and cannot take "
                f"{height} x {width}; use its own size, or a convolutional backbone and a size "
                "that its strides leave something of."
            )
        return other


class TextEncoder(Encoder):
    """A net from tokenised texts to embeddings.

    Attributes
    ----------
    max_length : int
        Most tokens of a text; what is longer is cut.
    pad_id : int
        The token that fills up shorter rows of a batch.
    """

    kind = "text"
    max_length: int
    pad_id: int

    @abstractmethod
    def tokenise(self, texts: Sequence[str]) -> np.ndarray:
        """Return tokens, int32 of shape (n, longest), filled up with `pad_id`.

        `forward` takes such rows; a token other than `pad_id` is one that counts.
        """


@torch.no_grad()
def _embeds(encoder: ImageEncoder) -> bool:
    """Whether an image of the encoder's size leads to an embedding of its length."""
    height, width, channels = encoder.pixels.size
    modes = {module: module.training for module in encoder.modules()}
    parameter = next(encoder.parameters(), torch.empty(0))
    encoder.eval()
    try:
        image = torch.zeros(1, channels, height, width, device=parameter.device)
        return encoder(image.to(parameter.dtype)).shape == (1, encoder.n_features)
    except (RuntimeError, AssertionError, ValueError):
        # How nets of a fixed size say so is up to them.
        return False
    finally:
        for module, mode in modes.items():
            module.training = mode
