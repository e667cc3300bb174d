"""Which rows and which target the benchmark works on, and what kind of problem it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mlfund._check import DataError, check_choice
from mlfund.advisor.work import Data
from mlfund.preprocessing._image_rows import form_of, is_flattened, mistaken, read_pixels

# Whole numbers with at most this many values are taken as labels ...
_FEW_VALUES = 20
# ... and up to this many if none of them is much rarer than the others (letters, digits).
_MANY_LABELS = 100
TASKS = ("auto", "classification", "regression")


@dataclass(frozen=True)
class Problem:
    """A table and a target that a benchmark can run on.

    Attributes
    ----------
    data : Data
        Rows with a target, in their order.
    target : str
        Name of the target.
    task_reason : str
        One sentence: why this task.
    warnings : tuple of str
        What was dropped or converted.
    counts : dict
        ``rows`` as given, ``rows_without_target``, and ``classes_dropped``, a list of
        ``{"label", "rows"}``.
    keep : ndarray of shape (n_given,), bool
        The rows in use.
    """

    data: Data
    target: str
    task_reason: str
    warnings: tuple[str, ...]
    counts: Mapping[str, Any]
    keep: np.ndarray = field(repr=False)


def make_problem(X: Any, y: Any, task: str = "auto") -> Problem:
    """Bring table and target into the form the benchmark takes.

    Rows without a target and classes with a single row are dropped and reported.

    Raises
    ------
    DataError
        If no column or no row can be used, column names are not unique, the lengths differ, the
        target holds one value only, or is text where numbers are needed.
    """
    check_choice("task", task, TASKS)
    table = _as_table(X)
    column = _as_column(y, len(table))
    name = "target" if column.name is None else str(column.name)
    present = column.notna().to_numpy(copy=True)
    if _is_number(column) and np.isinf(column.to_numpy(np.float64, na_value=np.nan)).any():
        present &= ~np.isinf(column.to_numpy(np.float64, na_value=np.nan))
    if not present.any():
        raise DataError(f"The target {name!r} has no value in any row; choose another target.")
    n_without = int((~present).sum())
    notes = _dropped_rows(n_without)
    values = column[present]
    task, reason = _find_task(values, name) if task == "auto" else (task, "As you asked.")
    if task == "regression":
        numbers, more = _numbers(values, name)
        data = Data(_kept(table, present), numbers, task, None)
        return Problem(
            data, name, reason, (*notes, *more), _counts(len(present), n_without, []), present
        )
    labels, more = _labels(values, name)
    alone = _alone(labels)
    if alone:
        kept = ~np.isin(labels, alone)
        more = (*more, _dropped_classes(alone))
        labels = labels[kept]
        present[np.flatnonzero(present)[~kept]] = False
    classes = np.unique(labels)
    if len(classes) < 2:
        raise DataError(_one_class(name, classes, alone))
    data = Data(_kept(table, present), labels, task, classes)
    dropped = [{"label": str(label), "rows": 1} for label in alone]
    counts = _counts(len(present), n_without, dropped)
    return Problem(data, name, reason, (*notes, *more), counts, present)


def _kept(table: Any, rows: np.ndarray) -> Any:
    if isinstance(table, pd.DataFrame):
        return table[rows].reset_index(drop=True)
    return table[rows]


def _as_table(X: Any) -> Any:
    """Return a table, or images as one array."""
    if not is_flattened(X):
        images = read_pixels(X)
        refuse_channels_in_front(images.shape, "X has", "give X.transpose(0, 2, 3, 1)")
        form_of(images)
        return images
    if not isinstance(X, pd.DataFrame):
        X = np.asarray(X)
        if X.ndim != 2:
            raise DataError(f"X must be a table of rows and columns; got shape {X.shape}.")
        X = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
    if X.shape[1] == 0:
        raise DataError("There is no column to learn from; give at least one besides the target.")
    names = X.columns
    if not names.is_unique:
        twice = sorted({str(name) for name in names[names.duplicated()]})
        raise DataError(
            f"The column name {twice[0]!r} occurs more than once; give each column its own name."
        )
    if not X.notna().any(axis=None):
        raise DataError("No column has a value in any row; there is nothing to learn from.")
    return X


def refuse_channels_in_front(shape: tuple[int, ...], whose: str, cure: str) -> None:
    """Raise DataError where images of such a shape have their channels before their pixels.

    Parameters
    ----------
    shape : tuple of int
    whose, cure : str
        How the sentence begins and ends.
    """
    mistake = mistaken(shape, "last") if len(shape) == 4 else None
    if mistake is not None:
        counted, other, _ = mistake
        raise DataError(
            f"{whose} shape {shape}, which means {counted} channels of {other} pixels; the "
            f"channels go last: {cure}."
        )


def _as_column(y: Any, n_rows: int) -> pd.Series:
    if isinstance(y, pd.DataFrame):
        if y.shape[1] != 1:
            raise DataError(f"The target must be one column; got {y.shape[1]}.")
        y = y.iloc[:, 0]
    if not isinstance(y, pd.Series):
        y = np.asarray(y)
        if y.ndim > 1 and y.size != len(y):
            raise DataError(
                f"The target must be one column; got an array of shape {y.shape}. Give the columns "
                "one at a time."
            )
        y = pd.Series(y.ravel())
    column = y
    if len(column) != n_rows:
        raise DataError(f"The table has {n_rows} rows and the target {len(column)}.")
    return column


def _is_number(column: pd.Series) -> bool:
    dtype = column.dtype
    return pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)


def _find_task(values: pd.Series, name: str) -> tuple[str, str]:
    """Return the task and a sentence that says why."""
    n_values = int(values.nunique())
    if not _is_number(values):
        kind = "truth values" if pd.api.types.is_bool_dtype(values.dtype) else "text or categories"
        return "classification", f"The target {name!r} holds {n_values} labels that are {kind}."
    numbers = values.to_numpy(np.float64)
    hint = "set the task yourself if that is wrong"
    if not np.equal(np.mod(numbers, 1), 0).all():
        return "regression", f"The target {name!r} holds numbers with fractions."
    rarest = int(values.value_counts().min())
    even = rarest * n_values >= 0.2 * len(values)
    if n_values == 2 or n_values <= min(_FEW_VALUES, len(values) / 10):
        why = f"holds only {n_values} different whole numbers"
    elif n_values <= _MANY_LABELS and rarest >= 10 and even:
        why = f"holds {n_values} whole numbers, all of them about as frequent"
    else:
        return "regression", f"The target {name!r} holds {n_values} different numbers; {hint}."
    return "classification", f"The target {name!r} {why}, taken as labels; {hint}."


def _numbers(values: pd.Series, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    notes: tuple[str, ...] = ()
    if not _is_number(values) and not pd.api.types.is_bool_dtype(values.dtype):
        parsed = pd.to_numeric(values.astype(object), errors="coerce")
        if parsed.isna().any():
            example = values[parsed.isna()].iloc[0]
            raise DataError(
                f"The target {name!r} holds text such as {example!r}, but regression needs "
                "numbers; choose another target or classification."
            )
        values = parsed
        notes = (f"The target {name!r} is text and was read as numbers.",)
    numbers = values.to_numpy(np.float64)
    if len(numbers) < 2 or np.ptp(numbers) == 0:
        raise DataError(
            f"The target {name!r} has the same value in every row; there is nothing to predict."
        )
    return numbers, notes


def _labels(values: pd.Series, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return labels of one type that sorts: bool, integers, floats or strings."""
    if _is_number(values) or pd.api.types.is_bool_dtype(values.dtype):
        labels = values.to_numpy()
        if labels.dtype == object:
            labels = labels.astype(bool if pd.api.types.is_bool_dtype(values.dtype) else float)
        if labels.dtype.kind == "f" and np.equal(np.mod(labels, 1), 0).all():
            # missing values had made them floats
            labels = labels.astype(np.int64)
        return labels, ()
    found = values.to_numpy(dtype=object)
    types = {type(label) for label in found}
    if types <= {str}:
        return found.astype(str), ()
    if types <= {bool, np.bool_}:
        return found.astype(bool), ()
    if types <= {int, np.int64, np.int32}:
        return found.astype(np.int64), ()
    note = f"The labels of {name!r} are of several types and are taken as text."
    return found.astype(str), (note,)


def _alone(labels: np.ndarray) -> list[Any]:
    known, counts = np.unique(labels, return_counts=True)
    return known[counts < 2].tolist()


def _dropped_rows(count: int) -> tuple[str, ...]:
    if count == 0:
        return ()
    rows = "1 row without a target was" if count == 1 else f"{count:,} rows without a target were"
    return (f"{rows} dropped.",)


def _dropped_classes(alone: list[Any]) -> str:
    shown = ", ".join(repr(label) for label in alone[:5]) + (", ..." if len(alone) > 5 else "")
    what = (
        "1 class with a single row was"
        if len(alone) == 1
        else (f"{len(alone)} classes with a single row each were")
    )
    return f"{what} dropped, since a class needs a row to train and one to test on: {shown}."


def _one_class(name: str, classes: np.ndarray, alone: list[Any]) -> str:
    if len(classes) == 0:
        return (
            f"Each of the {len(alone)} labels of the target {name!r} occurs only once; "
            "choose a target whose classes repeat."
        )
    return (
        f"The target {name!r} has one class only, {classes[0].item()!r}; at least two are needed."
    )


def _counts(n_rows: int, n_without: int, dropped: list[dict[str, Any]]) -> dict[str, Any]:
    return {"rows": n_rows, "rows_without_target": n_without, "classes_dropped": dropped}
