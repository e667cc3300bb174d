"""Backbones of images from torch modules of the user's own."""

from __future__ import annotations

import copy
import functools
import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from mlfund._check import check_choice, stacklevel_outside
from mlfund._files import fingerprint, source_of
from mlfund.backbones._encoder import INTERPOLATIONS, ImageEncoder
from mlfund.backbones._source import SHOWN, BackboneSource
from mlfund.nets.convnet import ReadPixels

# Of ImageNet, in units of 0 to 255: how most published nets read pixels.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_SCALE = (58.395, 57.12, 57.375)
READING_VERSION = 1
# Layers of torch are known by their text, which names their options; other classes are not.
LIBRARIES = ("torch", "builtins", "abc", "typing")


@dataclass(frozen=True, eq=False, repr=False)
class TorchBackbone(BackboneSource):
    """A torch module that makes embeddings of images, its weights included.

    The module is copied: training it later on changes nothing here. A pickle holds the module,
    and can be read where its class can be imported; `mlfund.save` cannot write it.

    Parameters
    ----------
    module : torch.nn.Module
        From standardised images (n, 3, height, width) to (n, n_features), or to (n, n_features,
        1, 1). Replace a classifier at its end by ``torch.nn.Identity()``, so that it returns
        what the classifier saw.
    image_size : (int, int), default=(224, 224)
        Height and width that images are resized to.
    mean, scale : tuple of three float
        What is subtracted from, and then divides, the pixels from 0 to 255 of each channel;
        those of ImageNet by default.
    interpolation : {"bicubic", "bilinear"}, default="bicubic"
        How images are resized.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from mlfund.backbones import TorchBackbone
    >>> body = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    >>> source = TorchBackbone(body, image_size=(32, 32))
    >>> source.load().n_features
    5
    """

    kind: ClassVar[str] = "image"
    module: nn.Module
    image_size: tuple[int, int] = (224, 224)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    scale: tuple[float, float, float] = IMAGENET_SCALE
    interpolation: str = "bicubic"
    _code: dict[str, str | None] = field(init=False)
    _fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.module, nn.Module):
            raise ValueError(
                f"module must be a torch module, an instance of it; got {self.module!r}."
            )
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        module = copy.deepcopy(self.module).cpu().float().eval()
        object.__setattr__(self, "module", module)
        object.__setattr__(self, "_code", _code_of(module))
        object.__setattr__(self, "_fingerprint", self._hash())

    def _hash(self) -> str:
        made = f"{type(self.module).__module__}.{type(self.module).__qualname__}"
        reading = (self.image_size, self.mean, self.scale, self.interpolation, READING_VERSION)
        # Buffers that are not saved are none of the state.
        state = {**dict(self.module.named_buffers()), **self.module.state_dict()}
        # The text of a module names its layers and their options.
        how = (repr(self.module), _settings_of(self.module), self._code)
        return fingerprint(made, *how, *reading, state)

    @property
    def fingerprint(self) -> str:
        """Hash of the module's classes, their code, layers and weights, and the reading."""
        return self._fingerprint

    def build(self) -> ImageEncoder:
        """Return a new encoder around a copy of the module."""
        pixels = ReadPixels((*self.image_size, 3), tuple(self.mean), tuple(self.scale))
        return image_encoder(copy.deepcopy(self.module), pixels, self.interpolation, repr(self))

    def standalone(self) -> BackboneSource:
        """Refuse: a file of `mlfund.save` holds no module of one's own, a pickle does."""
        raise ValueError(
            f"{self} is a module of your own, whose class mlfund.save cannot write; pickle the "
            "model, which then holds the module and its weights."
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields."""
        return dict(self.__dict__)

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Take fields, and check that the weights are those that were saved."""
        self.__dict__.update(state)
        if self._hash() != self._fingerprint:
            raise ValueError(
                f"{self} was changed after it was saved, or its class makes another net today; "
                "export it again."
            )
        # Where the source is not at hand, the code came with the pickle.
        today = {name: code for name, code in _code_of(self.module).items() if code is not None}
        code = {**self._code, **today}
        if code != self._code:
            warnings.warn(
                f"The code of {type(self.module).__name__} has changed since it was saved; what "
                "was fitted to its embeddings may not suit those it makes now.",
                UserWarning,
                stacklevel=stacklevel_outside(),
            )
            object.__setattr__(self, "_code", code)
            object.__setattr__(self, "_fingerprint", self._hash())

    def __eq__(self, other: object) -> bool:
        return self.fingerprint == other.fingerprint if isinstance(other, TorchBackbone) else False

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        height, width = self.image_size
        name = type(self.module).__name__
        return f"TorchBackbone({name}, {height} x {width}, {self._fingerprint[:SHOWN]})"


def _own_classes(module: nn.Module) -> list[type]:
    """Return the classes that a module and its parts are of, but for those of torch."""
    found = dict.fromkeys(kind for part in module.modules() for kind in type(part).__mro__)
    return [kind for kind in found if kind.__module__.partition(".")[0] not in LIBRARIES]


def _code_of(module: nn.Module) -> dict[str, str | None]:
    """Return hashes of the sources of classes and of their methods.

    Of a class that was defined in a notebook, there are only the sources of its methods.
    """
    return {name: text for kind in _own_classes(module) for name, text in _sources(kind)}


# What a class does is what its file said when it was made, not what the file says by now.
@functools.lru_cache(maxsize=256)
def _sources(kind: type) -> list[tuple[str, str | None]]:
    methods = [part for part in vars(kind).values() if inspect.isfunction(part)]
    parts: list[Any] = [kind, *methods]
    texts = {f"{kind.__module__}.{part.__qualname__}": source_of(part) for part in parts}
    return [(name, text and fingerprint(text)) for name, text in texts.items()]


def _settings_of(module: nn.Module) -> dict[str, dict[str, Any]]:
    """Return the plain attributes of parts that are not torch's: their text may not tell them."""
    own = _own_classes(module)
    return {
        name: {key: value for key, value in vars(part).items() if _is_plain(value)}
        for name, part in module.named_modules()
        if type(part) in own
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, np.ndarray):
        return not value.dtype.hasobject
    return isinstance(value, bool | int | float | str | Tensor)


def image_encoder(
    body: nn.Module, pixels: ReadPixels, interpolation: str, whose: str
) -> ImageEncoder:
    """Return an encoder around a net whose number of features a trial image tells.

    Raises
    ------
    ValueError
        If the net refuses images of that size, or makes no one vector of an image.
    """
    height, width, channels = pixels.size
    body.eval()
    try:
        with torch.no_grad():
            made = body(torch.zeros(1, channels, height, width))
    except (RuntimeError, TypeError, AssertionError, ValueError) as error:
        raise ValueError(
            f"{whose} cannot read images of {height} x {width} pixels and {channels} channels "
            f"({error}); give the image_size that it takes."
        ) from error
    shape = tuple(made.shape) if isinstance(made, torch.Tensor) else type(made).__name__
    if not isinstance(made, torch.Tensor) or made.ndim < 2 or made.numel() != made.shape[1]:
        raise ValueError(
            f"{whose} makes {shape} of one image, and an embedding is (1, n_features); let the "
            "module pool and return one vector per image."
        )
    return ImageEncoder(body, pixels, made.shape[1], interpolation=interpolation)
