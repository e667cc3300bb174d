"""Models that embed images and texts in one space (CLIP, SigLIP), read from a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlfund._check import require
from mlfund._files import fingerprint
from mlfund.backbones._encoder import ImageEncoder
from mlfund.backbones._sentence_modules import read_json
from mlfund.backbones._source import BackboneSource, file_fingerprint
from mlfund.backbones._transformers import EXTRA, HERE, explained, load_tokenizer, quiet
from mlfund.nets.convnet import ReadPixels

# Of the way that pixels and prompts are read; embeddings stored under another are void.
READING_VERSION = 1
# Files by which a model can be another one.
SUFFIXES = (".json", ".safetensors", ".bin", ".txt", ".model")
# Where the reading of pixels is described, alone or beside that of texts.
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
# Pillow's numbers of methods of resizing, of which all but "bilinear" are taken for bicubic.
BILINEAR = 2


@dataclass(frozen=True)
class ImageTextBackbone(BackboneSource):
    """The image half of a model of images and texts; the other half embeds prompts.

    Parameters
    ----------
    folder : str
        Of a model of the CLIP family (CLIP, SigLIP) as transformers writes it: config.json,
        weights, preprocessor_config.json, and the files of its tokenizer.

    Examples
    --------
    >>> from mlfund.backbones import ImageTextBackbone
    >>> ImageTextBackbone("models/clip-vit-base-patch32")
    ImageTextBackbone(folder='models/clip-vit-base-patch32')
    """

    kind: ClassVar[str] = "image"
    folder: str

    @property
    def name(self) -> str:
        """The folder, as users give it."""
        return self.folder

    @property
    def fingerprint(self) -> str:
        """Hash of the files of the model, and of the way that they are used."""
        files = {file.name: file_fingerprint(file) for file in self._files()}
        return fingerprint("image_text", READING_VERSION, files)

    def build(self) -> ImageEncoder:
        """Return a new encoder of images with the weights."""
        folder = self._folder
        model = _load(folder)
        tower = ImageTower(model)
        pixels, interpolation = _reading(folder, model.config.vision_config.image_size)
        n_features = _length(tower, pixels.size)
        return ImageEncoder(tower, pixels, n_features, interpolation=interpolation)

    def embed_prompts(self, prompts: Sequence[str]) -> tuple[np.ndarray, float]:
        """Return embeddings of prompts, and what cosines are multiplied by to be scores.

        Parameters
        ----------
        prompts : sequence of str

        Returns
        -------
        embeddings : ndarray of float32 and shape (n, n_features)
            Of length one each.
        scale : float
            The inverse of the temperature that the model was trained to.

        Raises
        ------
        ValueError
            If a prompt has more tokens than the model reads.
        """
        self._files()
        folder = self._folder
        tokens = _tokens(folder, prompts)
        model = _load(folder)
        with torch.inference_mode():
            found = F.normalize(model.get_text_features(**tokens).pooler_output)
            scale = float(model.logit_scale.exp())
        return found.numpy(), scale

    @property
    def _folder(self) -> Path:
        # `folder` stays as it was given: elsewhere, ~ is another home.
        return Path(os.path.expanduser(self.folder))

    def _files(self) -> list[Path]:
        folder = self._folder
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(
                f"{folder} is no folder of a model: there is no config.json in it. Download one of "
                "the CLIP family and give the path of its folder; nothing is downloaded here."
            )
        return sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES)


class ImageTower(nn.Module):
    """The layers of a model of images and texts that images go through.

    Parameters
    ----------
    model : PreTrainedModel
        Its layers are taken, not copied.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision_model = model.vision_model
        self.projection = getattr(model, "visual_projection", nn.Identity())

    def forward(self, images: Tensor) -> Tensor:
        """Return embeddings (n, n_features) of standardised images (n, channels, h, w)."""
        embeddings: Tensor = self.projection(self.vision_model(pixel_values=images).pooler_output)
        return embeddings


def _load(folder: Path) -> Any:
    """Return the model, in float32 and in evaluation mode."""
    transformers = require("transformers", EXTRA)
    with quiet(transformers), explained(folder, "model"):
        model, report = transformers.AutoModel.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True, **HERE
        )
    if not all(hasattr(model, name) for name in ("vision_model", "text_model", "logit_scale")):
        raise ValueError(
            f"{folder} holds a {type(model).__name__}, which does not embed images and texts in "
            "one space; give the folder of a model of the CLIP family."
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise ValueError(
            f"The weights in {folder} lack {len(missing)} tensors of {type(model).__name__}, "
            f"{missing[0]} for one; they are of another model, or incomplete. Bring them again."
        )
    return model.eval()


def _tokens(folder: Path, prompts: Sequence[str]) -> dict[str, Tensor]:
    """Return what the text half of the model takes."""
    config = read_json(folder / "config.json")
    most = config["text_config"].get("max_position_embeddings")
    tokenizer = load_tokenizer(folder)
    most = min(most or tokenizer.model_max_length, tokenizer.model_max_length)
    # The error below says all of it.
    with quiet(require("transformers", EXTRA)):
        lengths = [len(ids) for ids in tokenizer(list(prompts))["input_ids"]]
    long = int(np.argmax(lengths))
    if lengths[long] > most:
        raise ValueError(
            f"The prompt {prompts[long][:60]!r}... has {lengths[long]} tokens, and the model reads "
            f"{most}; shorten it."
        )
    # SigLIP has seen prompts only among fillings up to the longest one, which it attends to.
    fills = config["model_type"].startswith("siglip")
    if not fills:
        return dict(tokenizer(list(prompts), return_tensors="pt", padding=True))
    filled = tokenizer(
        list(prompts), return_tensors="pt", padding="max_length", max_length=most, truncation=True
    )
    return {"input_ids": filled["input_ids"]}


def _reading(folder: Path, image_size: int | Sequence[int]) -> tuple[ReadPixels, str]:
    """Return how pixels are standardised, and how images are resized."""
    settings = _processor(folder)
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    scale = 1 / float(settings.get("rescale_factor", 1 / 255))
    pixels = ReadPixels(
        (height, width, 3),
        mean=tuple(scale * value for value in settings["image_mean"]),
        scale=tuple(scale * value for value in settings["image_std"]),
    )
    return pixels, "bilinear" if settings.get("resample") == BILINEAR else "bicubic"


def _processor(folder: Path) -> dict[str, Any]:
    for name in PROCESSORS:
        file = folder / name
        if file.is_file():
            content = read_json(file)
            settings: dict[str, Any] = content.get("image_processor", content)
            if "image_mean" in settings:
                return settings
    raise FileNotFoundError(
        f"{folder} does not say how pixels are standardised: image_mean and image_std are in "
        f"none of {', '.join(PROCESSORS)}; bring these files of the model, too."
    )


@torch.no_grad()
def _length(tower: ImageTower, size: tuple[int, int, int]) -> int:
    height, width, channels = size
    return int(tower(torch.zeros(1, channels, height, width)).shape[1])


def is_image_text_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a model of images and texts; ValueError if its config is damaged."""
    config = Path(os.path.expanduser(path)) / "config.json"
    if not config.is_file():
        return False
    content = read_json(config)
    return isinstance(content, dict) and {"vision_config", "text_config"} <= content.keys()
