"""Values of text columns: placeholders for missing values, decimal commas, huge integers."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

import pandas as pd

# Missing in every column. "None" is not among them: as text it can be a level of its own.
MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "<NA>", "#N/A", "#NA")

# Missing in a column whose other values are all numbers.
_MISSING_AMONG_NUMBERS = ("?", "-", "--", ".", "*", "None", "none", "missing", "unknown")


def clean_text(
    frame: pd.DataFrame, delimiter: str, target: str | None, as_text: Collection[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Turn placeholders into missing values, and text that is all numbers into numbers.

    Parameters
    ----------
    frame : DataFrame
        As pandas read it; changed in place.
    delimiter : str
        Of the file: where it is the comma, a comma inside a value is no decimal mark.
    target : str or None
        Column in which ``?`` stays a label.
    as_text : collection of str
        Columns that stay text even where they hold nothing but digits.

    Returns
    -------
    frame : DataFrame
        The same table.
    notes : list of str
        What was changed, a sentence each.
    """
    notes: list[str] = []
    marked: dict[str, int] = {}
    for name in frame.select_dtypes(exclude=["number", "bool"]).columns:
        is_text = name in as_text
        column, mark_count = _unmark(
            frame[name], keep_question_mark=name == target, numbers_allowed=not is_text
        )
        if mark_count:
            marked[name] = mark_count
        elif is_text:
            continue
        elif delimiter != "," and _has_decimal_commas(column):
            column = pd.to_numeric(column.str.replace(",", ".", regex=False))
            notes.append(f"Column {name!r} has decimal commas and was read as numbers.")
        elif _holds_huge_integers(column):
            column = column.astype("float64")
            notes.append(
                f"Column {name!r} has integers beyond 64 bits and was read as floating point."
            )
        frame[name] = column
    if marked:
        names = ", ".join(repr(name) for name in islice(marked, 5))
        more = f" and {len(marked) - 5} more" if len(marked) > 5 else ""
        total = sum(marked.values())
        cells = "1 cell" if total == 1 else f"{total:,} cells"
        notes.append(
            f"{cells} with a placeholder such as '?' {'was' if total == 1 else 'were'} read as "
            f"missing, in {len(marked)} column{'s' if len(marked) > 1 else ''}: {names}{more}."
        )
    return frame, notes


def _unmark(
    column: pd.Series, *, keep_question_mark: bool, numbers_allowed: bool
) -> tuple[pd.Series, int]:
    """Replace placeholders by missing values; return the column and how many there were."""
    is_mark = column.isin(_MISSING_AMONG_NUMBERS)
    rest = column[~is_mark]
    if numbers_allowed and is_mark.any() and rest.notna().any():
        numbers = pd.to_numeric(rest, errors="coerce")
        if numbers.notna().sum() == rest.notna().sum():
            return numbers.reindex(column.index), int(is_mark.sum())
    is_question = column == "?"
    n_questions = int(is_question.sum())
    others = column[~is_question].dropna()
    clean = not others.astype(str).str.contains("?", regex=False).any()
    if n_questions and len(others) and clean and not keep_question_mark:
        return column.mask(is_question), n_questions
    return column, 0


def _has_decimal_commas(column: pd.Series) -> bool:
    """Tell 1,5 from 1,500: only a column that cannot be thousands is taken as decimal."""
    values = column.dropna()
    if not len(values) or not pd.api.types.is_string_dtype(values):
        return False
    is_number = values.str.fullmatch(r"[+-]?\d+(,\d+)?")
    return bool(is_number.all() and values.str.contains(r",\d{1,2}$|,\d{4,}$").any())


def _holds_huge_integers(column: pd.Series) -> bool:
    values = column.dropna()
    # 19 digits and more may pass 2**63; 300 keeps the value within float64
    if not values.astype(str).str.fullmatch(r"[+-]?\d{19,300}").any():
        return False
    return bool(pd.to_numeric(values, errors="coerce").notna().all())
