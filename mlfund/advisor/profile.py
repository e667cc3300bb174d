"""A description of the table: kinds, gaps, levels, and columns that look out of place."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd

from mlfund._check import DataError
from mlfund.advisor.target import Problem
from mlfund.preprocessing import TablePreprocessor

# A name that says the column identifies the row.
_IDENTIFIER_NAME = re.compile(
    r"(^|[_\W])(id|ids|uuid|guid|key|index|row|rownum|nr|no|number)([_\W]|$)|[a-z](Id|ID)$",
    re.IGNORECASE,
)
_FEW_ROWS = 20


def profile_table(problem: Problem) -> tuple[dict[str, Any], list[str]]:
    """Describe the rows in use.

    Returns
    -------
    profile : dict
        As documented for ``advice.json``, plain values only.
    warnings : list of str
        One sentence for each thing a user should know.

    Raises
    ------
    DataError
        If every column is empty or constant.
    """
    X = problem.data.X
    _check_varies(X)
    kinds = _kinds(X)
    features = [_feature(X.iloc[:, j], kind) for j, kind in enumerate(kinds)]
    constant = [f["name"] for f in features if f["distinct"] == 1 and f["missing"] == 0]
    empty = [f["name"] for f in features if f["distinct"] == 0]
    missing = sum(f["missing"] for f in features)
    profile = {
        "rows": len(X),
        "columns": X.shape[1],
        "kinds": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "missing_cells": missing,
        "missing_share": missing / X.size,
        "infinite_cells": sum(f["infinite"] for f in features),
        "duplicated_rows": int(_duplicated(X, problem.data.y).sum()),
        "memory_bytes": int(X.memory_usage(deep=True).sum()),
        "rows_without_target": problem.counts["rows_without_target"],
        "classes_dropped": problem.counts["classes_dropped"],
        "constant_columns": constant,
        "empty_columns": empty,
        "suspected_identifiers": suspected_identifiers(X, kinds),
        "features": features,
        "target": describe_target(problem),
    }
    return profile, _warnings(profile)


def _check_varies(X: pd.DataFrame) -> None:
    for j in range(X.shape[1]):
        column = X.iloc[:, j]
        if _distinct(column) + column.hasnans > 1:
            return
    raise DataError(
        "No column varies between rows (all are empty or constant); there is nothing to learn from."
    )


def _kinds(X: pd.DataFrame) -> list[str]:
    """Return the kinds as the preprocessor of the candidates will see them."""
    found = TablePreprocessor(categorical_encoding="ordinal").fit(X).column_kinds_
    return [str(kind) for kind in found.values()]


def _feature(column: pd.Series, kind: str) -> dict[str, Any]:
    n_missing, n_infinite = int(column.isna().sum()), 0
    is_float = isinstance(column.dtype, np.dtype) and column.dtype.kind == "f"
    if is_float:
        n_infinite = int(np.isinf(column.to_numpy()).sum())
        column = column.where(np.isfinite(column))
    described = {
        "name": str(column.name),
        "kind": kind,
        "dtype": str(column.dtype),
        "missing": n_missing,
        "missing_share": n_missing / len(column),
        "infinite": n_infinite,
        "distinct": _distinct(column),
    }
    if kind == "numeric" and column.dtype.kind in "iuf" and described["distinct"]:
        numbers = column.dropna().to_numpy(np.float64)
        return described | {
            "min": float(numbers.min()),
            "max": float(numbers.max()),
            "mean": float(numbers.mean()),
            "std": float(numbers.std()),
        }
    if kind in ("categorical", "boolean") and described["distinct"]:
        counts = column.astype(str)[column.notna()].value_counts()
        return described | {
            "most_frequent": str(counts.index[0]),
            "most_frequent_share": float(counts.iloc[0] / len(column)),
        }
    return described


def _distinct(column: pd.Series) -> int:
    try:
        return int(column.nunique())
    except TypeError:  # cells that cannot be hashed, such as lists
        return int(column.astype(str)[column.notna()].nunique())


def suspected_identifiers(X: pd.DataFrame, kinds: list[str]) -> list[str]:
    """Name the columns that seem to name rows instead of describing them.

    These are text or categories of which nearly every row has its own; whole numbers that are
    all different and either run up by one or have a name such as "id".
    """
    if len(X) < _FEW_ROWS:
        return []
    return [
        str(name)
        for j, name in enumerate(X.columns)
        if _names_rows(X.iloc[:, j].dropna(), kinds[j], str(name))
    ]


def _names_rows(values: pd.Series, kind: str, name: str) -> bool:
    if len(values) < _FEW_ROWS:
        return False
    share = _distinct(values) / len(values)
    if kind == "categorical":
        return share >= 0.95
    if kind != "numeric" or not isinstance(values.dtype, np.dtype) or values.dtype.kind not in "iu":
        return False
    steps_by_one = share == 1.0 and int(values.max()) - int(values.min()) + 1 == len(values)
    return steps_by_one or (share >= 0.95 and _IDENTIFIER_NAME.search(name) is not None)


def _duplicated(X: pd.DataFrame, y: np.ndarray) -> np.ndarray:
    """Mark rows that repeat an earlier one, target included."""
    return row_hashes(X, y).duplicated().to_numpy()


def row_hashes(X: Any, y: np.ndarray | None = None) -> pd.Series:
    """Return a 64-bit hash of each row or image; equal ones have equal hashes."""
    if not isinstance(X, pd.DataFrame):
        digests = (blake2b(image.tobytes(), digest_size=8).digest() for image in X)
        table = pd.DataFrame({"image": [int.from_bytes(one) for one in digests]}, dtype=np.uint64)
    else:
        table = X.reset_index(drop=True).copy(deep=False)
    for name in table.columns:
        if table[name].dtype == object:
            # cells of several types, or that cannot be hashed
            table[name] = table[name].astype(str)
    if y is not None:
        table["\0target"] = y
    return pd.util.hash_pandas_object(table, index=False)


def describe_target(problem: Problem) -> dict[str, Any]:
    """Describe classes and their rows, or the range of numbers."""
    y, classes = problem.data.y, problem.data.classes
    if classes is None:
        return {
            "name": problem.target,
            "min": float(y.min()),
            "max": float(y.max()),
            "mean": float(y.mean()),
            "std": float(y.std()),
            "distinct": len(np.unique(y)),
        }
    counts = [int(np.count_nonzero(y == label)) for label in classes]
    return {
        "name": problem.target,
        "classes": [
            {"label": str(label), "rows": count, "share": count / len(y)}
            for label, count in zip(classes.tolist(), counts, strict=True)
        ],
    }


def _warnings(profile: dict[str, Any]) -> list[str]:
    notes = []
    infinite = profile["infinite_cells"]
    if infinite:
        cells = "1 infinite value is" if infinite == 1 else f"{infinite:,} infinite values are"
        notes.append(f"{cells} treated as missing.")
    if profile["empty_columns"]:
        notes.append(f"Columns without any value are not used: {_some(profile['empty_columns'])}.")
    if profile["suspected_identifiers"]:
        names = profile["suspected_identifiers"]
        notes.append(
            f"Columns that seem to name rows: {_some(names)}; consider leaving them out "
            f"(--ignore {names[0]})."
        )
    return notes


def _some(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names[:5]) + (
        f" and {len(names) - 5} more" if len(names) > 5 else ""
    )
