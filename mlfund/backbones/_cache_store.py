"""Embeddings found in memory or in files, or computed: each distinct row once."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from mlfund._files import fingerprint
from mlfund.backbones._cache_files import RowFolder, remove_oldest, warn
from mlfund.backbones._cache_memory import MemoryRows

# From numbers of rows, which are distinct, to their embeddings.
Compute = Callable[[list[int]], np.ndarray]
# Told how many of how many distinct rows are there.
Report = Callable[[int, int], None]

# Changes with what a key or a row means: former files are not read.
FORMAT = 1
# The files are counted each time that this part of what they may take was written.
COUNTED_PART = 0.01


@dataclass(frozen=True)
class Space:
    """What embeddings have in common that may stand for each other.

    Attributes
    ----------
    backbone : str
        Name for persons.
    fingerprint : str
        Of the backbone.
    reading : tuple
        What else the numbers depend on: size of the images, versions ...; plain values.
    """

    backbone: str
    fingerprint: str
    reading: tuple[object, ...] = ()

    @property
    def name(self) -> str:
        """Name of the folder of its rows; the same in every process."""
        return fingerprint(FORMAT, self.fingerprint, self.reading)


class Store:
    """Rows of embeddings of one folder, as one process knows them.

    Parameters
    ----------
    root : Path or None
        The folder; None keeps nothing in files.
    max_bytes : int
        What the files may take.
    memory_bytes : int
        What rows in memory may take.

    Attributes
    ----------
    n_found, n_computed : int
        Distinct rows that were there, and that were not, in this process.
    """

    def __init__(self, root: Path | None, max_bytes: int, memory_bytes: int) -> None:
        self.root, self.max_bytes, self.memory_bytes = root, max_bytes, memory_bytes
        self.n_found = self.n_computed = 0
        self._lock = threading.Lock()
        self._spaces: OrderedDict[Space, _SpaceRows] = OrderedDict()
        self._written: set[str] = set()
        self._uncounted = max_bytes
        self._said: set[str] = set()

    def get_or_compute(
        self,
        space: Space,
        keys: Sequence[bytes],
        compute: Compute,
        block_rows: int,
        report: Report,
    ) -> np.ndarray:
        """Return the embeddings of rows; see `EmbeddingCache.get_or_compute`."""
        first: dict[bytes, int] = {}
        for row, key in enumerate(keys):
            first.setdefault(key, row)
        distinct = list(first)
        rows = self._rows_of(space)
        out = _Collected(len(distinct))
        with rows.lock:
            pending = rows.look_up(distinct, self._order(distinct), out)
        self.n_found += len(distinct) - len(pending)
        while pending:
            report(len(distinct) - len(pending), len(distinct))
            # The lock is free between blocks: threads with other rows get their turn.
            with rows.lock:
                # Other threads and processes may have computed some of them meanwhile.
                block: list[int] = []
                while pending and len(block) < block_rows:
                    some, pending = pending[:block_rows], pending[block_rows:]
                    left = rows.look_up(distinct, some, out)
                    self.n_found += len(some) - len(left)
                    block += left
                if block:
                    found = compute([first[distinct[position]] for position in block])
                    out.put(block, found)
                    self.n_computed += len(block)
                    self._keep(rows, [distinct[position] for position in block], found)
        report(len(distinct), len(distinct))
        number = {key: position for position, key in enumerate(distinct)}
        return out.rows(None if len(distinct) == len(keys) else [number[key] for key in keys])

    def names(self) -> set[str]:
        """Return the names of the backbones whose rows are in memory."""
        with self._lock:
            return {space.backbone for space in self._spaces}

    def forget(self) -> None:
        """Let go of all rows in memory."""
        with self._lock:
            self._spaces.clear()

    def _rows_of(self, space: Space) -> _SpaceRows:
        with self._lock:
            if space not in self._spaces:
                self._spaces[space] = _SpaceRows(space, self.root, self.memory_bytes)
            self._spaces.move_to_end(space)
            # Rows of other backbones go first, those used longest ago.
            while len(self._spaces) > 1 and self._memory() > self.memory_bytes:
                self._spaces.popitem(last=False)
            return self._spaces[space]

    def _memory(self) -> int:
        return sum(rows.memory.n_bytes for rows in self._spaces.values())

    def _order(self, keys: Sequence[bytes]) -> list[int]:
        """Return the order in which rows are to be computed.

        Workers of one search need nearly the same rows at the same time. Each starts at another
        place of the same circle, and so they meet what the others have done already.
        """
        order = list(range(len(keys)))
        if multiprocessing.parent_process() is None:
            return order
        order.sort(key=keys.__getitem__)
        # Multiples of the golden ratio are far from each other for any numbers in sequence.
        start = int(len(order) * (os.getpid() * 0.6180339887498949 % 1))
        return order[start:] + order[:start]

    def _keep(self, rows: _SpaceRows, keys: list[bytes], values: np.ndarray) -> None:
        rows.memory.put(keys, values)
        if rows.folder is None or self.root is None:
            return
        try:
            self._written.add(rows.folder.write(keys, values))
        except OSError as error:
            self._say(
                f"Embeddings cannot be written to {self.root} ({error}); they are kept in memory "
                "only. Give another folder by cache= or MLFUND_CACHE."
            )
            return
        self._uncounted += values.nbytes
        if self._uncounted < self.max_bytes * COUNTED_PART:
            return
        self._uncounted = 0
        if self._written.intersection(remove_oldest(self.root, self.max_bytes)):
            self._say(
                f"The embeddings in use take more than the {self.max_bytes / 2**30:.3g} GiB of "
                f"the cache in {self.root}, and some were removed again. Give "
                "cache=EmbeddingCache(max_bytes=...) with more."
            )

    def _say(self, message: str) -> None:
        """Warn once."""
        if message not in self._said:
            self._said.add(message)
            warn(message)


class _SpaceRows:
    """The rows of one space, in memory and in files."""

    def __init__(self, space: Space, root: Path | None, memory_bytes: int) -> None:
        note = {
            "backbone": space.backbone,
            "fingerprint": space.fingerprint,
            "reading": [str(part) for part in space.reading],
        }
        self.lock = threading.Lock()
        self.memory = MemoryRows(memory_bytes)
        self.folder = None if root is None else RowFolder(root / space.name, note)

    def look_up(
        self, keys: Sequence[bytes], positions: Sequence[int], out: _Collected
    ) -> list[int]:
        """Put the rows that are known into `out`; return the positions of the others."""
        found, rows = self.memory.get([keys[position] for position in positions])
        if found:
            out.put([positions[i] for i in found], rows)
            positions = _without(positions, found)
        if not positions or self.folder is None:
            return list(positions)
        asked = [keys[position] for position in positions]
        found, rows = self.folder.read(asked)
        if found:
            out.put([positions[i] for i in found], rows)
            self.memory.put([asked[i] for i in found], rows)
        return _without(positions, found)


def _without(positions: Sequence[int], places: Sequence[int]) -> list[int]:
    gone = set(places)
    return [position for place, position in enumerate(positions) if place not in gone]


class _Collected:
    """Rows that come in parts."""

    def __init__(self, n_rows: int) -> None:
        self._n_rows = n_rows
        self._rows: np.ndarray | None = None

    def put(self, positions: Sequence[int], rows: np.ndarray) -> None:
        if self._rows is None:
            self._rows = np.empty((self._n_rows, rows.shape[1]), np.float32)
        self._rows[positions] = rows

    def rows(self, order: Sequence[int] | None) -> np.ndarray:
        assert self._rows is not None
        return self._rows if order is None else self._rows[order]


@cache
def store_of(root: Path | None, max_bytes: int, memory_bytes: int) -> Store:
    """Return the store of a folder; the same one within a process."""
    return Store(root, max_bytes, memory_bytes)


if hasattr(os, "register_at_fork"):
    # A lock that another thread held at the fork would stay locked in the child for good.
    os.register_at_fork(after_in_child=store_of.cache_clear)
