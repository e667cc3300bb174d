"""What sources of image encoders share: an architecture, and tensors that go into it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from mlfund._files import fingerprint
from mlfund.backbones._encoder import ImageEncoder
from mlfund.backbones._source import SHOWN, BackboneSource
from mlfund.backbones._weights import load_into


@dataclass(frozen=True)
class ImageSource(BackboneSource):
    """A backbone of images whose weights lie in a file."""

    kind: ClassVar[str] = "image"

    @abstractmethod
    def architecture(self) -> ImageEncoder:
        """Return a new encoder; its weights are random, and no file of weights is needed."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """Return the tensors of the encoder's body, under the names of its state dict."""

    def build(self) -> ImageEncoder:
        """Return a new encoder with the weights."""
        encoder = self.architecture()
        load_into(encoder.body, self.weights(), repr(self))
        return encoder

    def standalone(self) -> StandaloneBackbone:
        """Return a source of the same encoder that holds the weights itself."""
        arrays = {name: tensor.numpy() for name, tensor in self.build().body.state_dict().items()}
        return StandaloneBackbone(self, arrays, self.fingerprint)


@dataclass(frozen=True, eq=False, repr=False)
class StandaloneBackbone(BackboneSource):
    """A source with the weights in it, for models that are saved whole.

    Parameters
    ----------
    origin : ImageSource
        Makes the architecture.
    arrays : mapping of str to ndarray
        Weights of the body.
    origin_fingerprint : str
        Of the origin when the weights were taken; this source has the same.
    """

    kind: ClassVar[str] = "image"
    origin: ImageSource
    arrays: Mapping[str, np.ndarray]
    origin_fingerprint: str
    content: str = field(init=False)

    def __post_init__(self) -> None:
        arrays = {name: np.array(array) for name, array in self.arrays.items()}
        for array in arrays.values():
            array.flags.writeable = False
        object.__setattr__(self, "arrays", MappingProxyType(arrays))
        object.__setattr__(self, "origin", self.origin.saved_as(self.origin_fingerprint))
        object.__setattr__(self, "content", fingerprint(self.origin_fingerprint, arrays))

    @property
    def fingerprint(self) -> str:
        """That of the source whose weights it holds: the encoder and its embeddings are equal."""
        return self.origin_fingerprint

    def build(self) -> ImageEncoder:
        """Return a new encoder with the weights."""
        encoder = self.origin.architecture()
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in self.arrays.items()}
        load_into(encoder.body, tensors, repr(self))
        return encoder

    def standalone(self) -> StandaloneBackbone:
        """Return itself."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields, the weights as a plain dict."""
        return {
            "origin": self.origin,
            "arrays": dict(self.arrays),
            "origin_fingerprint": self.origin_fingerprint,
            "content": self.content,
        }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Take a state, and check that the weights are those that were saved."""
        saved = state["content"]
        self.__dict__.update(state)
        self.__post_init__()
        if self.content != saved:
            raise ValueError(f"The weights of {self} were changed after it was saved; save anew.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StandaloneBackbone) and self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)

    def __repr__(self) -> str:
        return f"<standalone {self.origin!r}, {self.origin_fingerprint[:SHOWN]}>"
