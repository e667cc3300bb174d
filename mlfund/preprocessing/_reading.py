"""A table as the user gave it, seen as columns."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from mlfund._check import DataError
from mlfund.preprocessing import _cells

# From this many columns on, one selection of all is cheaper than taking them one by one.
_MANY_COLUMNS = 16


class Table:
    """A DataFrame or 2-D array, with its columns as pandas Series.

    Attributes
    ----------
    names : list of Hashable
        Column names; x0, x1, ... for an array.
    n_rows : int
        Number of rows.
    dtype : numpy dtype
        float32 where every column of floats is float32, else float64.
    matrix : ndarray or None
        The cells in one array, where all columns are numbers of numpy dtypes.
    index : pandas.Index or None
        The row labels of a DataFrame.
    """

    def __init__(self, X: Any):
        if sparse.issparse(X):
            raise TypeError("Sparse X is not supported; give a DataFrame or a dense array.")
        if not isinstance(X, pd.DataFrame) and hasattr(X, "to_pandas"):
            X = X.to_pandas()
        self.matrix: np.ndarray | None = None
        self.index: pd.Index | None = None
        if isinstance(X, pd.DataFrame):
            self.index = X.index
            self._from_frame(X)
        else:
            self._from_array(_two_dimensional(X))
        if not self.n_rows or not self.names:
            what = "feature(s)" if self.n_rows else "sample(s)"
            raise DataError(
                f"Found array with 0 {what} (shape=({self.n_rows}, {len(self.names)})) "
                "while a minimum of 1 is required."
            )

    def _from_frame(self, X: pd.DataFrame) -> None:
        self.names: list[Hashable] = X.columns.tolist()
        self.n_rows = len(X)
        if len(set(self.names)) < len(self.names):
            raise DataError(_duplicates(self.names))
        self._dtypes = X.dtypes.tolist()
        self._frame = X
        if self._dtypes and all(isinstance(d, np.dtype) and d.kind in "iuf" for d in self._dtypes):
            self.matrix = X.to_numpy()

    def _from_array(self, X: np.ndarray) -> None:
        self.names = [f"x{j}" for j in range(X.shape[1])]
        self.n_rows = len(X)
        if X.dtype.kind == "c":
            raise ValueError("Complex data not supported; give real numbers.")
        if X.dtype.kind in "biuf":
            self.matrix = X
            self._dtypes = [X.dtype] * X.shape[1]
        else:
            cells = X.astype(object) if X.dtype.kind in "USO" else X
            self._frame = pd.DataFrame(cells, columns=self.names)
            self._dtypes = self._frame.dtypes.tolist()

    @property
    def dtype(self) -> np.dtype:
        """The dtype that outputs get when the user asks for none."""
        floats = [d for d in self._dtypes if getattr(d, "kind", "O") == "f"]
        narrow = bool(floats) and all(d == np.float32 for d in floats)
        return np.dtype(np.float32 if narrow else np.float64)

    def column(self, position: int) -> pd.Series:
        """Return one column."""
        if self.matrix is not None:
            return pd.Series(self.matrix[:, position], name=self.names[position])
        return self._frame.iloc[:, position]

    def columns(self, positions: Sequence[int]) -> list[pd.Series]:
        """Return several columns."""
        if self.matrix is not None or len(positions) == 0:
            return [self.column(j) for j in positions]
        if len(positions) >= _MANY_COLUMNS:
            return [column for _, column in self._frame.iloc[:, positions].items()]
        return [self._frame[self.names[j]] for j in positions]

    def numbers(self, positions: Sequence[int]) -> np.ndarray:
        """Return columns of numbers as floats (n, len(positions)), NaN for what is not finite."""
        if self.matrix is not None:
            whole = len(positions) == len(self.names)
            return _cells.finite(self.matrix if whole else self.matrix[:, positions])
        plain = [isinstance(self._dtypes[j], np.dtype) for j in positions]
        if len(positions) >= _MANY_COLUMNS and all(plain):
            cells = self._frame.iloc[:, positions].to_numpy()
            if cells.dtype.kind in "biuf":
                return _cells.finite(cells)
        columns = [_cells.read_numbers(column) for column in self.columns(positions)]
        return np.stack(columns, axis=1)


def _two_dimensional(X: Any) -> np.ndarray:
    array = X if isinstance(X, np.ndarray) else np.asarray(X)
    if array.dtype.kind == "U" and not isinstance(X, np.ndarray) and not hasattr(X, "dtype"):
        # Lists of numbers and strings: numpy has turned the numbers into strings.
        array = np.array(X, dtype=object)
    if array.dtype.names is not None:
        raise DataError("X is a structured array; convert it with pandas.DataFrame(X).")
    if array.ndim != 2:
        raise DataError(
            f"Expected 2D array, got {array.ndim}D array instead. Reshape your data either using "
            "array.reshape(-1, 1) if your data has a single feature or array.reshape(1, -1) if it "
            "contains a single sample."
        )
    return array


def _duplicates(names: list[Hashable]) -> str:
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    listed = ", ".join(map(repr, twice[:5]))
    return f"Column names must be unique, but these occur more than once: {listed}; rename them."
