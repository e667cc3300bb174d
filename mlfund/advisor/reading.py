"""Tables from files: csv, tsv (plain or gzipped), parquet, feather.

The result has plain dtypes, whatever the file brought: numbers and booleans of
NumPy, text, pandas categories and dates. What the reader had to decide is said
in notes, which the advisor repeats as warnings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mlfund._check import DataError, nearest
from mlfund.advisor._delimited import DELIMITERS, guess_delimiter, read_delimited

_TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
_COLUMNAR_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".parquet": pd.read_parquet,
    ".pq": pd.read_parquet,
    ".feather": pd.read_feather,
}
READABLE = "csv, tsv, csv.gz, tsv.gz, parquet or feather"


@dataclass(frozen=True)
class TableFile:
    """A table and how it came out of its file.

    Attributes
    ----------
    frame : DataFrame
        One row an observation.
    name : str
        Name of the file without its folder.
    notes : tuple of str
        What the reader decided, a sentence each.
    """

    frame: pd.DataFrame
    name: str
    notes: tuple[str, ...] = ()


def read_table(
    path: str | os.PathLike[str],
    *,
    delimiter: str | None = None,
    target: str | None = None,
    as_text: Collection[str] = (),
) -> TableFile:
    r"""Read a table from a file; the suffix tells the format.

    Parameters
    ----------
    path : str or path-like
        A file that ends in .csv, .tsv or .txt (each also with .gz), .parquet, .pq or .feather.
    delimiter : str of length 1, optional
        For text files; the default finds comma, semicolon, tab or pipe by itself.
    target : str, optional
        A text column in which ``?`` is a label, not a missing value.
    as_text : collection of str
        Columns of a text file in which digits stay text.

    Returns
    -------
    table : TableFile
        The table and the reader's notes.

    Raises
    ------
    DataError
        If there is no such file, its kind is unknown, or it cannot be read; the
        message is one sentence that names the file, and the line where there is one.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "houses.csv"
    >>> _ = file.write_text("size;price\n70,5;1200\n?;900\n")
    >>> table = read_table(file)
    >>> table.frame["price"].tolist()
    [1200, 900]
    """
    path = Path(path)
    kind = _kind(path)
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path.name} is empty.")
        if kind in _TEXT_SUFFIXES:
            frame, notes = read_delimited(path, delimiter=delimiter, target=target, as_text=as_text)
        else:
            frame, notes = _read_columnar(path, kind)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    if frame.shape[0] == 0:
        raise DataError(f"{path.name} has columns but no rows.")
    return TableFile(frame, path.name, tuple(notes))


def split_target(
    table: TableFile, target: str, ignore: Sequence[str] = ()
) -> tuple[pd.DataFrame, pd.Series]:
    """Return features and target of a table.

    Raises
    ------
    DataError
        If the target or an ignored column is not there (the nearest name is suggested),
        or no column is left to learn from.
    """
    names = list(table.frame.columns)
    if target not in names:
        raise DataError(_no_target(table, target))
    for name in ignore:
        if name not in names:
            raise DataError(
                f"--ignore names the column {name!r}, which {table.name} does not have"
                f"{_suggest(name, names)}"
            )
    if target in ignore:
        raise DataError(f"{target!r} is both the target and in --ignore; take it out of one.")
    X = table.frame.drop(columns=[target, *ignore])
    if X.shape[1] == 0:
        raise DataError(
            f"{table.name} has no column left to learn from besides the target {target!r}"
            f"{' and the ignored ones' if ignore else ''}."
        )
    return X, table.frame[target]


def _kind(path: Path) -> str:
    """Return the suffix that tells the format, or raise for what is no readable file."""
    if path.is_dir():
        raise DataError(f"{path} is a folder; give the path of one {READABLE} file.")
    if not path.exists():
        raise DataError(f"There is no file {path}{_did_you_mean(path.name, _siblings(path))}")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = (
        suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else "".join(suffixes[-1:])
    )
    if kind in _TEXT_SUFFIXES or (kind in _COLUMNAR_READERS and suffixes[-1] != ".gz"):
        return kind
    shown = f"files of type {''.join(suffixes[-2:])!r}" if suffixes else "files without a suffix"
    raise DataError(f"{path.name} cannot be read: {shown} are unknown; give {READABLE}.")


def _read_columnar(path: Path, kind: str) -> tuple[pd.DataFrame, list[str]]:
    import pyarrow
    from pyarrow import parquet

    try:
        if kind != ".feather":
            # before pandas, which reads such a file with an error about something else
            _check_unique(parquet.read_schema(path).names, path)
        frame = _COLUMNAR_READERS[kind](path)
    except DataError:
        raise
    except (pyarrow.ArrowException, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(f"{path.name} cannot be read as {kind[1:]}: {reason}.") from error
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    frame.columns = pd.Index([str(name) for name in frame.columns])
    _check_unique(list(frame.columns), path)
    return _plain_dtypes(frame.reset_index(drop=True))


def _check_unique(names: Sequence[str], path: Path) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(
                f"{path.name} has several columns named {name!r}; "
                "rename them so that each name is unique."
            )
        seen.add(name)


def _plain_dtypes(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Bring nullable, Arrow and object columns to dtypes that scikit-learn knows."""
    notes, columns = [], {}
    for name in frame.columns:
        column = _plain(frame[name])
        if column is None:
            notes.append(
                f"Column {name!r} holds lists or records and was left out; "
                "write their parts into columns of their own."
            )
        else:
            columns[name] = column
    return pd.DataFrame(columns, index=frame.index), notes


def _plain(column: pd.Series) -> pd.Series | None:
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype | pd.StringDtype | pd.DatetimeTZDtype):
        return column
    if isinstance(dtype, pd.ArrowDtype) or dtype.kind == "O":
        return _plain_object(column)
    if pd.api.types.is_extension_array_dtype(dtype):
        if pd.api.types.is_bool_dtype(dtype):
            return column.astype("object" if column.hasnans else "bool")
        # Int64, Float32, Sparse[int] ... know the NumPy dtype they stand for
        plain = getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", None))
        if plain is None:
            return _plain_object(column)
        return column.astype("float64" if column.hasnans else plain)
    return column.astype("float32") if dtype == "float16" else column


def _plain_object(column: pd.Series) -> pd.Series | None:
    """Decide by the values; None for lists, records and other things that are no cell."""
    values = column.astype(object).where(column.notna(), None)
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind in ("integer", "floating", "mixed-integer-float", "decimal"):
        return pd.to_numeric(values.astype("float64"))
    if kind in ("date", "datetime", "datetime64"):
        return pd.to_datetime(values)
    if kind in ("string", "boolean", "empty"):
        return values
    if kind == "bytes":
        return values.map(lambda value: value.decode("utf-8", "replace"), na_action="ignore")
    if values.map(
        lambda value: isinstance(value, str | int | float | bool), na_action="ignore"
    ).all():
        return values.map(str, na_action="ignore")
    return None


def _no_target(table: TableFile, target: str) -> str:
    names = list(table.frame.columns)
    if len(names) == 1:
        mark = guess_delimiter(names[0], target)
        if mark is not None:
            shown = DELIMITERS.get(mark, mark)
            return (
                f"{table.name} was read as a single column named {names[0]!r}; values look "
                f"separated by {shown!r}, so add --delimiter {_shell(mark)}."
            )
    if all(_is_number(name) for name in names):
        return (
            f"{table.name} has no column {target!r}: its first line holds numbers, not names; "
            "add a line of column names."
        )
    return f"{table.name} has no column {target!r}{_suggest(target, names)}"


def _did_you_mean(name: str, names: Sequence[str]) -> str:
    found = nearest(name, names)
    return "." if found is None else f"; did you mean {found!r}?"


def _suggest(name: str, names: Sequence[str]) -> str:
    """End a sentence about a column that is not there."""
    if nearest(name, names) is not None:
        return _did_you_mean(name, names)
    listed = ", ".join(repr(known) for known in names[:8])
    return f"; there is {listed}{f' and {len(names) - 8} more' if len(names) > 8 else ''}."


def _siblings(path: Path) -> list[str]:
    """Return names of readable tables in the folder of a path that does not exist."""
    known = (*_TEXT_SUFFIXES, *_COLUMNAR_READERS)
    if not path.parent.is_dir():
        return []
    names = [item.name for item in path.parent.iterdir()]
    return sorted(name for name in names if any(suffix in name.lower() for suffix in known))


def _shell(mark: str) -> str:
    return "$'\\t'" if mark == "\t" else f"'{mark}'"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
