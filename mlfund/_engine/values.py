"""The state of one object as plain values, and back into the object.

Random streams, dataclasses and objects with `state_dict` are read into plain values
and written back in place. Settings (functions, entries of the vocabulary, devices) are
left out: they are the same in whatever is resumed.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from torch import Tensor
from torch.utils.data import Dataset

from mlfund._engine.parameters import FlatParameters
from mlfund._entries import Entry

STREAMS = (np.random.RandomState, np.random.Generator, torch.Generator)

_PLAIN = (type(None), bool, int, float, str, bytes, np.generic, np.ndarray, Tensor)
_SETTINGS = (Entry, NeuralNet, Dataset, FlatParameters, torch.device, torch.dtype, np.dtype, type)
# Marks the fields of a dataclass or a named tuple, which must not come back as a dict.
_FIELDS = "fields of"


class _Setting:
    """What `read_value` returns for a value that is no state."""


SETTING = _Setting()


def read_object(part: Any, where: str) -> Any:
    """Return the state of a part of a training.

    That is what its `state_dict` returns; without one, its attributes.

    Raises
    ------
    TypeError
        If it keeps something that cannot be written; `where` names it.
    """
    if isinstance(part, STREAMS) or _keeps_its_own(part):
        return read_value(part, where)
    attributes = getattr(part, "__dict__", {})
    return _without_settings(
        {name: read_value(value, f"{where}.{name}") for name, value in attributes.items()}
    )


def write_object(part: Any, state: Any) -> None:
    """Write back what `read_object` returned."""
    if isinstance(part, STREAMS) or _keeps_its_own(part):
        write_value(part, state)
        return
    for name, saved in state.items():
        setattr(part, name, write_value(getattr(part, name, None), saved))


def read_value(value: Any, where: str) -> Any:
    """Return a value as a tree that can be written, or `SETTING` if it is no state."""
    if isinstance(value, STREAMS):
        return _read_stream(value)
    if _keeps_its_own(value):
        return value.state_dict()
    if _is_plain(value):
        return value
    fields = _fields(value)
    if fields is not None and not isinstance(value, _SETTINGS):
        values = {name: read_value(item, f"{where}.{name}") for name, item in fields.items()}
        return {_FIELDS: type(value).__qualname__, **_without_settings(values)}
    if _is_setting(value):
        return SETTING
    raise TypeError(
        f"A checkpoint cannot hold {where}, of type {type(value).__module__}."
        f"{type(value).__qualname__}: give the object that keeps it state_dict() and "
        "load_state_dict(state) of plain values, arrays and tensors, or train without "
        "checkpoint_dir."
    )


def write_value(current: Any, saved: Any) -> Any:
    """Return the value that `read_value` read, in place of `current` or in `current` itself."""
    if isinstance(current, STREAMS):
        _write_stream(current, saved)
        return current
    if _keeps_its_own(current):
        current.load_state_dict(saved)
        return current
    if isinstance(saved, dict) and _FIELDS in saved:
        return _with_fields(current, saved)
    if isinstance(current, Tensor) and isinstance(saved, Tensor):
        same = (current.shape, current.dtype) == (saved.shape, saved.dtype)
        # in place, since others may hold views of it
        return current.detach().copy_(saved) if same else saved
    return saved


def _keeps_its_own(value: Any) -> bool:
    # A net is no part of itself; its state is read piece by piece.
    if isinstance(value, type | NeuralNet):
        return False
    return callable(getattr(value, "state_dict", None)) and hasattr(value, "load_state_dict")


def _is_plain(value: Any) -> bool:
    if isinstance(value, np.ndarray | np.generic):
        return not value.dtype.hasobject
    if isinstance(value, _PLAIN):
        return True
    if isinstance(value, Mapping):
        return all(_is_plain(key) and _is_plain(item) for key, item in value.items())
    return type(value) in (list, tuple, set, frozenset) and all(map(_is_plain, value))


def _is_setting(value: Any) -> bool:
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_setting, value))
    if isinstance(value, Mapping):
        return all(_is_setting(item) for item in value.values())
    return isinstance(value, _SETTINGS) or callable(value)


def _fields(value: Any) -> dict[str, Any] | None:
    """Return the fields of a dataclass or a named tuple."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        named: dict[str, Any] = value._asdict()
        return named
    return None


def _with_fields(current: Any, saved: Mapping[str, Any]) -> Any:
    now = _fields(current)
    if now is None or type(current).__qualname__ != saved[_FIELDS]:
        raise TypeError(f"A {saved[_FIELDS]} was saved where a {type(current).__qualname__} is.")
    values = {n: write_value(now[n], item) for n, item in saved.items() if n != _FIELDS}
    if isinstance(current, tuple):
        named: Any = current
        return named._replace(**values)
    changed = copy.copy(current)
    for name, value in values.items():
        # Frozen ones too: the copy is nobody's yet.
        object.__setattr__(changed, name, value)
    return changed


def _without_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not SETTING}


def _read_stream(stream: Any) -> Any:
    if isinstance(stream, np.random.RandomState):
        return stream.get_state(legacy=False)
    if isinstance(stream, np.random.Generator):
        return stream.bit_generator.state
    return stream.get_state()


def _write_stream(stream: Any, saved: Any) -> None:
    if isinstance(stream, np.random.RandomState):
        stream.set_state(saved)
    elif isinstance(stream, np.random.Generator):
        stream.bit_generator.state = saved
    else:
        stream.set_state(saved.cpu())
