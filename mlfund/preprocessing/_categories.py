"""Category columns: a dictionary per column, then one table that all columns share.

Whatever the encoding, a row's code in each column picks an entry of a flat lookup table, so
the columns of a table cost one vectorised step together and a single row stays cheap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.preprocessing import TargetEncoder

from mlfund.preprocessing._cells import Labels
from mlfund.preprocessing._levels import Chosen, LevelTable

RARE, MISSING = "infrequent", "missing"


class CategoryBlock:
    """Shared by the encodings: the kept levels and where each column's codes start.

    Attributes
    ----------
    levels : LevelTable
        The kept levels of each column.
    starts : ndarray of shape (n_columns,)
        ``starts[j] + code`` is the place of a code of column j in the lookup table.
    """

    def __init__(self, chosen: Sequence[Chosen]):
        self.levels = LevelTable([column.kept for column in chosen])
        # Two more codes than levels: one for other levels, one for missing.
        widths = self.levels.sizes + 2
        self.starts = np.cumsum(widths) - widths

    def places(self, cells: Sequence[Labels]) -> np.ndarray:
        """Return where each row's codes stand in the lookup table, shape (n, n_columns)."""
        return self.levels.codes(cells) + self.starts


class OneHotBlock(CategoryBlock):
    """A 0/1 output for each kept level, one for rare levels, one for missing values.

    A column with two values gets a single output, 1 for the less frequent value; so a level
    never seen before looks like the most frequent one there. Elsewhere it looks like a rare
    level, or is all 0 when fit met none.

    Attributes
    ----------
    slots : ndarray of int
        Output of each code, -1 for none.
    """

    def __init__(self, chosen: Sequence[Chosen], cells: Sequence[Labels], names: Sequence[str]):
        super().__init__(chosen)
        self.names: list[str] = []
        sources: list[int] = []
        slots: list[int] = []
        codes = self.levels.codes(cells)
        for j, column in enumerate(chosen):
            counts = np.bincount(codes[:, j], minlength=len(column.kept) + 2)
            used = counts > 0
            if column.n_values == 2:
                # argmax takes the first of equals: ties leave the output to the later value.
                used[np.argmax(counts)] = False
            outputs = np.where(used, np.cumsum(used) - 1 + len(self.names), -1)
            slots.extend(outputs.tolist())
            labels = np.array([*column.kept, RARE, MISSING], dtype=object)
            self.names.extend(f"{names[j]}={label}" for label in labels[used])
            sources.extend([j] * int(used.sum()))
        self.slots = np.array(slots, dtype=np.intp)
        self.sources = np.array(sources, dtype=np.intp)

    @property
    def n_outputs(self) -> int:
        """Number of output columns."""
        return len(self.names)

    def hits(self, cells: Sequence[Labels]) -> np.ndarray:
        """Return the output that is 1 for each row and column, -1 for none: (n, n_columns)."""
        return self.slots[self.places(cells)]

    def encode(self, cells: Sequence[Labels], out: np.ndarray) -> None:
        """Write 0 and 1 to `out` (n, n_outputs)."""
        hits = self.hits(cells)
        out[:] = 0
        rows, columns = np.nonzero(hits >= 0)
        out[rows, hits[rows, columns]] = 1


class OrdinalBlock(CategoryBlock):
    """One output a column: 0, 1, ... in the order of the levels, -1 for other levels.

    A missing value is NaN, or -2 with ``impute=True``.
    """

    def __init__(self, chosen: Sequence[Chosen], names: Sequence[str], impute: bool):
        super().__init__(chosen)
        self.names = list(names)
        self.sources = np.arange(len(chosen))
        missing = -2.0 if impute else np.nan
        tables = [np.array([*range(len(column.kept)), -1.0, missing]) for column in chosen]
        self.values = np.concatenate(tables)

    @property
    def n_outputs(self) -> int:
        """Number of output columns."""
        return len(self.names)

    def encode(self, cells: Sequence[Labels], out: np.ndarray) -> None:
        """Write the codes to `out` (n, n_columns)."""
        out[:] = self.values[self.places(cells)]


class TargetBlock(CategoryBlock):
    """The mean of the target over each level, shrunk to the overall mean.

    scikit-learn's TargetEncoder finds the means (with the amount of shrinkage from the data) and
    the values of the fit rows, each from the folds that do not hold the row.

    Attributes
    ----------
    means : ndarray of shape (n_codes, n_targets)
        Encoding of each code of each column; n_targets is the number of classes if there are
        three or more, else 1.
    """

    def __init__(self, chosen: Sequence[Chosen], names: Sequence[str]):
        super().__init__(chosen)
        self.names = list(names)

    def fit_encode(
        self,
        cells: Sequence[Labels],
        y: np.ndarray,
        splits: Iterable[tuple[np.ndarray, np.ndarray]],
        *,
        continuous: bool,
        scaled: bool,
    ) -> np.ndarray:
        """Learn the means, and return the cross-fitted outputs of the fit rows.

        With `scaled`, outputs have mean 0 and variance 1 over the fit rows, as other numbers.
        """
        n_columns, n_codes = len(self.names), self.levels.sizes + 2
        encoder = TargetEncoder(
            categories=[np.arange(k) for k in n_codes],
            target_type="continuous" if continuous else "auto",
            cv=list(splits),
        )
        # Routing would ask for groups, which the splits have respected already.
        with config_context(enable_metadata_routing=False):
            values = encoder.fit_transform(self.levels.codes(cells), y)
        n_targets = len(encoder.encodings_) // n_columns
        # encodings_ lists the targets of the first column, then those of the second, ...
        first = range(0, n_columns * n_targets, n_targets)
        self.means = np.concatenate(
            [np.column_stack(encoder.encodings_[i : i + n_targets]) for i in first]
        )
        suffixes = [""] if n_targets == 1 else [f":{label}" for label in encoder.classes_]
        self.names = [f"{name}=target{suffix}" for name in self.names for suffix in suffixes]
        self.sources = np.repeat(np.arange(n_columns), n_targets)
        if not scaled:
            return values
        center, scale = values.mean(axis=0), values.std(axis=0)
        scale[scale == 0] = 1.0
        column_of_code = np.repeat(np.arange(n_columns), n_codes)
        self.means -= center.reshape(n_columns, n_targets)[column_of_code]
        self.means /= scale.reshape(n_columns, n_targets)[column_of_code]
        return (values - center) / scale

    @property
    def n_outputs(self) -> int:
        """Number of output columns."""
        return len(self.names)

    def encode(self, cells: Sequence[Labels], out: np.ndarray) -> None:
        """Write the means learned from all fit rows to `out` (n, n_outputs)."""
        means = self.means[self.places(cells)]
        out[:] = means.reshape(len(means), -1)


class NativeBlock(CategoryBlock):
    """pandas category columns whose categories are exactly those of fit.

    Rare levels, and levels never seen, become the category "infrequent" if fit met rare ones,
    else they are missing. A missing value stays missing, or with ``impute=True`` becomes the
    category "missing" where fit met one.
    """

    def __init__(self, chosen: Sequence[Chosen], names: Sequence[str], impute: bool):
        super().__init__(chosen)
        self.names = list(names)
        self.sources = np.arange(len(chosen))
        self.has_rare = np.array([column.has_rare for column in chosen])
        self.has_missing = np.array([column.has_missing and impute for column in chosen])
        tables = []
        for column, rare, missing in zip(chosen, self.has_rare, self.has_missing, strict=True):
            k = len(column.kept)
            tables.append([*range(k), k if rare else -1, k + int(rare) if missing else -1])
        self.values = np.array([code for table in tables for code in table], dtype=np.int32)

    @property
    def n_outputs(self) -> int:
        """Number of output columns."""
        return len(self.names)

    @property
    def _dtypes(self) -> list[pd.CategoricalDtype]:
        dtypes = self.__dict__.get("_cached_dtypes")
        if dtypes is None:
            columns = zip(self.levels.levels, self.has_rare, self.has_missing, strict=True)
            dtypes = [pd.CategoricalDtype(_categories(*column)) for column in columns]
            self.__dict__["_cached_dtypes"] = dtypes
        return dtypes

    def __getstate__(self) -> dict:
        return {key: value for key, value in self.__dict__.items() if key != "_cached_dtypes"}

    def categoricals(self, cells: Sequence[Labels]) -> list[pd.Categorical]:
        """Return the columns as pandas categoricals."""
        codes = self.values[self.places(cells)]
        return [
            pd.Categorical.from_codes(codes[:, j], dtype=dtype, validate=False)
            for j, dtype in enumerate(self._dtypes)
        ]


def _categories(levels: list[str], has_rare: bool, has_missing: bool) -> list[str]:
    """List the categories, with names for rare and missing that no level has."""
    extra = [RARE] * bool(has_rare) + [MISSING] * bool(has_missing)
    for name in extra:
        while name in levels:
            name += "_"
        levels = [*levels, name]
    return levels
