"""Trees of plain values, arrays and tensors in one file, without pickle.

A file is a NumPy archive: one member holds the tree as JSON, the others the arrays it
points to. The archive carries a checksum of each member, so a damaged file is noticed.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

# What reading a file that is not a whole one of ours may raise.
UNREADABLE = (OSError, EOFError, KeyError, TypeError, ValueError, RuntimeError, zipfile.BadZipFile)

_TREE = "tree"
_CONTAINERS: dict[str, Any] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
}


def write_tree(file: IO[bytes], tree: Any) -> None:
    """Write a tree to an open file.

    Parameters
    ----------
    file : file object
        Open for writing bytes.
    tree : object
        None, bool, int, float, str, bytes, arrays, NumPy scalars and tensors, and
        lists, tuples, sets and mappings of these; a mapping comes back as a dict.

    Raises
    ------
    TypeError
        If the tree holds anything else.
    """
    arrays: dict[str, np.ndarray] = {}
    text = json.dumps(_encode(tree, arrays))
    members: dict[str, Any] = {_TREE: np.frombuffer(text.encode(), np.uint8), **arrays}
    np.savez(file, **members)


def read_tree(file: IO[bytes], device: torch.device | str = "cpu") -> Any:
    """Return the tree in a file; tensors that were on an accelerator go to `device`.

    Raises
    ------
    OSError, EOFError, KeyError, TypeError, ValueError, RuntimeError, zipfile.BadZipFile
        If the file is damaged or not a file of `write_tree`: `UNREADABLE`.
    """
    with np.load(file, allow_pickle=False) as archive:
        tree = json.loads(archive[_TREE].tobytes().decode())
        return _decode(tree, archive, torch.device(device))


def _encode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return a JSON value; what JSON has no word for becomes a list that begins with a tag."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Tensor):
        whole = value.detach().cpu().contiguous().reshape(-1)
        # bytes, since NumPy has no bfloat16
        raw = whole.view(torch.uint8).numpy() if whole.numel() else np.empty(0, np.uint8)
        place = _keep(raw, arrays)
        dtype = str(value.dtype).removeprefix("torch.")
        return ["tensor", place, dtype, list(value.shape), value.device.type]
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return ["array", _keep(value, arrays)]
    if isinstance(value, np.generic) and not value.dtype.hasobject:
        return ["scalar", _keep(np.asarray(value), arrays)]
    if isinstance(value, bytes):
        return ["bytes", _keep(np.frombuffer(value, np.uint8), arrays)]
    if isinstance(value, Mapping):
        return ["dict", [[_encode(k, arrays), _encode(v, arrays)] for k, v in value.items()]]
    for name, kind in _CONTAINERS.items():
        if type(value) is kind:
            return [name, [_encode(item, arrays) for item in value]]
    raise TypeError(
        f"A file of this kind cannot hold a {type(value).__module__}.{type(value).__qualname__}."
    )


def _keep(array: np.ndarray, arrays: dict[str, np.ndarray]) -> str:
    name = str(len(arrays))
    arrays[name] = array
    return name


def _decode(value: Any, archive: Mapping[str, np.ndarray], device: torch.device) -> Any:
    if not isinstance(value, list):
        return value
    tag, content, *more = value
    if tag == "tensor":
        return _tensor(archive[content], more, device)
    if tag == "array":
        return archive[content]
    if tag == "scalar":
        return archive[content][()]
    if tag == "bytes":
        return archive[content].tobytes()
    if tag == "dict":
        return {_decode(k, archive, device): _decode(v, archive, device) for k, v in content}
    return _CONTAINERS[tag](_decode(item, archive, device) for item in content)


def _tensor(raw: np.ndarray, kind: list[Any], device: torch.device) -> Tensor:
    dtype, shape, where = kind
    values = torch.empty(shape, dtype=getattr(torch, dtype))
    if values.numel():
        values.view(-1).view(torch.uint8).copy_(torch.from_numpy(raw))
    return values if where == "cpu" else values.to(device)
