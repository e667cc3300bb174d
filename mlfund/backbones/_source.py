"""Where the weights of a backbone come from: small values that estimators hold and share."""

from __future__ import annotations

import functools
import hashlib
import os
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import torch

from mlfund._check import resolve_device
from mlfund.backbones._encoder import Encoder

# Encoders that a process keeps for inference. A pipeline uses one, or one of images and one of
# texts; more at a time would fill the memory of a long session.
KEPT = 2
# Digits of a fingerprint in messages.
SHOWN = 8

_kept: OrderedDict[tuple[str, str], Encoder] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True)
class BackboneSource(ABC):
    """Where a backbone comes from: a value without weights, that says how to get them.

    Copies and clones of it are itself. A pickle holds its fields and its fingerprint, and no
    weights; loading weights other than those that were there when it was pickled is refused.

    Attributes
    ----------
    kind : {"image", "text"}
        What the backbone takes.
    fingerprint : str
        Hash of architecture, weights and the way inputs are read, the same in every process.
    """

    kind: ClassVar[str]

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of architecture, weights and the way inputs are read."""

    @abstractmethod
    def build(self) -> Encoder:
        """Return a new encoder with the weights; called by `load`."""

    def load(self) -> Encoder:
        """Return a new encoder: in evaluation mode, on the CPU, all parameters trainable.

        Raises
        ------
        ImportError
            If a package that holds weights or code is not installed.
        FileNotFoundError
            If weights are missing.
        ValueError
            If weights are damaged, or not those of a pickled source.
        """
        saved = self._saved()
        if saved != self.fingerprint:
            raise ValueError(
                f"The weights of {self} have changed: their fingerprint is "
                f"{self.fingerprint[:SHOWN]}, and this was saved with {saved[:SHOWN]}. Bring the "
                "former weights back, or fit again."
            )
        return self.build().requires_grad_(True).eval()

    def _saved(self) -> str:
        """Return the fingerprint that this was pickled with, or the present one."""
        saved: str | None = self.__dict__.get("_saved_fingerprint")
        return self.fingerprint if saved is None else saved

    def __sklearn_clone__(self) -> BackboneSource:
        """Return itself: a value."""
        return self

    def __copy__(self) -> BackboneSource:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> BackboneSource:
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields and the fingerprint."""
        state = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**state, "fingerprint": self._saved()}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Take fields, and the fingerprint that the weights must have when they are loaded."""
        values = dict(state)
        object.__setattr__(self, "_saved_fingerprint", values.pop("fingerprint"))
        for name, value in values.items():
            object.__setattr__(self, name, value)


def shared_encoder(source: BackboneSource, device: str | torch.device | None = "cpu") -> Encoder:
    """Return the encoder that all of this process use to embed; it must not be trained.

    Parameters
    ----------
    source : BackboneSource
    device : str, torch.device or None, default="cpu"
        As `device` of every estimator.

    Returns
    -------
    encoder : Encoder
        The same object for sources of one fingerprint; its embeddings are those of
        ``source.load()`` up to rounding. The two used last are kept.
    """
    place = resolve_device(device)
    key = source.fingerprint, str(place)
    # Loading happens under the lock: two threads that need one encoder load one.
    with _lock:
        if key not in _kept:
            _kept[key] = source.load().for_inference().to(place)
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
        _kept.move_to_end(key)
        return _kept[key]


def file_fingerprint(path: str | os.PathLike[str]) -> str:
    """Return the hash of a file's content; a file that is as it was is not read again.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    file = Path(path).resolve()
    found = file.stat()
    return _content_digest(file, found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _content_digest(file: Path, size: int, modified: int) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
