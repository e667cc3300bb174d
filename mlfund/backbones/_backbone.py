"""The value that carries a trained encoder from one estimator to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn

from mlfund._files import fingerprint
from mlfund.nets.convnet import ReadPixels
from mlfund.nets.layers import Layer, build, contents

# Digits of the fingerprint that `repr` shows.
SHOWN = 8


@dataclass(frozen=True, eq=False, repr=False)
class Backbone:
    """A trained encoder of images: layers, weights, and how pixels are read.

    It is a value: it cannot be changed, copies of it are itself, two of the same content
    are equal, and `sklearn.base.clone` hands it on whole. That is why an estimator takes a
    backbone as a parameter, and not a fitted encoder, whose weights `clone` would drop.

    Parameters
    ----------
    layers : sequence of Layer
        From images to features, see `mlfund.nets.layers`.
    pixels : ReadPixels
        Size of the images, and mean and spread of their channels.
    weights : mapping of str to ndarray
        Parameters and statistics of the layers, under the names of torch's `state_dict`;
        they are copied.
    source : str, default=""
        The class that trained it.

    Attributes
    ----------
    fingerprint : str
        Hash of layers, pixels and weights, the same in every process.
    image_size : tuple of (int, int, int)
        Height, width and channels of an image.
    n_features : int
        Values that the layers make of an image.

    Raises
    ------
    ValueError
        If the weights are not those of the layers.

    See Also
    --------
    ContrastiveEncoder, MaskedAutoencoder, Autoencoder : Their `export_backbone` makes one.

    Examples
    --------
    >>> from sklearn.base import clone
    >>> from mlfund import Backbone
    >>> from mlfund.nets.convnet import ConvNet, ReadPixels
    >>> from mlfund.nets.layers import Activate, Conv, GlobalPool
    >>> layers, pixels = [Conv(4), Activate(), GlobalPool()], ReadPixels((8, 8, 1))
    >>> net = ConvNet(layers, pixels, n_outputs=10)
    >>> weights = {name: t.numpy() for name, t in net.body.state_dict().items()}
    >>> backbone = Backbone(layers, pixels, weights, source="ConvNet")
    >>> backbone.image_size, backbone.n_features, clone(backbone) is backbone
    ((8, 8, 1), 4, True)
    """

    layers: tuple[Layer, ...]
    pixels: ReadPixels
    weights: Mapping[str, np.ndarray]
    source: str = ""
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        weights = {name: np.array(array) for name, array in self.weights.items()}
        for array in weights.values():
            array.flags.writeable = False
        set_field = object.__setattr__
        set_field(self, "layers", tuple(self.layers))
        set_field(self, "weights", MappingProxyType(weights))
        _check_fits(build(self.layers, self._shape), weights)
        set_field(self, "fingerprint", fingerprint(contents(self.layers), self.pixels, weights))

    @property
    def _shape(self) -> tuple[int, int, int]:
        height, width, channels = self.pixels.size
        return channels, height, width

    @property
    def image_size(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.pixels.size

    @property
    def n_features(self) -> int:
        """Values that the layers make of an image."""
        shape: tuple[int, ...] = self._shape
        for layer in self.layers:
            shape = layer.output(shape)
        return int(np.prod(shape))

    def load_into(self, body: nn.Module) -> None:
        """Write the weights into a module that was built of the same layers."""
        dtype = next((p.dtype for p in body.parameters()), torch.float32)
        state = {name: torch.from_numpy(np.array(array)) for name, array in self.weights.items()}
        # Counters of batches stay integers.
        body.load_state_dict(
            {name: t.to(dtype) if t.is_floating_point() else t for name, t in state.items()}
        )

    def __eq__(self, other: object) -> bool:
        return self.fingerprint == other.fingerprint if isinstance(other, Backbone) else False

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.image_size))
        made = f"{self.source}, " if self.source else ""
        return f"<Backbone {made}{size} to {self.n_features}, {self.fingerprint[:SHOWN]}>"

    def __sklearn_clone__(self) -> Backbone:
        """Return itself: it holds all that it is."""
        return self

    def __copy__(self) -> Backbone:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Backbone:
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return what it was made of, the weights as a plain dict."""
        state = {item.name: getattr(self, item.name) for item in fields(self)}
        return {**state, "weights": dict(self.weights)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Take a state, and check that it is the one that was saved."""
        state = dict(state)
        saved = state.pop("fingerprint")
        for name, value in state.items():
            object.__setattr__(self, name, value)
        self.__post_init__()
        if self.fingerprint != saved:
            raise ValueError(
                f"The weights of a backbone were changed after it was saved: fingerprint "
                f"{self.fingerprint[:SHOWN]}, and {saved[:SHOWN]} was written. Export it again."
            )


def _check_fits(module: nn.Module, weights: Mapping[str, np.ndarray]) -> None:
    expected = {name: tuple(t.shape) for name, t in module.state_dict().items()}
    found = {name: array.shape for name, array in weights.items()}
    if expected != found:
        wrong = sorted(
            name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
        )
        raise ValueError(
            f"The weights do not fit the layers: {wrong[0]} has shape {found.get(wrong[0])}, and "
            f"the layers need {expected.get(wrong[0])}."
        )
