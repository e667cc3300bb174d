"""Checks of X and y that need no network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from mlfund.diagnostics._findings import Finding, graded, skipped

# Initializers keep the size of a signal of unit size (Glorot and Bengio 2010, He et al.
# 2015): a column an order of magnitude off is worth a look, two orders drown the rest.
LARGE, HUGE = 10.0, 100.0
SMALL, TINY = 0.1, 0.01
# Of 58 public tables the most copies in one are 30 % (mammography), the longest block that
# returns in its order is 7 rows (splice).
SOME_COPIES, MANY_COPIES = 0.01, 1 / 3
BLOCK = 16
# Share of distinct values from which a column counts as measured and not as a code.
MEASURED = 0.1


def flat(X: Any) -> Any:
    """Return X as a float64 matrix (n, d), CSR if it was sparse."""
    if sp.issparse(X):
        return X.tocsr().astype(np.float64)
    array = np.asarray(X, dtype=np.float64)
    return array.reshape(len(array), -1)


def column_names(X: Any, n_columns: int) -> list[str]:
    """Return the names of the columns: those of a table, else their numbers."""
    if hasattr(X, "columns"):
        return [str(name) for name in X.columns]
    return [f"column {i}" for i in range(n_columns)]


def listed(names: list[str], most: int = 3) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def check_finite(X: Any, y: Any) -> Finding:
    """NaN or infinity in X or y; tables may hold columns that are no numbers."""
    bad = _bad_cells(X)
    in_y = int(_not_finite(np.asarray(y)).sum())
    columns = [name for name, count in bad.items() if count]
    total = sum(bad.values()) + in_y
    if not total:
        return Finding("finite_values", "pass", 0, "cells", "All values are finite.")
    where = [f"{listed(columns)} of X"] if columns else []
    where += ["y"] if in_y else []
    return Finding(
        "finite_values",
        "fail",
        total,
        "cells",
        f"NaN or infinite values in {' and in '.join(where)}.",
        "Impute or drop them before the network: sklearn.impute.SimpleImputer or "
        "mlfund.TablePreprocessor in front of it, for X; drop the rows, for y.",
        "NaN in the data",
        {"cells by column": {name: count for name, count in bad.items() if count}},
    )


def _bad_cells(X: Any) -> dict[str, int]:
    if hasattr(X, "columns"):
        return {str(name): int(_not_finite(X[name].to_numpy()).sum()) for name in X.columns}
    if sp.issparse(X):
        column = X.tocsc()
        bad = np.flatnonzero(_not_finite(column.data))
        owner = np.searchsorted(column.indptr, bad, side="right") - 1
        counts = np.bincount(owner, minlength=X.shape[1])
    else:
        array = np.asarray(X)
        counts = _not_finite(array.reshape(len(array), -1)).sum(axis=0)
    return {f"column {i}": int(count) for i, count in enumerate(counts)}


def _not_finite(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "fc":
        return ~np.isfinite(values)
    if values.dtype.kind in "iub":
        return np.zeros(values.shape, dtype=bool)
    missing = pd.isna(values)
    return np.asarray(missing)


def check_constant_columns(X: Any, names: list[str]) -> Finding:
    """Columns with one value."""
    low, high = _extremes(X)
    constant = [names[i] for i in np.flatnonzero(low == high)]
    if not constant:
        return Finding("constant_columns", "pass", 0, "columns", "Every column varies.")
    return Finding(
        "constant_columns",
        "warn",
        len(constant),
        "columns",
        f"Constant: {listed(constant)}; nothing can be learned from them.",
        "Drop them, for instance with sklearn.feature_selection.VarianceThreshold.",
        evidence={"columns": constant},
    )


def _extremes(X: Any) -> tuple[np.ndarray, np.ndarray]:
    if sp.issparse(X):
        return X.min(axis=0).toarray().ravel(), X.max(axis=0).toarray().ravel()
    return X.min(axis=0), X.max(axis=0)


def root_mean_squares(X: Any) -> np.ndarray:
    """Return the root mean square of every column of a matrix."""
    squares = X.multiply(X) if sp.issparse(X) else np.square(X)
    return np.sqrt(np.asarray(squares.mean(axis=0)).ravel())


def check_input_scale(X: Any, names: list[str]) -> Finding:
    """Compare the root mean square of each column with the 1 that initializers assume."""
    sizes = root_mean_squares(X)
    largest = int(sizes.argmax())
    cure = (
        "Standardise X inside the pipeline: sklearn.preprocessing.StandardScaler (sparse X: "
        "MaxAbsScaler) before the network."
    )
    evidence = {"root mean square by column": dict(zip(names, sizes.tolist(), strict=True))}
    size = float(sizes[largest])
    status = graded(size, warn=LARGE, fail=HUGE)
    if status != "pass":
        text = f"{names[largest]} has values of about {size:.3g}; networks start for about 1."
        fault = "unscaled input" if status == "fail" else ""
        return Finding("input_scale", status, size, "largest RMS", text, cure, fault, evidence)
    # A network cannot hear columns that whisper; bags of words do so and still train, which
    # is why this is never a failure.
    if size < SMALL:
        text = f"The largest column, {names[largest]}, has values of about {size:.3g} only."
        return Finding("input_scale", "warn", size, "largest RMS", text, cure, "", evidence)
    silent = [n for n, s in zip(names, sizes, strict=True) if 0 < s < TINY * np.median(sizes)]
    if silent and not sp.issparse(X):
        text = f"{listed(silent)}: values a hundred times smaller than the median column's."
        return Finding("input_scale", "warn", size, "largest RMS", text, cure, "", evidence)
    text = "Values are of the size that initializers assume."
    return Finding("input_scale", "pass", size, "largest RMS", text, evidence=evidence)


def check_target_scale(y: Any, *, classification: bool, identity_link: bool) -> Finding:
    """Look at the size of a real target: outputs start near 0 and move by small steps."""
    if classification:
        return skipped("target_scale", "Classes have no scale.")
    if not identity_link:
        return skipped("target_scale", "The loss has a link of its own; y is not its raw score.")
    values = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
    sizes = np.sqrt(np.square(values).mean(axis=0))
    spread = values.std(axis=0)
    size = float(sizes.max())
    status = graded(size, warn=LARGE, fail=HUGE)
    if status == "pass" and 0 < spread.min() < TINY:
        status, size = "warn", float(spread.min())
    if status == "pass":
        return Finding("target_scale", "pass", size, "RMS of y", "y is about as large as outputs.")
    return Finding(
        "target_scale",
        status,
        size,
        "RMS of y" if size >= LARGE else "std of y",
        f"y has values of about {size:.3g}, the first outputs of a network are about 1.",
        "Standardise y: sklearn.compose.TransformedTargetRegressor(model, "
        "transformer=StandardScaler()).",
        "unscaled target" if status == "fail" else "",
    )


def check_duplicates(X: Any, y: Any) -> Finding:
    """Rows that stand in the data more than once, target included, and blocks of them."""
    keys = row_keys(X, y)
    n = len(keys)
    copies = 1 - len(np.unique(keys)) / n
    block, first, again = _longest_block(keys)
    evidence = {"share of copies": copies, "longest block": block}
    if block >= BLOCK:
        text = f"{block} rows in a row return in their order: from row {first} and from {again}."
        status, number, unit = "fail", float(block), "rows in a block"
    else:
        measured = _share_of_distinct(X) >= MEASURED
        status = graded(copies, warn=SOME_COPIES, fail=MANY_COPIES if measured else np.inf)
        number, unit = 100 * copies, "% copies"
        text = f"{100 * copies:.3g} % of the rows are copies of others, target included."
    if status == "pass":
        return Finding("duplicated_rows", "pass", number, unit, text, evidence=evidence)
    return Finding(
        "duplicated_rows",
        status,
        number,
        unit,
        text,
        "Drop copies that are no observations of their own (pandas.DataFrame.drop_duplicates, "
        "or a loader that reads a part twice); else give them one group, so that no copy of a "
        "training row is held out.",
        "duplicated batch" if status == "fail" else "",
        evidence,
    )


def row_keys(X: Any, y: Any) -> np.ndarray:
    """Return a hash of every row, its target included."""
    target = pd.util.hash_pandas_object(pd.DataFrame(np.asarray(y)), index=False).to_numpy()
    if hasattr(X, "columns"):
        rows = pd.util.hash_pandas_object(X, index=False).to_numpy()
    elif sp.issparse(X):
        table = X.tocsr().sorted_indices()
        ends = zip(table.indptr[:-1], table.indptr[1:], strict=True)
        pieces = ((table.indices[a:b].tobytes(), table.data[a:b].tobytes()) for a, b in ends)
        rows = np.fromiter((hash(piece) for piece in pieces), np.int64, X.shape[0])
    else:
        array = np.ascontiguousarray(X)
        rows = np.fromiter((hash(row.tobytes()) for row in array), np.int64, len(array))
    return rows.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ target


def _longest_block(keys: np.ndarray) -> tuple[int, int, int]:
    """Return length, first and second place of the longest run of rows that comes again.

    Rows of one value that follow each other are no block: half of what repeats must be
    distinct.
    """
    n = len(keys)
    order = np.argsort(keys, kind="stable")
    same = keys[order[1:]] == keys[order[:-1]]
    offset = np.zeros(n, dtype=np.int64)
    offset[order[1:][same]] = (order[1:] - order[:-1])[same]
    breaks = np.flatnonzero(np.diff(offset)) + 1
    best = (0, 0, 0)
    for start, stop in zip(np.r_[0, breaks], np.r_[breaks, n], strict=True):
        length = int(stop - start)
        if offset[start] == 0 or length <= best[0]:
            continue
        distinct = len(np.unique(keys[start:stop]))
        if 2 * distinct >= max(BLOCK, min(length, int(offset[start]))):
            best = (length, int(start - offset[start]), int(start))
    return best


def _share_of_distinct(X: Any) -> float:
    """Return the largest share of distinct values among the columns (0 for sparse X)."""
    if sp.issparse(X):
        return 0.0
    table = X if hasattr(X, "columns") else pd.DataFrame(np.asarray(X).reshape(len(X), -1))
    numbers = table.select_dtypes("number").iloc[:, :100]
    return max((numbers[name].nunique() / len(table) for name in numbers), default=0.0)
