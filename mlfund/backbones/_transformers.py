"""Models and tokenizers of transformers: loaded from a folder, quietly, without a network."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mlfund._check import require

EXTRA = "text"
# Of every call that loads: left open, transformers would ask at the prompt whether to run code.
HERE = {"local_files_only": True, "trust_remote_code": False}


def load_model(folder: Path, *, pooler: bool) -> nn.Module:
    """Return a model of states of tokens, in float32.

    Parameters
    ----------
    folder : Path
        With config.json and weights.
    pooler : bool
        Whether the model's own pooling layer is used; one that is not is left out.

    Raises
    ------
    ValueError
        If the files are damaged, or lack weights that the model needs.
    """
    transformers = require("transformers", EXTRA)
    with quiet(transformers), explained(folder, "model"):
        config = transformers.AutoConfig.from_pretrained(folder, **HERE)
        # Of a model that also writes texts, the part that reads them.
        reads = type(config) in transformers.MODEL_FOR_TEXT_ENCODING_MAPPING
        auto = transformers.AutoModelForTextEncoding if reads else transformers.AutoModel
        model, report = auto.from_pretrained(
            folder, config=config, dtype=torch.float32, output_loading_info=True, **HERE
        )
    # Models that may be built without their pooling layer may have it taken off.
    if not pooler and "add_pooling_layer" in inspect.signature(type(model)).parameters:
        model.pooler = None
    kept = model.state_dict()
    missing = sorted(name for name in report["missing_keys"] if name in kept)
    if missing:
        raise ValueError(
            f"The weights in {folder} lack {len(missing)} of the {len(kept)} tensors of "
            f"{type(model).__name__}, {missing[0]} for one; they are of another model, or "
            "incomplete. Bring the files again."
        )
    if pooler and not isinstance(getattr(model, "pooler", None), nn.Module):
        raise ValueError(
            f"pooling='pooler' asks for the pooling layer of the model in {folder}, a "
            f"{type(model).__name__}, which has none; use 'mean' or 'cls'."
        )
    loaded: nn.Module = model
    return loaded


def load_tokenizer(folder: Path) -> Any:
    """Return a fast tokenizer.

    Raises
    ------
    ValueError
        If its files are missing or damaged, or there is no fast one.
    """
    transformers = require("transformers", EXTRA)
    with quiet(transformers), explained(folder, "tokenizer"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **HERE)
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(
            f"The tokenizer in {folder} is a {type(tokenizer).__name__}, which has no fast form; "
            "save it with a tokenizer.json."
        )
    return tokenizer


@contextlib.contextmanager
def quiet(transformers: Any) -> Iterator[None]:
    """Keep reports and progress bars of transformers from users; errors are raised."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def explained(folder: Path, what: str) -> Iterator[None]:
    """Turn whatever a damaged file leads to into one sentence."""
    try:
        yield
    except Exception as error:
        # Which exception it is depends on the byte that is wrong: OSError, KeyError,
        # RuntimeError, SafetensorError, exceptions of Rust among them.
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise ValueError(
            f"The {what} in {folder} cannot be loaded ({reason}); bring its files again."
        ) from error
