"""Atomic writes and fingerprints of content.

Two promises the rest of the library builds on: a reader never sees a
half-written file, and equal content has an equal fingerprint in every process.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import inspect
import os
import secrets
import stat
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from types import ModuleType
from typing import IO, Any

import numpy as np

__all__ = ["atomic_write", "fingerprint", "source_of"]

_DIGEST_BYTES = 16
# Code of these packages is known by their versions; other code by its source.
_VERSIONED = ("mlfund", "torch", "numpy", "sklearn", "skorch", "builtins")


@contextmanager
def atomic_write(
    path: str | os.PathLike[str], mode: str = "wb", *, durable: bool = True
) -> Iterator[IO[Any]]:
    """Write a file completely or not at all.

    The content goes to a temporary file in the same folder, is flushed to the
    disk, and takes the place of `path` in one step when the block ends. When
    the block raises, `path` is left as it was and the temporary file is
    removed. Each writer has a temporary file of its own, so among concurrent
    writers the last one to finish wins and no mixture appears.

    Parameters
    ----------
    path : str or path-like
        The file to write. Its folder must exist. A symbolic link stays a link
        and its target is replaced. A device or pipe is written to directly.
    mode : {"wb", "w"}, default="wb"
        Bytes, or text in UTF-8 with Unix line ends on every system.
    durable : bool, default=True
        Whether the content is on the disk when the block ends. Without, which is faster, a
        power cut soon after may leave an empty or damaged file; a crash of the process not.

    Yields
    ------
    file : file object
        Open for writing.

    Raises
    ------
    ValueError
        If `mode` is neither ``"wb"`` nor ``"w"``.
    PermissionError
        If `path` exists and is read-only, or the folder is not writable.

    Notes
    -----
    A new file gets the permissions that ``open`` would give it, a replaced one
    keeps its own.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with atomic_write(folder / "note.txt", "w") as file:
    ...     _ = file.write("complete")
    >>> (folder / "note.txt").read_text()
    'complete'
    """
    if mode not in ("wb", "w"):
        raise ValueError(f"mode={mode!r} is not known. Allowed: 'wb', 'w'.")
    text: dict[str, Any] = {"encoding": "utf-8", "newline": "\n"} if mode == "w" else {}
    # realpath, so that a link keeps being a link and only its target is replaced
    target = Path(os.path.realpath(path))
    mode_bits = _replaceable_mode(target)
    if target.exists() and mode_bits is None:
        with open(target, mode, **text) as file:
            yield file
        return
    temporary = target.with_name(f".{target.name[:100]}.{os.getpid()}.{secrets.token_hex(6)}.tmp")
    # O_EXCL: never write through a file somebody else put there. 0o666 less the
    # umask is what open() gives; tempfile would give 0o600.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666)
    try:
        with open(descriptor, mode, **text) as file:
            if mode_bits is not None:
                os.chmod(temporary, mode_bits)
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        # also on KeyboardInterrupt: no litter, and the old file stays
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    if durable:
        _sync_folder(target.parent)


def _replaceable_mode(target: Path) -> int | None:
    """Permission bits of an existing regular file; None for anything else."""
    try:
        found = target.stat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(f"{target} is a folder. Give the path of a file.")
    if not stat.S_ISREG(found.st_mode):
        return None
    # os.replace needs write access to the folder only: without this check a
    # file its owner made read-only would be replaced silently.
    if not os.access(target, os.W_OK):
        raise PermissionError(f"{target} is read-only. Choose another path or make it writable.")
    return stat.S_IMODE(found.st_mode)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where folders can be synchronised."""
    if os.name != "posix":
        return
    # Some network file systems refuse to open or fsync a folder. The file is
    # complete by then; only its durability through a power cut is in question.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def fingerprint(*objects: Any) -> str:
    """Hash the content of objects, equal in every process and on every run.

    Parameters
    ----------
    *objects : object
        None, bool, numbers, strings, bytes, paths, enumerations, arrays,
        sparse matrices, tensors, DataFrames, Series, indexes, random states,
        dataclasses, classes, importable functions and partials of them, and
        lists, tuples, sets and dicts of these. A dict's order does not count,
        nor does the memory layout of an array. An estimator counts by its class
        and parameters, fitted or not.

    Returns
    -------
    digest : str of length 32
        Hexadecimal BLAKE2b digest of 128 bits.

    Raises
    ------
    TypeError
        If an object has no content that is stable between processes: a lambda,
        a local function, an open file, an object of an unknown class.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.arange(6.0).reshape(2, 3)
    >>> fingerprint(X, {"a": 1, "b": 2}) == fingerprint(X.copy("F"), {"b": 2, "a": 1})
    True
    >>> fingerprint(X) == fingerprint(X.astype("float32"))
    False
    """
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for item in objects:
        digest.update(_digest(item))
    return digest.hexdigest()


def _digest(item: Any) -> bytes:
    """Digest of one object. A fixed length makes concatenation unambiguous."""
    for encode in (_encode_scalar, _encode_array, _encode_table, _encode_container, _encode_object):
        parts = encode(item)
        if parts is not None:
            break
    else:
        raise TypeError(
            f"Cannot fingerprint an object of type {type(item).__module__}."
            f"{type(item).__qualname__}: its content is not stable between processes. "
            "Pass arrays, tables, plain values or estimators, and functions that can be imported."
        )
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    tag, *contents = parts
    digest.update(tag.encode() + b"\0")
    for content in contents:
        digest.update(content)
    return digest.digest()


def _encode_scalar(item: Any) -> tuple[Any, ...] | None:
    """Plain values. NumPy scalars count as the Python number they hold."""
    if isinstance(item, np.generic) and item.dtype.kind in "biufcUS":
        item = item.item()
    if item is None or isinstance(item, bool):
        return "constant", repr(item).encode()
    if isinstance(item, enum.Enum):
        return "enum", _name_of(type(item)), item.name.encode()
    if isinstance(item, int):
        return "int", str(item).encode()
    if isinstance(item, float):
        return "float", _float_bytes(item)
    if isinstance(item, complex):
        return "complex", _float_bytes(item.real), _float_bytes(item.imag)
    if isinstance(item, str):
        return "str", item.encode("utf-8", "surrogatepass")
    if isinstance(item, bytes | bytearray | memoryview):
        return "bytes", bytes(item)
    if isinstance(item, PurePath):
        return "path", str(item).encode("utf-8", "surrogatepass")
    return None


def _float_bytes(value: float) -> bytes:
    # one NaN only: their payload bits differ between platforms
    return b"nan" if value != value else struct.pack("<d", value)


def _encode_array(item: Any) -> tuple[Any, ...] | None:
    """Dense arrays, sparse matrices, tensors."""
    if isinstance(item, np.generic):
        item = np.asarray(item)
    if isinstance(item, np.ma.MaskedArray):
        return "masked", _digest(item.filled()), _digest(np.ma.getmaskarray(item))
    if isinstance(item, np.ndarray):
        return _encode_dense(item)
    from scipy import sparse

    if sparse.issparse(item):
        rows = item.tocsr(copy=True)
        rows.sum_duplicates()
        parts = (rows.data, rows.indices.astype(np.int64), rows.indptr.astype(np.int64))
        return "sparse", _digest(tuple(item.shape)), *map(_digest, parts)
    # A tensor can exist only where torch is already imported.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(item, torch.Tensor):
        values = item.detach().cpu().contiguous()
        kind = (str(values.dtype), tuple(values.shape))
        # bytes, since NumPy has no bfloat16
        raw = values.reshape(-1).view(torch.uint8) if values.numel() else values.new_empty(0)
        return "tensor", _digest(kind), raw.numpy().tobytes() if values.numel() else b""
    return None


def _encode_dense(item: np.ndarray) -> tuple[Any, ...]:
    if item.dtype.kind == "O":
        return "objects", _digest(item.shape), *map(_digest, item.ravel().tolist())
    if item.dtype.hasobject:
        fields = [(name, item[name]) for name in item.dtype.names or ()]
        return "record", _digest(fields)
    little = np.ascontiguousarray(item, dtype=item.dtype.newbyteorder("<"))
    kind = (repr(little.dtype.descr), item.shape)
    return "array", _digest(kind), little.reshape(-1).view(np.uint8).data


def _encode_table(item: Any) -> tuple[Any, ...] | None:
    """DataFrame, Series, Index and scalars of pandas, which is imported by whoever has one."""
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return None
    if isinstance(item, pandas.DataFrame):
        columns = [item.iloc[:, j] for j in range(item.shape[1])]
        return "frame", _digest(item.index), _digest(item.columns), *map(_column_digest, columns)
    if isinstance(item, pandas.Series):
        return "series", _digest(item.name), _digest(item.index), _column_digest(item)
    if isinstance(item, pandas.RangeIndex):
        return "range", _digest((item.start, item.stop, item.step, item.name))
    if isinstance(item, pandas.MultiIndex):
        levels = [item.get_level_values(j) for j in range(item.nlevels)]
        return "multiindex", *map(_digest, levels)
    if isinstance(item, pandas.Index):
        return "index", _digest(item.name), _column_digest(item)
    if item is pandas.NA or item is pandas.NaT:
        return "missing", repr(item).encode()
    if isinstance(item, pandas.Timestamp | pandas.Timedelta | pandas.Period | pandas.Interval):
        return "pandas", type(item).__name__.encode(), repr(item).encode()
    if isinstance(item, pandas.api.extensions.ExtensionDtype):
        return "dtype", repr(item).encode()
    return None


def _column_digest(column: Any) -> bytes:
    """Digest of the values of a Series or Index, without its name and index."""
    pandas = sys.modules["pandas"]
    dtype = column.dtype
    kind = _digest(str(dtype))
    if isinstance(dtype, pandas.CategoricalDtype):
        values = getattr(column, "cat", column)
        return kind + _digest((dtype.ordered, dtype.categories, np.asarray(values.codes)))
    if isinstance(dtype, pandas.StringDtype) or _only_strings(column):
        # 40,000 strings take 1.5 s one by one; their codes and distinct values do not
        codes, distinct = pandas.factorize(column)
        return kind + _digest((codes, np.asarray(distinct, dtype=object)))
    if isinstance(dtype, pandas.DatetimeTZDtype):
        return kind + _digest(column.astype("int64").to_numpy())
    if isinstance(dtype, np.dtype):
        return kind + _digest(column.to_numpy())
    return kind + _digest(column.to_numpy(dtype=object))


def _only_strings(column: Any) -> bool:
    if column.dtype != object:
        return False
    infer = sys.modules["pandas"].api.types.infer_dtype
    return bool(infer(column, skipna=True) == "string")


def _encode_container(item: Any) -> tuple[Any, ...] | None:
    if isinstance(item, list | tuple):
        return ("list" if isinstance(item, list) else "tuple"), *map(_digest, item)
    if isinstance(item, Mapping):
        return "dict", *sorted(_digest(key) + _digest(value) for key, value in item.items())
    if isinstance(item, set | frozenset):
        return "set", *sorted(map(_digest, item))
    if isinstance(item, slice | range):
        return type(item).__name__, _digest((item.start, item.stop, item.step))
    return None


def _encode_object(item: Any) -> tuple[Any, ...] | None:
    """Objects with parameters or fields, and whatever has an import path."""
    if isinstance(item, type):
        return "class", _name_of(item)
    if isinstance(item, np.dtype):
        return "dtype", repr(item.descr if item.names else item.str).encode()
    if isinstance(item, np.random.RandomState):
        return "random_state", _digest(item.get_state(legacy=False))
    if isinstance(item, np.random.Generator):
        return "generator", _digest(item.bit_generator.state)
    if dataclasses.is_dataclass(item):
        fields = {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
        return "dataclass", _name_of(type(item)), _digest(fields)
    if hasattr(item, "get_params"):
        return "estimator", _name_of(type(item)), _digest(item.get_params(deep=False))
    if isinstance(item, functools.partial):
        return "partial", _digest([item.func, item.args, item.keywords])
    if callable(item) and hasattr(item, "__qualname__") and hasattr(item, "__module__"):
        # a bound method acts by its object too; a builtin is bound to its module
        owner = getattr(item, "__self__", None)
        bound = None if isinstance(owner, ModuleType) else owner
        return "function", _name_of(item), _digest(bound)
    return None


def _name_of(item: Any) -> bytes:
    """Import path; refused where none leads back to the object."""
    name = item.__qualname__
    if "<" in name:
        raise TypeError(
            f"Cannot fingerprint {name}: it was defined inside a function or as a lambda. "
            "Move it to the top level of a module."
        )
    return f"{item.__module__}.{name}".encode()


def source_of(code: Any) -> str | None:
    """Return the source of a function or class of the user's; None where there is none.

    A name does not change when somebody edits what it stands for. None for packages whose
    version tells it, and for what was typed into a prompt.

    Examples
    --------
    >>> import textwrap
    >>> from mlfund._files import source_of
    >>> source_of(textwrap.dedent).splitlines()[0], source_of(print)
    ('def dedent(text):', None)
    """
    module = getattr(code, "__module__", None) or ""
    if module.partition(".")[0] in _VERSIONED:
        return None
    with suppress(OSError, TypeError):
        return inspect.getsource(code)
    return None
