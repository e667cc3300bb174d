"""EmbeddingCache: embeddings of frozen backbones, computed once a row and kept."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlfund._check import check_positive
from mlfund.backbones._cache_files import NOTE, keys_of, row_files, row_folders
from mlfund.backbones._cache_names import name_today, names_meant
from mlfund.backbones._cache_store import Compute, Report, Space, Store, store_of

MAX_BYTES = 2 * 2**30
MEMORY_BYTES = 256 * 2**20
# Rows that are computed between two looks at what others have done.
BLOCK_ROWS = 256
VARIABLE = "MLFUND_CACHE"


@dataclass(frozen=True)
class EmbeddingCache:
    """Keeps the embeddings of a frozen backbone, so that each row is computed once.

    A row is found again by a hash of its content, the fingerprint of the backbone and the way
    it is read: after shuffling, in other folds, in other processes and on other days. Rows are
    kept in memory and in files. Any number of threads and processes may use one folder at a
    time. It is a value: copies and clones of it share what they keep.

    Parameters
    ----------
    directory : str, path or None, default=None
        The folder, in which ~ is the home of this user; made when the first row is written. None
        takes that of the environment variable ``MLFUND_CACHE``, or else ``mlfund/embeddings`` in
        the place that the system has for caches of this user.
    max_bytes : int, default=2 GiB
        What the files may take. Those that were used longest ago are removed.
    memory_bytes : int, default=256 MiB
        What rows in the memory of a process may take.

    Raises
    ------
    ValueError
        If a size is not a positive integer.

    See Also
    --------
    BackboneFeatures : Embeddings as features, for a Pipeline.

    Notes
    -----
    Files are written whole or not at all, with a checksum for each row. What is damaged is
    computed again, with a warning, and so is what cannot be read; where nothing can be written,
    rows are kept in memory only. Values are float32, just as they were computed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from mlfund import EmbeddingCache
    >>> cache = EmbeddingCache(tempfile.mkdtemp(), max_bytes=10**9)
    >>> cache.info().n_rows
    0
    """

    directory: str | os.PathLike[str] | None = None
    max_bytes: int = MAX_BYTES
    memory_bytes: int = MEMORY_BYTES

    def __post_init__(self) -> None:
        check_positive("max_bytes", self.max_bytes, integer=True)
        check_positive("memory_bytes", self.memory_bytes, zero=True, integer=True)
        if self.directory is not None:
            object.__setattr__(self, "directory", os.fspath(self.directory))

    @property
    def path(self) -> Path | None:
        """The folder; None if `directory` is None and this user has no place for caches."""
        if self.directory is None:
            return default_path()
        return Path(os.path.expanduser(self.directory)).absolute()

    def get_or_compute(
        self,
        space: Space,
        keys: Sequence[bytes],
        compute: Compute,
        *,
        block_rows: int = BLOCK_ROWS,
        report: Report = lambda done, total: None,
    ) -> np.ndarray:
        """Return the embeddings of rows, and compute those that are not there.

        Parameters
        ----------
        space : Space
            Backbone, and how rows are read.
        keys : sequence of bytes
            Hash of the content of each row, 16 bytes.
        compute : callable
            From numbers of rows to their embeddings, float32 of shape (m, n_features). Rows of
            equal keys are asked for once. What it raises is raised; the rows before are kept.
        block_rows : int, default=256
            Rows that it is asked for at a time.
        report : callable, optional
            Told how many of how many distinct rows there are, before each block and at the end.

        Returns
        -------
        embeddings : ndarray of shape (n, n_features), float32
        """
        return self._store.get_or_compute(space, keys, compute, block_rows, report)

    def info(self) -> CacheInfo:
        """Return what the cache holds.

        Examples
        --------
        >>> import tempfile
        >>> from mlfund import EmbeddingCache
        >>> print(EmbeddingCache(tempfile.mkdtemp()).info())  # doctest: +ELLIPSIS
        0 rows, 0.0 MB of at most 2147.5 MB in ...
        """
        store, path = self._store, self.path
        backbones = []
        for folder, note in [] if path is None else row_folders(path):
            files = row_files(folder)
            backbones.append(
                BackboneRows(
                    backbone=name_today(note["backbone"]),
                    reading=", ".join(map(str, note.get("reading", []))),
                    # Workers that began at the same time may have written the same rows.
                    n_rows=len({key for file, _ in files for key in keys_of(file)}),
                    n_bytes=sum(stat.st_size for _, stat in files),
                )
            )
        return CacheInfo(
            path=path,
            max_bytes=self.max_bytes,
            backbones=tuple(rows for rows in backbones if rows.n_rows),
            n_found=store.n_found,
            n_computed=store.n_computed,
        )

    def clear(self, backbone: str | None = None) -> None:
        """Remove all embeddings, or those of a backbone, from the memory and the folder.

        Other files in the folder are left alone.

        Parameters
        ----------
        backbone : str, optional
            A name as `backbone` of the estimators takes it, or as `info` shows it. "unknown" is
            what rows are called where the note beside them is damaged.

        Raises
        ------
        ValueError
            If there is nothing of that name, which is not one of mlfund's backbones either.
        """
        named = {
            folder: name_today(note["backbone"])
            for folder, note in ([] if self.path is None else row_folders(self.path))
        }
        names = {*named.values(), *map(name_today, self._store.names())}
        meant = names if backbone is None else names_meant(str(backbone), names)
        for folder in [folder for folder, name in named.items() if name in meant]:
            for file, _ in row_files(folder):
                file.unlink(missing_ok=True)
            (folder / NOTE).unlink(missing_ok=True)
            # Another process may be writing into it.
            with suppress(OSError):
                folder.rmdir()
        self._store.forget()

    @property
    def _store(self) -> Store:
        return store_of(self.path, self.max_bytes, self.memory_bytes)

    def __sklearn_clone__(self) -> EmbeddingCache:
        """Return itself: a value."""
        return self


@dataclass(frozen=True)
class BackboneRows:
    """The rows of one backbone, read in one way.

    Attributes
    ----------
    backbone, reading : str
        Names for persons.
    n_rows : int
        Distinct rows in files.
    n_bytes : int
        Size of the files; rows that two processes wrote at once are in two of them.
    """

    backbone: str
    reading: str
    n_rows: int
    n_bytes: int


@dataclass(frozen=True)
class CacheInfo:
    """What an `EmbeddingCache` holds.

    Attributes
    ----------
    path : Path or None
        The folder.
    max_bytes : int
        What its files may take.
    backbones : tuple of BackboneRows
        What there is in files, one entry for each backbone and way of reading.
    n_found, n_computed : int
        Distinct rows that this process was asked for: those that were there, and the others.
    """

    path: Path | None
    max_bytes: int
    backbones: tuple[BackboneRows, ...]
    n_found: int
    n_computed: int

    @property
    def n_rows(self) -> int:
        """Distinct rows in files."""
        return sum(rows.n_rows for rows in self.backbones)

    @property
    def n_bytes(self) -> int:
        """Bytes of the files."""
        return sum(rows.n_bytes for rows in self.backbones)

    def __str__(self) -> str:
        """Return a line for the whole, and one for each backbone."""
        lines = [
            f"{self.n_rows} rows, {self.n_bytes / 1e6:.1f} MB of at most "
            f"{self.max_bytes / 1e6:.1f} MB in {self.path or 'memory'}"
        ]
        for rows in self.backbones:
            read = f" ({rows.reading})" if rows.reading else ""
            lines.append(
                f"  {rows.backbone}{read}: {rows.n_rows} rows, {rows.n_bytes / 1e6:.1f} MB"
            )
        return "\n".join(lines)


def default_path() -> Path | None:
    """Return the folder of embeddings that no parameter names, or None if there is none."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    caches = _user_caches()
    return None if caches is None else caches / "mlfund" / "embeddings"


def _user_caches() -> Path | None:
    """Return where the system keeps caches of this user."""
    variable = {"win32": "LOCALAPPDATA"}.get(sys.platform, "XDG_CACHE_HOME")
    given = os.environ.get(variable)
    if given and Path(given).is_absolute():
        return Path(given)
    try:
        home = Path.home()
    except (RuntimeError, KeyError):
        # A user without a home, as in some containers.
        return None
    own = {"win32": ("AppData", "Local"), "darwin": ("Library", "Caches")}
    return home.joinpath(*own.get(sys.platform, (".cache",)))


def get_store(cache: Any) -> Store:
    """Return where embeddings are kept.

    Parameters
    ----------
    cache : EmbeddingCache, str, path, bool or None
        True and None take the default folder; False keeps nothing.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if cache is False:
        return Store(None, 1, 0)
    if cache is None or cache is True:
        cache = EmbeddingCache()
    elif isinstance(cache, str | os.PathLike) and os.fspath(cache):
        cache = EmbeddingCache(cache)
    if not isinstance(cache, EmbeddingCache):
        raise ValueError(
            f"cache={cache!r} is not known; give an EmbeddingCache, the path of a folder, None "
            "for the default one, or False for none."
        )
    return cache._store
