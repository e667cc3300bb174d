"""Reading files of weights: as tensors only, nothing in them is run."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mlfund._check import require

# Under these keys training programs store the weights beside what they need to go on.
NESTED = ("state_dict", "model", "model_state_dict")


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the tensors of a file of weights by name, on the CPU.

    Parameters
    ----------
    path : path-like
        A ``.safetensors`` file, or one of `torch.save`: a state dict, or a dict that holds one
        as ``"state_dict"`` or ``"model"``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, or holds anything but tensors and plain values.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"There is no file of weights {file}; give the path of one.")
    try:
        content = _read(file)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise _unreadable(file, error) from error
    except (pickle.UnpicklingError, zipfile.BadZipFile, AttributeError) as error:
        raise _unreadable(file, error) from error
    for key in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not any(_is_tensor(v) for v in content.values()):
        raise ValueError(f"{file} holds no weights: a dict of tensors by name is what is read.")
    # Of models that were compiled or trained on several devices.
    plain = {_plain(str(name)): value for name, value in content.items() if _is_tensor(value)}
    return plain


def in_torch_cache(url: str) -> Path:
    """Return where a download of weights by torch would be on this machine."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(url).name)


def _read(file: Path) -> object:
    if file.suffix == ".safetensors":
        content: object = require("safetensors.torch", "vision").load_file(file)
        return content
    return torch.load(file, map_location="cpu", weights_only=True)


def _unreadable(file: Path, error: Exception) -> ValueError:
    said = str(error).strip().splitlines() or [type(error).__name__]
    return ValueError(
        f"The file of weights {file} is damaged, or holds more than tensors ({said[0][:120]}); "
        "bring it anew from where it came."
    )


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


def _plain(name: str) -> str:
    for prefix in ("module.", "_orig_mod."):
        name = name.removeprefix(prefix)
    return name


def load_into(module: nn.Module, weights: Mapping[str, Tensor], whose: str) -> None:
    """Write weights into a module that has tensors of the same names and shapes.

    Parameters
    ----------
    module : Module
    weights : mapping of str to Tensor
    whose : str
        What the message calls the module.

    Raises
    ------
    ValueError
        If a tensor is missing, too many, or of another shape.
    """
    # Counters of batches, which old files lack, count for training with a momentum of None only.
    own = {
        name: t
        for name, t in module.state_dict().items()
        if name in weights or not name.endswith("num_batches_tracked")
    }
    wrong = [
        name
        for name in dict.fromkeys((*own, *weights))
        if name not in own or name not in weights or own[name].shape != weights[name].shape
    ]
    if wrong:
        name = wrong[0]
        raise ValueError(
            f"The weights are not those of {whose}: {name} has shape {_shape(weights, name)} in "
            f"the file and {_shape(own, name)} in the model, and so it is with {len(wrong)} "
            f"tensor{'' if len(wrong) == 1 else 's'}; give the weights of this model."
        )
    module.load_state_dict({**module.state_dict(), **weights})


def _shape(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(tensors[name].shape) if name in tensors else None


def without(weights: Mapping[str, Tensor], layers: Iterable[str]) -> dict[str, Tensor]:
    """Return the weights but for those of some layers, given by name."""
    prefixes = tuple(f"{layer}." for layer in layers)
    return {name: tensor for name, tensor in weights.items() if not name.startswith(prefixes)}
