"""Delimited text files: encoding, delimiter, ragged rows, marks of missing values.

The file is walked once by the `csv` module, which knows line numbers, and then
parsed by pandas, which is fast: pandas alone fills short rows up with missing
values in silence and renames repeated columns.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

import pandas as pd

from mlfund._check import DataError
from mlfund.advisor._values import MISSING, clean_text

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}

_SNIFFED_ROWS = 100
# A column of postal or article codes shows one that begins with 0 among its first rows.
_ROWS_SEARCHED_FOR_CODES = 1000
_GZIP_MAGIC = b"\x1f\x8b"
_FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel workbook; export it as csv",
    b"PAR1": "a parquet file; name it .parquet",
    b"ARROW1": "a feather file; name it .feather",
    b"%PDF": "a PDF document; export the table as csv",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; export it as csv",
}


@dataclass(frozen=True)
class _Layout:
    """What the walk over the file found."""

    header: list[str]
    codes: set[str]
    last_row_line: int
    encoding: str
    delimiter: str


def read_delimited(
    path: Path,
    *,
    delimiter: str | None = None,
    target: str | None = None,
    as_text: Collection[str] = (),
) -> tuple[pd.DataFrame, list[str]]:
    """Read a delimited text file, plain or gzipped.

    Parameters
    ----------
    path : Path
        An existing file.
    delimiter : str of length 1, optional
        The default finds comma, semicolon, tab or pipe by itself.
    target : str, optional
        A text column in which ``?`` is a label, not a missing value.
    as_text : collection of str
        Columns in which digits stay text.

    Returns
    -------
    frame : DataFrame
        The table; numbers, booleans and text.
    notes : list of str
        One sentence for each thing the reader decided that a person should know.

    Raises
    ------
    DataError
        If the file is empty, no text, or has rows of unequal length.
    """
    layout, notes = _walk(path, delimiter)
    as_text = layout.codes.union(as_text).intersection(layout.header)
    try:
        frame = pd.read_csv(
            path,
            sep=layout.delimiter,
            header=0,
            names=layout.header,
            dtype=dict.fromkeys(as_text, str),
            encoding=layout.encoding,
            compression="gzip" if _is_gzip(path) else None,
            index_col=False,
            skipinitialspace=True,
            keep_default_na=False,
            na_values=list(MISSING),
            low_memory=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        if "EOF inside string" in str(error):
            line = layout.last_row_line
            raise DataError(
                f"{path.name}, line {line}: a quotation mark opens there and is never closed."
            ) from error
        raise DataError(f"{path.name} cannot be read as a table: {_one_line(error)}.") from error
    frame, header_notes = _name_the_nameless(frame)
    frame, value_notes = clean_text(frame, layout.delimiter, target, as_text)
    return frame, [*notes, *header_notes, *value_notes]


def _walk(path: Path, delimiter: str | None) -> tuple[_Layout, list[str]]:
    """Find encoding and delimiter, and check each row against the header."""
    encoding = _encoding_of_head(path)
    try:
        return _check_rows(path, encoding, delimiter), []
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise DataError(f"{path.name} is not valid {encoding.upper()} text.") from error
        byte = error.object[error.start]
    note = (
        f"{path.name} is not UTF-8 (it holds the byte 0x{byte:02x}) and was read as Latin-1; "
        "check that accented letters look right."
    )
    return _check_rows(path, "latin-1", delimiter), [note]


def _check_rows(path: Path, encoding: str, delimiter: str | None) -> _Layout:
    with _open_text(path, encoding) as file:
        sample = "".join(islice(file, _SNIFFED_ROWS))
        if not sample.strip():
            raise DataError(f"{path.name} is empty.")
    delimiter = delimiter or _sniff(sample, first=_delimiter_of_suffix(path))
    with _open_text(path, encoding) as file, _long_fields_allowed():
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
        rows = _filled_rows(reader, path)
        _, header = next(rows, (0, []))
        if not any(name.strip() for name in header):
            raise DataError(f"{path.name} has no column names in its first line.")
        header = [name.strip() for name in header]
        _check_header(header, path)
        header = [name or f"Unnamed: {position}" for position, name in enumerate(header)]
        line, codes, unread = 0, set[str](), _ROWS_SEARCHED_FOR_CODES
        for line, row in rows:
            if len(row) != len(header):
                raise _ragged(path, line, reader.line_num, row, header)
            if unread:
                codes.update(name for name, cell in zip(header, row, strict=True) if _is_code(cell))
                unread -= 1
    if line == 0:
        raise DataError(f"{path.name} has a header line but no rows.")
    return _Layout(header, codes, line, encoding, delimiter)


def _filled_rows(reader: Any, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line on which the row begins, row), blank lines left out as pandas does."""
    begin = 1
    try:
        for row in reader:
            if len(row) > 1 or (row and row[0].strip()):
                yield begin, row
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path.name}, line {begin}, cannot be read: {error}.") from error
    except (gzip.BadGzipFile, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{path.name} is a damaged gzip file ({error}).") from error


def _ragged(path: Path, line: int, last: int, row: list[str], header: list[str]) -> DataError:
    message = (
        f"{path.name}, line {line}, has {_count(len(row), 'field')} where the header has "
        f"{len(header)}"
    )
    if last - line > 10:
        return DataError(
            f"{message}; a quotation mark that opens there is closed only on line {last}."
        )
    if len(row) == len(header) + 1 and line == 2:
        return DataError(
            f"{message}; if each row starts with a row name, give that column a name in line 1."
        )
    return DataError(
        f"{message}; mend the line or put quotes around values with a delimiter in them."
    )


def _check_header(header: list[str], path: Path) -> None:
    repeated = [name for name, times in Counter(header).items() if times > 1 and name]
    if repeated:
        where = [str(i + 1) for i, name in enumerate(header) if name == repeated[0]]
        raise DataError(
            f"{path.name} has several columns named {repeated[0]!r} (columns {', '.join(where)}); "
            "rename them so that each name is unique."
        )


def _is_code(cell: str) -> bool:
    """Tell 01234, a code that loses its zero as a number, from 0 and 0.5."""
    return cell[:1] == "0" and len(cell) > 1 and cell.isdecimal()


def _sniff(sample: str, first: str | None) -> str:
    """Return the delimiter under which most rows have as many fields as the header."""
    order = sorted(DELIMITERS, key=lambda mark: mark != first)
    best, best_score = order[0] if first else ",", 0.0
    for mark in order:
        rows = csv.reader(io.StringIO(sample, newline=""), delimiter=mark, skipinitialspace=True)
        with _long_fields_allowed():
            lengths = [len(row) for row in rows if row]
        # the sample may end inside a quoted value
        body = lengths[1:-1] or lengths[1:]
        if not lengths or lengths[0] < 2:
            continue
        agreeing = sum(length == lengths[0] for length in body) / len(body) if body else 1.0
        score = agreeing + 1e-3 * min(lengths[0], 500) / 500
        if score > best_score:
            best, best_score = mark, score
    return best


def guess_delimiter(header: str, target: str) -> str | None:
    """Return the mark that splits a header line so that `target` is one of the names.

    Examples
    --------
    >>> guess_delimiter("age:job:income", "income")
    ':'
    """
    marks = sorted({c for c in header if not c.isalnum() and c not in "_\"'"}, key=header.index)
    for mark in marks:
        if target in [name.strip(" \"'") for name in header.split(mark)]:
            return mark
    return None


def _name_the_nameless(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Drop empty columns without a name (a delimiter at the end of each line); name the others."""
    notes, names, keep = [], [], []
    for position, name in enumerate(frame.columns):
        is_named = not str(name).startswith("Unnamed: ") or bool(
            frame.iloc[:, position].notna().any()
        )
        keep.append(is_named)
        names.append(name)
        if is_named and name == f"Unnamed: {position}":
            notes.append(
                f"Column {position + 1} has no name in the header and is called {name!r}; "
                f"if it is a row number, add --ignore {name!r}."
            )
    frame.columns = pd.Index(names)
    return frame.loc[:, keep], notes


def _encoding_of_head(path: Path) -> str:
    """Read the first bytes: byte-order marks, and files that are no text at all."""
    try:
        with _open_bytes(path) as file:
            head = file.read(4096)
    except (gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"{path.name} is a damaged gzip file ({error}).") from error
    for magic, description in _FOREIGN.items():
        if head.startswith(magic):
            raise DataError(f"{path.name} is not a text file but {description}.")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\0" in head:
        raise DataError(f"{path.name} is not a text file: it holds null bytes.")
    return "utf-8-sig"


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == _GZIP_MAGIC


def _open_bytes(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if _is_gzip(path) else path.open("rb")


def _open_text(path: Path, encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(_open_bytes(path), encoding=encoding, newline="")


def _delimiter_of_suffix(path: Path) -> str | None:
    return "\t" if ".tsv" in (suffix.lower() for suffix in path.suffixes) else None


@contextmanager
def _long_fields_allowed() -> Iterator[None]:
    """Lift the csv module's limit of 131,072 characters a field; free text can be longer."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
