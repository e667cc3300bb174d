"""From the cells of one column to arrays: numbers, labels, instants, texts.

Every function here treats each cell by itself, so a row reads the same alone or among others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlfund._check import DataError

# What people write for "no value" in a column of numbers kept as text.
MISSING_WORDS = frozenset({"", "-", ".", "?", "n/a", "na", "nan", "nat", "none", "null", "<na>"})

# Tried in this order on columns of text; each must read every value that is not missing.
# "ISO8601" is pandas' name for all forms of that standard; month-first comes before day-first.
DATE_FORMATS = (
    "ISO8601",
    "%Y/%m/%d",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%Y",
    "%Y/%m/%d %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y %H:%M",
    "%d.%m.%Y %H:%M",
)
_DATE_SHAPE = re.compile(r"\s*(\d{4}[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{4})")
# "007" and "01234" are codes: as numbers they would lose their zeros.
_CODE_SHAPE = re.compile(r"\s*[+-]?0\d")

# Squares of values up to this size can be summed over 1e8 rows without overflow.
LARGEST_NUMBER = 1e150

MICROSECOND = np.dtype("datetime64[us]")


@dataclass(frozen=True)
class Labels:
    """A column of categories: row i holds ``levels[codes[i]]``, or nothing where the code is -1."""

    codes: np.ndarray
    levels: list[str]
    ordered: bool = False


def level_name(value: Any) -> str:
    """Return one spelling for equal values: 1, 1.0 and "1" are the same level."""
    if type(value) is str:
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def is_missing(value: Any) -> bool:
    """Say whether a single cell holds None, NaN, NaT or pandas.NA."""
    missing = pd.isna(value)
    return missing is True or (isinstance(missing, np.bool_) and bool(missing))


def read_labels_of_few(column: pd.Series) -> Labels:
    """Read a few cells as categories, without regard to the order of an ordered dtype.

    A cell at a time costs 10 us, against 250 us for a column of one cell in `read_labels`.
    """
    cells = column.array
    values = [cells[i] for i in range(len(cells))]
    names = [None if is_missing(value) else level_name(value) for value in values]
    position: dict[str | None, int] = {name: i for i, name in enumerate(dict.fromkeys(names))}
    codes = [-1 if name is None else position[name] for name in names]
    # None, where there is one, keeps its place in the list; no code points to it.
    levels = ["" if name is None else name for name in position]
    return Labels(np.array(codes, dtype=np.intp), levels)


def read_labels(column: pd.Series) -> Labels:
    """Read a column of any dtype as categories.

    Levels come in order of appearance, or in the order of an ordered category dtype; only
    levels that occur in the column are listed.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _read_categorical(column.array)
    if column.dtype == object:
        column = _spelled_out(column)
    codes, values = pd.factorize(column)
    return _distinct(Labels(codes, [level_name(value) for value in values.tolist()]))


def _read_categorical(cells: pd.Categorical) -> Labels:
    codes, levels = cells.codes, cells.categories
    present = np.bincount(codes[codes >= 0], minlength=len(levels)) > 0
    if not present.all():
        position = np.cumsum(present) - 1
        codes = np.where(codes >= 0, position[codes], -1)
        levels = levels[present]
    names = [level_name(value) for value in levels.tolist()]
    return _distinct(Labels(codes.astype(np.intp), names, bool(cells.ordered)))


def _spelled_out(column: pd.Series) -> pd.Series:
    """Spell mixed cells as text one by one, since hash tables take 1, 1.0 and True as equal."""
    if pd.api.types.infer_dtype(column.to_numpy(), skipna=True) in ("string", "empty"):
        return column
    names = [None if is_missing(value) else level_name(value) for value in column.tolist()]
    return pd.Series(names, dtype=object)


def _distinct(labels: Labels) -> Labels:
    """Merge levels that differ in type only, such as 1 and "1"."""
    position = {name: i for i, name in enumerate(dict.fromkeys(labels.levels))}
    if len(position) == len(labels.levels):
        return labels
    merged = np.array([position[name] for name in labels.levels], dtype=np.intp)
    codes = np.where(labels.codes >= 0, merged[labels.codes], -1)
    return Labels(codes, list(position), labels.ordered)


def read_numbers(column: pd.Series) -> np.ndarray:
    """Read a column as floats; what is no finite number becomes NaN.

    Durations are read in seconds. float32 stays float32, all else becomes float64.
    """
    dtype = column.dtype
    kind = getattr(dtype, "kind", "O")
    if kind == "c":
        raise ValueError(f"Complex data not supported; column {column.name!r} is complex.")
    if kind == "M":
        raise DataError(
            f"Column {column.name!r} holds dates where numbers are expected; "
            "give it as in fit, or convert it first."
        )
    if kind == "m":
        values = pd.to_timedelta(column).dt.total_seconds().to_numpy(np.float64)
    elif isinstance(dtype, np.dtype) and kind in "biuf":
        values = column.to_numpy()
    elif kind in "biuf":
        values = column.to_numpy(np.float64, na_value=np.nan)
    elif isinstance(dtype, pd.CategoricalDtype):
        levels = read_numbers(pd.Series(column.cat.categories))
        values = np.append(levels, np.nan)[column.cat.codes]
    else:
        values = _parsed_numbers(column.to_numpy(object, na_value=None))
    return finite(values)


def _parsed_numbers(cells: np.ndarray) -> np.ndarray:
    values = pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce")
    return values.to_numpy(np.float64, na_value=np.nan)


def finite(values: np.ndarray) -> np.ndarray:
    """Return a fresh float array: infinite becomes NaN, size is limited to 1e150."""
    values = values.astype(np.float64) if values.dtype != np.float32 else values.copy()
    values[np.isinf(values)] = np.nan
    if values.dtype == np.float64:
        np.clip(values, -LARGEST_NUMBER, LARGEST_NUMBER, out=values)
    return values


def read_instants(column: pd.Series, date_format: str, timezone: str) -> np.ndarray:
    """Read a column as datetime64[us] on the clock of `timezone` ("" for dates without one).

    Dates kept as text are read by `date_format`; what cannot be read becomes NaT.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    if getattr(column.dtype, "kind", "O") != "M":
        cells = pd.Series(column.to_numpy(object, na_value=None), dtype=object)
        how = date_format or "ISO8601"
        column = pd.to_datetime(cells, format=how, errors="coerce", utc=True)
    if isinstance(column.dtype, pd.ArrowDtype):
        column = pd.to_datetime(column.astype(_numpy_datetime(column.dtype)))
    zone = column.dt.tz
    if zone is not None:
        column = column.dt.tz_convert(timezone or "UTC").dt.tz_localize(None)
    return column.to_numpy(MICROSECOND)


def _numpy_datetime(dtype: pd.ArrowDtype) -> str | pd.DatetimeTZDtype:
    zone = getattr(dtype.pyarrow_dtype, "tz", None)
    return pd.DatetimeTZDtype("us", zone) if zone else "datetime64[us]"


def read_texts(column: pd.Series) -> list[str]:
    """Read a column as strings; a missing cell becomes the empty string."""
    cells = column.to_numpy(object).tolist()
    return ["" if is_missing(value) else level_name(value) for value in cells]


def all_numbers(levels: list[str]) -> bool:
    """Say whether every level is a number, or a word for a missing one, and none is a code."""
    words = [level for level in levels if level.strip().lower() not in MISSING_WORDS]
    if not words or any(_CODE_SHAPE.match(word) for word in words):
        return False
    return not np.isnan(_parsed_numbers(np.array(words, dtype=object))).any()


def date_format_of(levels: list[str], *, of_all: bool = True) -> str | None:
    """Return the first of DATE_FORMATS that reads every level, or None.

    With ``of_all=False``, the one that reads most of them, None if that is none at all.
    """
    words = [level for level in levels if level.strip().lower() not in MISSING_WORDS]
    if of_all and not all(_DATE_SHAPE.match(word) for word in words):
        return None
    cells = pd.Series(words, dtype=object)
    most, best = 0, None
    for form in DATE_FORMATS:
        n_read = int(pd.to_datetime(cells, format=form, errors="coerce", utc=True).notna().sum())
        if n_read > most:
            most, best = n_read, form
        if n_read == len(words):
            break
    return best if most == len(words) or not of_all else None
