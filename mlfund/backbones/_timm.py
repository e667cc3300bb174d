"""Backbones of timm, PyTorch Image Models: read from weights on this machine."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from mlfund._check import nearest, require
from mlfund._files import fingerprint
from mlfund.backbones._encoder import INTERPOLATIONS, ImageEncoder
from mlfund.backbones._image_source import ImageSource
from mlfund.backbones._source import file_fingerprint
from mlfund.backbones._torch_modules import image_encoder
from mlfund.backbones._weights import in_torch_cache, read_weights, without
from mlfund.nets.convnet import ReadPixels

READING_VERSION = 1
# As the Hugging Face hub names files of weights, in order of preference.
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
WHITE = 255


@dataclass(frozen=True)
class TimmBackbone(ImageSource):
    """A model of timm without its classifier.

    Parameters
    ----------
    name : str
        As `timm.create_model` takes it, ``"resnet18.a1_in1k"`` for instance.
    checkpoint : str or None, default=None
        Path of a file of weights (``.safetensors``, or one of `torch.save`). None takes the
        weights that timm would download, where an earlier download left them.
    download : bool, default=False
        Whether weights that are not on this machine may be downloaded.

    Examples
    --------
    >>> from mlfund.backbones import get_backbone
    >>> get_backbone("timm:resnet18.a1_in1k", "image")
    TimmBackbone(name='resnet18.a1_in1k', checkpoint=None, download=False)
    """

    name: str
    checkpoint: str | None = None
    download: bool = False

    @property
    def fingerprint(self) -> str:
        """Hash of the model's name, its code, its weights and the way pixels are read."""
        # The same name is another net in some versions; a third number only repairs.
        version = require("timm", "vision").__version__.split(".")[:2]
        content = file_fingerprint(self._path())
        return fingerprint("timm", version, self.name, READING_VERSION, content)

    def architecture(self) -> ImageEncoder:
        """Return a new encoder with random weights."""
        timm = _timm_with(self.name)
        model = timm.create_model(self.name, pretrained=False, num_classes=0)
        reading = timm.data.resolve_model_data_config(model)
        mean, scale = (tuple(WHITE * v for v in reading[key]) for key in ("mean", "std"))
        channels, height, width = reading["input_size"]
        given = reading["interpolation"]
        interpolation = given if given in INTERPOLATIONS else "bicubic"
        pixels = ReadPixels((height, width, channels), mean, scale)
        return image_encoder(model, pixels, interpolation, f"timm's {self.name}")

    def weights(self) -> dict[str, Tensor]:
        """Return the tensors of the model but for its classifier."""
        timm, weights = _timm_with(self.name), read_weights(self._path())
        model = timm.create_model(self.name, pretrained=False, num_classes=0)
        # Brings tensors of older or other publications under timm's names.
        renamed = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
        if renamed is not None:
            weights = renamed(weights, model)
        settings = timm.get_pretrained_cfg(self.name, allow_unregistered=True)
        classifiers = settings.classifier or ()
        return without(weights, (classifiers,) if isinstance(classifiers, str) else classifiers)

    def _path(self) -> Path:
        if self.checkpoint is not None:
            return Path(self.checkpoint)
        timm = _timm_with(self.name)
        settings = timm.get_pretrained_cfg(self.name, allow_unregistered=True)
        found = _in_cache(settings)
        if found is None and self.download:
            timm.create_model(self.name, pretrained=True)
            found = _in_cache(settings)
        if found is None:
            raise FileNotFoundError(
                f"backbone='timm:{self.name}' needs its weights, which are not on this machine; "
                "set download=True to fetch them once, or give "
                f"TimmBackbone({self.name!r}, checkpoint=PATH)."
            )
        return found


def _timm_with(name: str) -> ModuleType:
    """Return timm; raises ValueError unless it has a model of that name."""
    timm = require("timm", "vision")
    if not timm.is_model(name):
        suggestion = nearest(name, timm.list_models())
        hint = f" Did you mean 'timm:{suggestion}'?" if suggestion else ""
        raise ValueError(f"backbone='timm:{name}' is no model of timm {timm.__version__}.{hint}")
    return timm


def _in_cache(settings: Any) -> Path | None:
    """Return where a download by timm left weights, or None."""
    if settings.hf_hub_id:
        hub = require("huggingface_hub", "vision")
        names = (settings.hf_hub_filename,) if settings.hf_hub_filename else HUB_FILES
        for name in names:
            found = hub.try_to_load_from_cache(settings.hf_hub_id, name)
            if isinstance(found, str):
                return Path(found)
    if settings.url:
        file = in_torch_cache(settings.url)
        return file if file.is_file() else None
    return None
