"""A convolutional net over flattened pixels: reading, standardising, layers, raw scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mlfund.augmentation import Augmentation, Rows
from mlfund.initializers import Initializer, get_initializer
from mlfund.nets.activations import get_activation
from mlfund.nets.layers import Dense, Layer, Whitening, build


@dataclass(frozen=True)
class ReadPixels(Augmentation):
    """Turns flattened pixels into standardised images; a batch's first step before others.

    Parameters
    ----------
    size : (int, int, int)
        Height, width and channels; a row holds them in this order.
    mean, scale : tuple of float
        One of each for every channel.
    dtype : str
        Name of the floating dtype of the images.
    """

    name: ClassVar[str] = "read_pixels"
    # What comes in may be integers.
    changes_X: ClassVar[bool] = False
    size: tuple[int, int, int] = (1, 1, 1)
    mean: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    dtype: str = "float32"

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return images; see `Augmentation.apply`."""
        return rows._replace(X=self.images(rows.X))

    def images(self, X: Tensor) -> Tensor:
        """Return standardised images, (n, channels, height, width), of rows (n, values).

        Their memory runs over the channels of a pixel first (torch.channels_last).
        """
        dtype = getattr(torch, self.dtype)
        mean = torch.tensor(self.mean, dtype=dtype, device=X.device)
        factor = 1 / torch.tensor(self.scale, dtype=dtype, device=X.device)
        pixels = X.view(len(X), *self.size).to(dtype)
        return torch.addcmul(-mean * factor, pixels, factor).permute(0, 3, 1, 2)

    def read(self, X: Tensor) -> Tensor:
        """Return images of rows, or the images that X holds already; see `images`.

        Some augmentations return images one channel after the other in memory, with which
        convolutions take nearly twice as long.
        """
        if X.ndim == 2:
            return self.images(X)
        n, channels, height, width = X.shape
        # A view where nothing has to be moved. `contiguous` leaves single channels as they are,
        # with strides from which convolutions take the slow way.
        rows = X.permute(0, 2, 3, 1).flatten(1)
        return rows.view(n, height, width, channels).permute(0, 3, 1, 2)

    def rows(self, X: Tensor) -> Tensor:
        """Return rows (n, values) in the unit of the pixels: the inverse of `images`.

        `X` may be flattened, in the order of channels, height, width.
        """
        height, width, channels = self.size
        pixels = X.reshape(len(X), channels, height, width).permute(0, 2, 3, 1)
        return (pixels * X.new_tensor(self.scale) + X.new_tensor(self.mean)).flatten(1)


class ConvNet(nn.Module):
    """Layers over images, and a last one from features to raw scores.

    Parameters
    ----------
    layers : sequence of Layer
        All but the last one.
    pixels : ReadPixels
        How rows become images.
    n_outputs : int
        Raw scores of a row.
    initializer : str, Initializer or None, default=None
        Of the weights of convolutions and dense layers; None keeps torch's.
    activation : str, default="relu"
        For which an initializer chooses the size of weights.

    Notes
    -----
    `forward` takes flattened pixels (n, values), of any number type, or images that a
    `ReadPixels` has made of them already.

    Examples
    --------
    >>> import torch
    >>> from mlfund.nets.convnet import ConvNet, ReadPixels
    >>> from mlfund.nets.layers import Activate, Conv, GlobalPool
    >>> net = ConvNet([Conv(4), Activate(), GlobalPool()], ReadPixels((8, 8, 1)), 10)
    >>> net(torch.zeros(5, 64, dtype=torch.uint8)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        pixels: ReadPixels,
        n_outputs: int,
        *,
        initializer: str | Initializer | Callable[..., object] | None = None,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        height, width, channels = pixels.size
        shape: tuple[int, ...] = (channels, height, width)
        self.pixels = pixels
        self.body = build(layers, shape)
        for layer in layers:
            shape = layer.output(shape)
        self.head = Dense(n_outputs).module(shape)
        self.body_is_frozen = False
        if initializer is not None:
            self._initialise(initializer, activation)

    def _initialise(
        self, initializer: str | Initializer | Callable[..., object], activation: str
    ) -> None:
        entry, function = get_initializer(initializer), get_activation(activation)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                with torch.no_grad():
                    entry.init_(module.weight, module.bias, None, function)

    @torch.no_grad()
    def whiten(self, X: Tensor) -> None:
        """Set the filters of `Whiten` layers by what flattened pixels give them."""
        modules = list(self.body.children())
        at = [place for place, module in enumerate(modules) if isinstance(module, Whitening)]
        if not at:
            return
        self.body.eval()
        seen = self.pixels.images(X)
        for module in modules[: at[-1] + 1]:
            if isinstance(module, Whitening):
                module.learn_(seen)
            seen = module(seen)

    def keep_whitening(self) -> None:
        """Keep the filters of `Whiten` layers as they are: they were learned before."""
        for module in self.body.children():
            if isinstance(module, Whitening):
                module.freeze_()

    def freeze_body(self, frozen: bool = True) -> None:
        """Keep all but the last layer as it is: weights, statistics, evaluation mode.

        Weights that came frozen, in a module of the user's own, are left so.
        """
        if frozen or self.body_is_frozen:
            self.body.requires_grad_(not frozen)
        self.body_is_frozen = frozen
        self.train(self.training)

    def train(self, mode: bool = True) -> ConvNet:
        """Set the mode of all layers that are not frozen."""
        super().train(mode)
        if self.body_is_frozen:
            self.body.eval()
        return self

    def forward(self, X: Tensor) -> Tensor:
        """Return raw scores, (n, n_outputs)."""
        raw: Tensor = self.head(self.body(self.pixels.read(X)))
        return raw
