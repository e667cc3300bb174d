"""Backbones of torchvision: read from weights on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from mlfund._check import nearest, require
from mlfund._files import fingerprint
from mlfund.backbones._encoder import INTERPOLATIONS, ImageEncoder
from mlfund.backbones._image_source import ImageSource
from mlfund.backbones._source import file_fingerprint
from mlfund.backbones._torch_modules import IMAGENET_MEAN, IMAGENET_SCALE, image_encoder
from mlfund.backbones._weights import in_torch_cache, read_weights, without
from mlfund.nets.convnet import ReadPixels

READING_VERSION = 1
WHITE = 255
SIDE = 224


@dataclass(frozen=True)
class TorchvisionBackbone(ImageSource):
    """A classification model of torchvision without its last linear layer.

    Parameters
    ----------
    name : str
        As `torchvision.models.get_model` takes it, ``"resnet18"`` for instance.
    checkpoint : str or None, default=None
        Path of a file of weights (``.safetensors``, or one of `torch.save`). None takes
        torchvision's default weights, where an earlier download left them.
    download : bool, default=False
        Whether weights that are not on this machine may be downloaded.

    Examples
    --------
    >>> from mlfund.backbones import get_backbone
    >>> get_backbone("torchvision:resnet18", "image")
    TorchvisionBackbone(name='resnet18', checkpoint=None, download=False)
    """

    name: str
    checkpoint: str | None = None
    download: bool = False

    @property
    def fingerprint(self) -> str:
        """Hash of the model's name, its weights and the way pixels are read."""
        content = file_fingerprint(self._path())
        return fingerprint("torchvision", self.name, READING_VERSION, content)

    def architecture(self) -> ImageEncoder:
        """Return a new encoder with random weights."""
        models = _models_with(self.name)
        model, _ = self._headless(models)
        pixels, interpolation = _reading(models, self.name)
        return image_encoder(model, pixels, interpolation, f"torchvision's {self.name}")

    def weights(self) -> dict[str, Tensor]:
        """Return the tensors of the model but for its last linear layer."""
        _, head = self._headless(_models_with(self.name))
        return without(read_weights(self._path()), (head,))

    def _headless(self, models: ModuleType) -> tuple[nn.Module, str]:
        """Return the model without its last linear layer, and the name of that."""
        model = models.get_model(self.name, weights=None)
        linear = [name for name, m in model.named_modules() if isinstance(m, nn.Linear)]
        if not linear:
            raise ValueError(
                f"backbone='torchvision:{self.name}' does not end in a linear layer, so that there "
                "is no telling which of its layers makes the embedding; give a TorchBackbone."
            )
        model.set_submodule(linear[-1], nn.Identity())
        return model, linear[-1]

    def _path(self) -> Path:
        if self.checkpoint is not None:
            return Path(self.checkpoint)
        default = _models_with(self.name).get_model_weights(self.name).DEFAULT
        file = in_torch_cache(default.url)
        if not file.is_file() and self.download:
            default.get_state_dict(progress=False, check_hash=True)
        if not file.is_file():
            raise FileNotFoundError(
                f"backbone='torchvision:{self.name}' needs its weights, which are not on this "
                f"machine ({file}); set download=True to fetch them once, or give "
                f"TorchvisionBackbone({self.name!r}, checkpoint=PATH)."
            )
        return file


def _models_with(name: str) -> ModuleType:
    """Return torchvision.models; raises ValueError unless it classifies by such a model."""
    models = require("torchvision.models", "vision")
    known = models.list_models(module=models)
    if name not in known:
        suggestion = nearest(name, known)
        hint = f" Did you mean 'torchvision:{suggestion}'?" if suggestion else ""
        raise ValueError(f"backbone='torchvision:{name}' is no model of torchvision.{hint}")
    return models


def _reading(models: ModuleType, name: str) -> tuple[ReadPixels, str]:
    """Return how the default weights of a model read pixels, and resize images."""
    default: Any = models.get_model_weights(name).DEFAULT.transforms()
    side = int(getattr(default, "crop_size", (SIDE,))[0])
    means, scales = getattr(default, "mean", None), getattr(default, "std", None)
    mean = tuple(WHITE * m for m in means) if means else IMAGENET_MEAN
    scale = tuple(WHITE * s for s in scales) if scales else IMAGENET_SCALE
    given = str(getattr(getattr(default, "interpolation", None), "value", ""))
    interpolation = given if given in INTERPOLATIONS else "bicubic"
    return ReadPixels((side, side, 3), mean, scale), interpolation
