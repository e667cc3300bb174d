"""What the files of sentence-transformers say beside the model: pooling, projection, limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mlfund._check import require
from mlfund.backbones._pooling import POOLINGS, UnitLength

# Flags of older files, in the order in which their results are put side by side.
FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
ACTIVATIONS = {"Tanh": nn.Tanh, "Identity": nn.Identity, "ReLU": nn.ReLU, "GELU": nn.GELU}


@dataclass(frozen=True)
class SentenceFiles:
    """What a folder says of how a text becomes an embedding.

    Attributes
    ----------
    folders : tuple of Path
        The one that was given, and those of its modules; each once.
    model : Path
        The folder of the model and its tokenizer.
    pooling : tuple of str or None
        None where the folder says nothing: it is of a plain model.
    after : tuple of (str, Path)
        "Dense" or "Normalize" and the folder of each, in order.
    max_length : int or None
        Most tokens of a text.
    lower_case : bool
        Whether texts are turned to lower case before they are tokenised.
    prompt : str
        What stands in front of each text.
    """

    folders: tuple[Path, ...]
    model: Path
    pooling: tuple[str, ...] | None = None
    after: tuple[tuple[str, Path], ...] = ()
    max_length: int | None = None
    lower_case: bool = False
    prompt: str = ""


def read_sentence_files(folder: Path) -> SentenceFiles:
    """Read a folder, of sentence-transformers or of a plain model.

    Raises
    ------
    ValueError
        If a file is damaged, or asks for a module that is not supported.
    """
    listed = folder / "modules.json"
    if not listed.is_file():
        return SentenceFiles((folder,), folder)
    modules = [
        (str(module["type"]).rpartition(".")[2], folder / module.get("path", ""))
        for module in read_json(listed)
    ]
    kinds = [kind for kind, _ in modules]
    if kinds[:1] != ["Transformer"] or set(kinds[2:]) - {"Dense", "Normalize"}:
        raise ValueError(
            f"{listed} asks for {', '.join(kinds)}; supported are Transformer, Pooling, and then "
            "Dense and Normalize. Give pooling= and a folder without modules.json to read the "
            "model alone."
        )
    model = modules[0][1]
    # Its name ends in that of the kind of model: sentence_bert_config.json.
    limits: Mapping[str, Any] = next(
        map(read_json, sorted(model.glob("sentence_*_config.json"))), {}
    )
    return SentenceFiles(
        tuple(dict.fromkeys([folder, *(path for _, path in modules)])),
        model,
        pooling=_pooling(modules[1][1]) if kinds[1:2] == ["Pooling"] else None,
        after=tuple(modules[2:]),
        max_length=limits.get("max_seq_length"),
        lower_case=bool(limits.get("do_lower_case", False)),
        prompt=_default_prompt(folder),
    )


def read_json(path: Path) -> Any:
    """Return the content of a file; ValueError names one that is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error}); bring the file again.") from error


def _optional_json(path: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = read_json(path) if path.is_file() else {}
    return found


def _pooling(folder: Path) -> tuple[str, ...]:
    path = folder / "config.json"
    settings = _optional_json(path)
    given = settings.get("pooling_mode")
    if given is None:
        given = [name for flag, name in FLAGS.items() if settings.get(flag)] or "mean"
    names = (given,) if isinstance(given, str) else tuple(given)
    unknown = sorted(set(names) - set(POOLINGS))
    if unknown or not settings.get("include_prompt", True):
        what = f"pooling {unknown[0]!r}" if unknown else "pooling without the prompt"
        raise ValueError(f"{path} asks for {what}, which is not supported.")
    return names


def _default_prompt(folder: Path) -> str:
    settings = _optional_json(folder / "config_sentence_transformers.json")
    name = settings.get("default_prompt_name")
    return "" if name is None else str(settings["prompts"][name])


def build_after(files: SentenceFiles) -> nn.Sequential:
    """Return the modules that follow pooling, with their weights."""
    parts: list[nn.Module] = []
    for kind, folder in files.after:
        parts += [UnitLength()] if kind == "Normalize" else _dense(folder)
    return nn.Sequential(*parts)


def _dense(folder: Path) -> list[nn.Module]:
    """Return a linear layer and its activation."""
    settings = read_json(folder / "config.json")
    activation = str(settings.get("activation_function", "Tanh")).rpartition(".")[2]
    if activation not in ACTIVATIONS or settings.get("use_residual"):
        raise ValueError(
            f"{folder / 'config.json'} asks for a layer with {activation} and "
            f"use_residual={bool(settings.get('use_residual'))}; supported are "
            f"{', '.join(ACTIVATIONS)} without."
        )
    layer = nn.Linear(
        settings["in_features"], settings["out_features"], bias=settings.get("bias", True)
    )
    weights = _weights(folder)
    layer.load_state_dict({name.removeprefix("linear."): t for name, t in weights.items()})
    return [layer, ACTIVATIONS[activation]()]


def _weights(folder: Path) -> Mapping[str, torch.Tensor]:
    path = folder / "model.safetensors"
    if path.is_file():
        tensors: Mapping[str, torch.Tensor] = require("safetensors.torch", "text").load_file(path)
        return tensors
    loaded: Mapping[str, torch.Tensor] = torch.load(
        folder / "pytorch_model.bin", map_location="cpu", weights_only=True
    )
    return loaded
