"""Encoders with what a task of pretraining adds behind them.

Rows are flattened pixels (n, values); a row of a table is an image of one pixel, its columns
the channels. Images that a `ReadPixels` has made of rows already are taken as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from mlfund.nets.convnet import ReadPixels
from mlfund.nets.decoders import dense_layers, image_decoder, row_decoder
from mlfund.nets.layers import Dense, Flatten, GlobalPool, Layer, Shape, build


class EncoderNet(nn.Module):
    """Layers over images or rows of a table; subclasses add what they are trained with.

    Parameters
    ----------
    layers : sequence of Layer
        From images to features.
    pixels : ReadPixels
        How rows become images.
    """

    def __init__(self, layers: Sequence[Layer], pixels: ReadPixels) -> None:
        super().__init__()
        self.pixels = pixels
        self.layers = tuple(layers)
        self.body = build(layers, self.shape)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        height, width, channels = self.pixels.size
        return channels, height, width

    @property
    def embedding_layers(self) -> tuple[Layer, ...]:
        """The layers from images to embeddings."""
        return self.layers

    def images(self, X: Tensor) -> Tensor:
        """Return standardised images of rows, or images as they are."""
        return self.pixels.read(X)

    def embed(self, X: Tensor) -> Tensor:
        """Return features, (n, n_features)."""
        features: Tensor = self.body(self.images(X))
        return features.flatten(1)

    def _shape_after(self, layers: Sequence[Layer]) -> Shape:
        shape: Shape = self.shape
        for layer in layers:
            shape = layer.output(shape)
        return shape


class ContrastiveNet(EncoderNet):
    """An encoder and a projection head, in whose space views of one row are to meet.

    Parameters
    ----------
    layers, pixels
        As for `EncoderNet`.
    projection : sequence of int
        Units of the head's layers, the last of which is linear.
    activation : str
        Between the layers of the head.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        pixels: ReadPixels,
        *,
        projection: Sequence[int],
        activation: str,
    ) -> None:
        super().__init__(layers, pixels)
        width = math.prod(self._shape_after(layers))
        hidden = dense_layers(projection[:-1], activation, "batch")
        self.head = build([*hidden, Dense(projection[-1])], (width,))

    def forward(self, X: Tensor) -> Tensor:
        """Return projections, (n, k)."""
        projected: Tensor = self.head(self.embed(X))
        return projected


class _Reconstructing(EncoderNet):
    """An encoder that is trained to give back its inputs.

    Global pooling or flattening at its end would hide from a decoder where things are, and is
    left out in training: it has no weights.
    """

    def __init__(self, layers: Sequence[Layer], pixels: ReadPixels) -> None:
        super().__init__(layers, pixels)
        pooled = bool(self.layers) and isinstance(self.layers[-1], GlobalPool | Flatten)
        self._kept = len(self.layers) - pooled
        self._map_shape = self._shape_after(self.layers[: self._kept])

    def _map(self, X: Tensor) -> Tensor:
        found: Tensor = self.body[: self._kept](self.images(X))
        return found

    def _decoder(self, given: Shape, activation: str, normalization: str) -> nn.Sequential:
        channels, height, width = self.shape
        if (height, width) != (1, 1):
            return image_decoder(given, self.shape, activation, normalization)
        widths = [layer.units for layer in reversed(self.layers) if isinstance(layer, Dense)]
        return row_decoder(given[0], widths, channels, activation, normalization)


class AutoencoderNet(_Reconstructing):
    """An encoder to a short code, and a decoder from it.

    Parameters
    ----------
    layers, pixels
        As for `EncoderNet`.
    n_components : int
        Values of the code.
    activation, normalization : str
        In the decoder.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        pixels: ReadPixels,
        *,
        n_components: int,
        activation: str,
        normalization: str,
    ) -> None:
        super().__init__(layers, pixels)
        self._code_layer = Dense(n_components)
        self.code = self._code_layer.module(self._map_shape)
        self.decoder = self._decoder((n_components,), activation, normalization)

    @property
    def embedding_layers(self) -> tuple[Layer, ...]:
        """The layers from images to codes."""
        return *self.layers[: self._kept], self._code_layer

    def embed(self, X: Tensor) -> Tensor:
        """Return codes, (n, n_components)."""
        code: Tensor = self.code(self._map(X))
        return code

    def decode(self, code: Tensor) -> Tensor:
        """Return standardised rows, (n, values), in the order of channels, height, width."""
        rows: Tensor = self.decoder(code)
        return rows.flatten(1)

    def forward(self, X: Tensor) -> Tensor:
        """Return reconstructions as `decode` does."""
        return self.decode(self.embed(X))


class MaskedNet(_Reconstructing):
    """An encoder, and a decoder that fills in what its inputs lack.

    Parameters
    ----------
    layers, pixels
        As for `EncoderNet`.
    activation, normalization : str
        In the decoder.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        pixels: ReadPixels,
        *,
        activation: str,
        normalization: str,
    ) -> None:
        super().__init__(layers, pixels)
        self.decoder = self._decoder(self._map_shape, activation, normalization)

    def forward(self, X: Tensor) -> Tensor:
        """Return standardised rows, (n, values), in the order of channels, height, width."""
        rows: Tensor = self.decoder(self._map(X))
        return rows.flatten(1)
