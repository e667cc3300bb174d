"""What kind of column is this? Decided once, in fit, from the rows given."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlfund._check import DataError
from mlfund.preprocessing import _cells
from mlfund.preprocessing._cells import Labels

KINDS = ("numeric", "boolean", "categorical", "datetime", "text")

# A column of strings is free text from this many words a value, on average ...
TEXT_WORDS = 3.0
# ... if it also has more distinct values than a person would list, for its number of rows.
TEXT_MIN_LEVELS, TEXT_MAX_LEVELS = 10, 40

# Contents of an object column, in the words of pandas.api.types.infer_dtype.
_NUMBER_CONTENTS = frozenset(
    {"integer", "floating", "decimal", "mixed-integer-float", "timedelta", "timedelta64"}
)


@dataclass(frozen=True)
class Column:
    """One column as fit found it.

    Attributes
    ----------
    position, name : int, Hashable
        Where it stands in the table, and what it is called there.
    kind : str
        One of KINDS, or "empty" (no value at all) or "drop" (left out on request).
    cells : Any
        The cells as read for that kind: floats, Labels, datetime64[us] or strings.
    date_format, timezone : str
        How dates kept as text are written; the zone on whose clock dates are read.
    """

    position: int
    name: Hashable
    kind: str
    cells: Any = None
    date_format: str = ""
    timezone: str = ""


def inspect_column(position: int, column: pd.Series, wanted: str | None) -> Column:
    """Find the kind of a column, or take the `wanted` one, and read its cells."""
    if wanted == "drop":
        return Column(position, column.name, "drop")
    date_format, labels = "", None
    found = _kind_of_dtype(column.dtype)
    if found is None:
        labels = _cells.read_labels(column)
        found, date_format = _kind_of_cells(column, labels)
        if wanted == "datetime":
            date_format = _cells.date_format_of(labels.levels, of_all=False) or ""
    kind = wanted or found
    cells = _read(kind, column, labels, date_format, _zone_of(column))
    if not _any_value(kind, cells):
        if wanted and column.notna().any():
            raise DataError(
                f"kinds[{column.name!r}]={wanted!r}, but no value of that column can be read so "
                f"(the first is {column.dropna().iloc[0]!r}); convert the column, or leave it out "
                "of kinds."
            )
        return Column(position, column.name, "empty")
    return Column(position, column.name, kind, cells, date_format, _zone_of(column))


def _kind_of_dtype(dtype: Any) -> str | None:
    """Return the kind that the dtype alone settles; None where the cells must be looked at."""
    if isinstance(dtype, pd.CategoricalDtype):
        return "categorical"
    if isinstance(dtype, pd.PeriodDtype):
        return "datetime"
    kind = getattr(dtype, "kind", "O")
    return {"b": "boolean", "M": "datetime"}.get(kind, "numeric" if kind in "iufcm" else None)


def _kind_of_cells(column: pd.Series, labels: Labels) -> tuple[str, str]:
    """Return the kind of a column of objects or strings, and its date format."""
    content = "string"
    if column.dtype == object:
        content = pd.api.types.infer_dtype(column.to_numpy(), skipna=True)
    if content == "boolean":
        return "boolean", ""
    if content in ("datetime", "datetime64", "date"):
        return "datetime", "ISO8601"
    if content in _NUMBER_CONTENTS or _cells.all_numbers(labels.levels):
        return "numeric", ""
    date_format = _cells.date_format_of(labels.levels)
    if date_format is not None:
        return "datetime", date_format
    return ("text" if _is_free_text(labels) else "categorical"), ""


def _is_free_text(labels: Labels) -> bool:
    n_levels, n_values = len(labels.levels), int((labels.codes >= 0).sum())
    if n_levels <= max(TEXT_MIN_LEVELS, min(TEXT_MAX_LEVELS, n_values // 2)):
        return False
    return bool(np.mean([len(level.split()) for level in labels.levels]) >= TEXT_WORDS)


def _read(kind: str, column: pd.Series, labels: Labels | None, form: str, zone: str) -> Any:
    if kind == "categorical":
        return labels or _cells.read_labels(column)
    if kind == "datetime":
        return _cells.read_instants(column, form, zone)
    if kind == "text":
        return _cells.read_texts(column)
    return _cells.read_numbers(column)


def _zone_of(column: pd.Series) -> str:
    dtype = column.dtype
    zone = getattr(dtype, "tz", None)
    if isinstance(dtype, pd.ArrowDtype) and dtype.kind == "M":
        zone = getattr(dtype.pyarrow_dtype, "tz", None)
    return str(zone) if zone else ""


def _any_value(kind: str, cells: Any) -> bool:
    if kind == "categorical":
        return bool((cells.codes >= 0).any())
    if kind == "text":
        return any(text.strip() for text in cells)
    return not bool(pd.isna(cells).all())
