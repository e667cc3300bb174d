"""Where the weights of a backbone come from: small values that estimators hold and share."""

from __future__ import annotations

import functools
import hashlib
import os
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch

from mlfund._check import resolve_device
from mlfund.backbones._encoder import Encoder

# Encoders that a process keeps for inference. A pipeline uses one, or one of images and one of
# texts; more at a time would fill the memory of a long session.
KEPT = 2
# Digits of a fingerprint in messages.
SHOWN = 8

_copies_weights: ContextVar[bool] = ContextVar("_copies_weights", default=False)
_kept: OrderedDict[tuple[str, str], Encoder] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True)
class BackboneSource(ABC):
    """Where a backbone comes from: a value without weights, that says how to get them.

    Copies and clones of it are itself. A pickle holds its fields and its fingerprint, and no
    weights; using weights other than those that were there when it was pickled is refused.

    Attributes
    ----------
    kind : {"image", "text"}
        What the backbone takes.
    fingerprint : str
        Hash of architecture, weights and the way inputs are read, the same in every process.
        It is found without loading the weights.

    Examples
    --------
    >>> from sklearn.base import clone
    >>> from mlfund.backbones import get_backbone
    >>> source = get_backbone("efficientnet_lite0", "image")
    >>> source.kind, clone(source) is source
    ('image', True)
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
        self.check()
        # Layers draw initial weights that are overwritten: from nobody's random state.
        with torch.random.fork_rng(devices=[]):
            return self.build().requires_grad_(True).eval()

    def check(self) -> None:
        """Raise as `load` does if the weights are missing or not those of a pickled source."""
        found, saved = self.fingerprint, self._saved()
        if saved not in (None, found):
            raise ValueError(
                f"The weights of {self}, or the code that uses them, have changed: their "
                f"fingerprint is {found[:SHOWN]}, and this was saved with {saved[:SHOWN]}. Bring "
                "the former ones back, or fit again."
            )

    def standalone(self) -> BackboneSource:
        """Return a source of the same encoder that holds the weights itself.

        Raises
        ------
        ValueError
            If this kind of source cannot.
        """
        raise ValueError(
            f"{self} cannot be saved with its weights; save without standalone=True, and keep the "
            "weights where they are."
        )

    def saved_as(self, fingerprint: str) -> Self:
        """Return the source as a pickle would bring it back that was made with other weights."""
        saved = replace(self)
        object.__setattr__(saved, "_saved_fingerprint", fingerprint)
        return saved

    def _saved(self) -> str | None:
        """Return the fingerprint that this was pickled with."""
        saved: str | None = self.__dict__.get("_saved_fingerprint")
        return saved

    def __sklearn_clone__(self) -> Self:
        """Return itself: a value."""
        return self

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> BackboneSource:
        return self.standalone() if _copies_weights.get() else self

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields and the fingerprint."""
        state = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**state, "_saved_fingerprint": self._saved() or self.fingerprint}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Take fields, and the fingerprint that the weights must have when they are used."""
        self.__dict__.update(state)


@contextmanager
def weights_copied() -> Iterator[None]:
    """Let `copy.deepcopy` of whatever holds sources make them sources with weights of their own."""
    token = _copies_weights.set(True)
    try:
        yield
    finally:
        _copies_weights.reset(token)


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

    Raises
    ------
    ImportError, FileNotFoundError, ValueError
        As `BackboneSource.load` does.
    """
    source.check()
    place = resolve_device(device)
    key = source.fingerprint, str(place)
    # Loading happens under the lock: two threads that need one encoder load one.
    with _lock:
        if key not in _kept:
            _kept[key] = source.load().to(place).for_inference()
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
        _kept.move_to_end(key)
        return _kept[key]


def _new_lock() -> None:
    """Replace the lock: another thread may have held it at the fork, and is not in the child."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)


def file_fingerprint(path: str | os.PathLike[str]) -> str:
    """Return the hash of a file's content; a file that is as it was is not read again.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise FileNotFoundError(f"There is no file of weights {file}; give the path of one.")
    found = file.stat()
    return _content_digest(file, found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _content_digest(file: Path, size: int, modified: int) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
