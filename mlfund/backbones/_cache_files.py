"""Rows of embeddings in files that are written whole, once, and never changed.

A file holds some rows: how many of which length, their keys, a checksum of each, their values.
Nothing is locked. Writers make new files, equal rows get equal names, and whoever merges or
removes files leaves a reader, at worst, with rows to compute again.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import struct
import time
import warnings
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from mlfund._check import stacklevel_outside
from mlfund._files import atomic_write

KEY_BYTES = 16
SUFFIX = ".rows"
NOTE = "backbone.json"
# What rows are called where no note says of which backbone they are.
UNKNOWN = "unknown"
# Of these many files under that size one is made: single rows come in files of their own.
MOST_SMALL, SMALL_BYTES = 32, 2**18
# Seconds after which reading a file marks it as used once more.
TOUCH_SECONDS = 60.0
# Age of what a writer that was killed left behind.
LITTER_SECONDS = 3600.0

# Tag with the version of the format, number of rows, values of a row. All is little-endian.
_HEAD = struct.Struct("<8sII")
_TAG = b"mlfundE1"
# How folders of rows are called: by a hash, see `Space.name`.
_FOLDER = re.compile("[0-9a-f]{32}")
_FLOAT, _SUM = np.dtype("<f4"), np.dtype("<u4")


class EmbeddingCacheWarning(UserWarning):
    """Cached embeddings cannot be read or written, or do not fit; they are computed again."""


def warn(message: str) -> None:
    """Warn the user, at the user's line."""
    warnings.warn(message, EmbeddingCacheWarning, stacklevel=stacklevel_outside())


@dataclass(frozen=True)
class RowFile:
    """What is known of a file without its values.

    Attributes
    ----------
    keys : list of bytes
        One a row.
    n_bytes : int
        Size of the file.
    """

    keys: list[bytes]
    n_bytes: int


class RowFolder:
    """The files with rows of one backbone, read in one way.

    Parameters
    ----------
    path : Path
        The folder; made by the first row that is written.
    note : mapping
        What a person wants to know of the rows: plain values.
    """

    def __init__(self, path: Path, note: Mapping[str, Any]) -> None:
        self.path, self._note = path, note
        self._files: dict[str, RowFile] = {}
        self._place_of: dict[bytes, tuple[str, int]] = {}
        self._used: dict[str, float] = {}

    def read(self, keys: Sequence[bytes]) -> tuple[list[int], np.ndarray]:
        """Return the positions of keys that are in files, and their rows in this order.

        Rows that another process wrote meanwhile are found. A damaged file is removed.
        """
        self._refresh()
        wanted: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for position, key in enumerate(keys):
            place = self._place_of.get(key)
            if place is not None:
                wanted[place[0]].append((place[1], position))
        positions: list[int] = []
        found: list[np.ndarray] = []
        for name, places in wanted.items():
            places.sort()
            rows, good = self._read_file(name, [row for row, _ in places])
            if good.any():
                found.append(rows[good])
                positions += [places[i][1] for i in np.flatnonzero(good)]
        return positions, np.concatenate(found) if found else np.empty((0, 0), np.float32)

    def write(self, keys: Sequence[bytes], rows: np.ndarray) -> str:
        """Write rows to a file, and return its name.

        Raises
        ------
        OSError
            If the disk is full, or the folder cannot be written to.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        # One that is damaged would leave the rows without a name for good.
        if note_of(self.path) is None:
            with atomic_write(self.path / NOTE, "w", durable=False) as file:
                json.dump(dict(self._note), file, indent=2)
        name = self._write_file(keys, rows)
        self._merge_small()
        return name

    def _write_file(self, keys: Sequence[bytes], rows: np.ndarray) -> str:
        values = np.ascontiguousarray(rows, _FLOAT)
        name = hashlib.blake2b(b"".join(keys), digest_size=KEY_BYTES).hexdigest() + SUFFIX
        with atomic_write(self.path / name, durable=False) as file:
            file.write(_HEAD.pack(_TAG, *values.shape))
            file.write(b"".join(keys))
            file.write(_checksums(keys, values).data)
            file.write(values.data)
            n_bytes = file.tell()
        self._add(name, RowFile(list(keys), n_bytes), time.time())
        return name

    def _refresh(self) -> None:
        """Learn of files that came or went."""
        try:
            with os.scandir(self.path) as entries:
                names = {entry.name for entry in entries if entry.name.endswith(SUFFIX)}
        except OSError:
            names = set()
        # What came first: it may hold the rows of what went.
        for name in names - self._files.keys():
            try:
                with open(self.path / name, "rb") as file:
                    keys = _read_keys(file)
                    found = os.fstat(file.fileno())
            except OSError:
                # Gone again, or not to be read by this user.
                continue
            except ValueError as error:
                self._remove_damaged(name, error)
                continue
            self._add(name, RowFile(keys, found.st_size), found.st_mtime)
        for name in self._files.keys() - names:
            self._forget(name)

    def _add(self, name: str, file: RowFile, used: float) -> None:
        self._files[name] = file
        self._used[name] = used
        self._place_of.update((key, (name, row)) for row, key in enumerate(file.keys))

    def _forget(self, name: str) -> None:
        file = self._files.pop(name, None)
        self._used.pop(name, None)
        for key in [] if file is None else file.keys:
            if self._place_of.get(key, ("", 0))[0] == name:
                del self._place_of[key]

    def _read_file(self, name: str, wanted: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return rows of a file, by increasing numbers, and which of them are as written."""
        file_keys = self._files[name].keys
        none = np.empty((len(wanted), 0), np.float32), np.zeros(len(wanted), dtype=bool)
        try:
            with open(self.path / name, "rb") as file:
                rows, sums = _read_rows(file, wanted)
        except OSError:
            self._forget(name)
            return none
        except ValueError as error:
            self._remove_damaged(name, error)
            return none
        good = _checksums([file_keys[row] for row in wanted], rows) == sums
        if not good.all():
            self._salvage(name)
        elif time.time() - self._used[name] > TOUCH_SECONDS:
            self._used[name] = time.time()
            with suppress(OSError):
                os.utime(self.path / name)
        return rows.astype(np.float32, copy=False), good

    def _salvage(self, name: str) -> None:
        """Put the rows that are as written into another file, and remove the one that is not."""
        keys = self._files[name].keys
        with suppress(OSError, ValueError):
            with open(self.path / name, "rb") as file:
                rows, sums = _read_rows(file, range(len(keys)))
            good = np.flatnonzero(_checksums(keys, rows) == sums)
            if 0 < len(good) < len(keys):
                self._write_file([keys[row] for row in good], rows[good])
        self._remove_damaged(name, ValueError("its content does not match its checksums"))

    def _remove_damaged(self, name: str, error: Exception) -> None:
        self._forget(name)
        with suppress(OSError):
            (self.path / name).unlink()
        warn(f"{self.path / name} is damaged ({error}); its embeddings are computed again.")

    def _merge_small(self) -> None:
        small = [name for name, file in self._files.items() if file.n_bytes < SMALL_BYTES]
        if len(small) < MOST_SMALL:
            return
        rows: dict[bytes, np.ndarray] = {}
        for name in small:
            keys = self._files[name].keys
            values, good = self._read_file(name, range(len(keys)))
            rows |= {keys[i]: values[i] for i in np.flatnonzero(good)}
        read = [name for name in small if name in self._files]
        if not rows:
            return
        merged = self._write_file(list(rows), np.stack(list(rows.values())))
        for name in read:
            if name != merged:
                self._forget(name)
                with suppress(OSError):
                    (self.path / name).unlink()


def _checksums(keys: Sequence[bytes], rows: np.ndarray) -> np.ndarray:
    """Return a checksum of each row and its key."""
    width = rows.shape[1] * _FLOAT.itemsize
    content = rows.data.cast("B") if rows.size else memoryview(b"")
    crc = zlib.crc32
    sums = [crc(content[i * width : (i + 1) * width], crc(key)) for i, key in enumerate(keys)]
    return np.array(sums, _SUM)


def _read_head(file: BufferedReader) -> tuple[int, int]:
    """Return the number of rows and their length.

    Raises
    ------
    ValueError
        If the file is not whole.
    """
    head = file.read(_HEAD.size)
    tag, n_rows, n_features = _HEAD.unpack(head) if len(head) == _HEAD.size else (b"", 0, 0)
    if tag != _TAG:
        raise ValueError("it is no file of embeddings")
    expected = _HEAD.size + n_rows * (KEY_BYTES + _SUM.itemsize + n_features * _FLOAT.itemsize)
    if os.fstat(file.fileno()).st_size != expected:
        raise ValueError("it is cut off")
    return n_rows, n_features


def _read_keys(file: BufferedReader) -> list[bytes]:
    n_rows, _ = _read_head(file)
    keys = file.read(n_rows * KEY_BYTES)
    return [keys[i : i + KEY_BYTES] for i in range(0, len(keys), KEY_BYTES)]


def _read_rows(file: BufferedReader, wanted: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return rows by increasing numbers, and the checksums that were written with them."""
    n_rows, n_features = _read_head(file)
    file.seek(n_rows * KEY_BYTES, os.SEEK_CUR)
    sums = np.frombuffer(file.read(n_rows * _SUM.itemsize), _SUM)
    start, width = file.tell(), n_features * _FLOAT.itemsize
    rows = np.empty((len(wanted), n_features), _FLOAT)
    numbers = np.asarray(wanted)
    # Rows that stand beside each other are read at once.
    cuts = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
    for first, last in itertools.pairwise(cuts):
        file.seek(start + int(numbers[first]) * width)
        if file.readinto(rows[first:last].data.cast("B")) != (last - first) * width:
            raise ValueError("it is cut off")
    return rows, sums[numbers]


def note_of(folder: Path) -> dict[str, Any] | None:
    """Return the note of a folder of rows; None where there is none that can be read."""
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(note, dict) or not isinstance(note.get("reading", []), list):
        return None
    return note if isinstance(note.get("backbone"), str) else None


def row_folders(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the folders of rows below a folder, and their notes.

    Rows are counted, and make room for others, whatever has become of the note beside them.
    """
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir())
    except OSError:
        return
    for folder in folders:
        note = note_of(folder)
        if note is not None:
            yield folder, note
        elif _FOLDER.fullmatch(folder.name) and row_files(folder):
            yield folder, {"backbone": UNKNOWN}


def row_files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """Return the files of rows in a folder with size and time of last use."""
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        with suppress(FileNotFoundError):
            found.append((path, path.stat()))
    return found


def keys_of(path: Path) -> list[bytes]:
    """Return the keys of the rows in a file; none where it is damaged or gone."""
    try:
        with open(path, "rb") as file:
            return _read_keys(file)
    except (OSError, ValueError):
        return []


def remove_oldest(root: Path, max_bytes: int) -> list[str]:
    """Remove the files that were used longest ago until the others fit, and return their names.

    What writers that were killed left behind goes too.
    """
    files: list[tuple[float, int, Path]] = []
    for folder, _ in row_folders(root):
        files += [(stat.st_mtime, stat.st_size, path) for path, stat in row_files(folder)]
        for litter in folder.glob(".*.tmp"):
            with suppress(OSError):
                if time.time() - litter.stat().st_mtime > LITTER_SECONDS:
                    litter.unlink()
    excess = sum(size for _, size, _ in files) - max_bytes
    removed = []
    for _, size, path in sorted(files, key=lambda file: file[0]):
        if excess <= 0:
            break
        with suppress(OSError):
            path.unlink()
            removed.append(path.name)
            excess -= size
    return removed
