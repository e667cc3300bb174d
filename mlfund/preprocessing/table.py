"""TablePreprocessor: from a mixed table to numbers, learned from the rows given to fit."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from mlfund._check import DataError
from mlfund._version_stamp import VersionStamped
from mlfund.preprocessing._kinds import Column, inspect_column
from mlfund.preprocessing._outputs import (
    encode_dense,
    encode_frame,
    encode_sparse,
    is_wide,
    name_outputs,
)
from mlfund.preprocessing._parts import Fitted, fit_parts
from mlfund.preprocessing._reading import Table
from mlfund.preprocessing._settings import check_parameters, resolve, target_of, wanted_kinds


class TablePreprocessor(VersionStamped, TransformerMixin, BaseEstimator):
    """Turn a mixed table into numbers that any estimator takes.

    Each column is looked at once, in `fit`, and treated by its kind:

    ============  ==================================================================
    kind          outputs
    ============  ==================================================================
    numeric       the number, imputed and scaled, and a 0/1 mark for "was missing";
                  also numbers kept as text, and durations (in seconds)
    boolean       0 or 1, and the mark
    categorical   by `categorical_encoding`; rare and unseen levels, and missing
                  values, have places of their own
    datetime      days elapsed, year, month, day, weekday, hour, and the last parts
                  on a circle; also dates kept as text
    text          TF-IDF of the words, reduced by a truncated SVD
    ============  ==================================================================

    Infinite numbers count as missing. Columns without values or with one value only are left
    out. All statistics come from the rows given to `fit`, and a row is transformed without
    regard to the other rows of the same call, so inside a Pipeline nothing leaks from held-out
    rows.

    Parameters
    ----------
    categorical_encoding : {"onehot", "ordinal", "native"}, default="onehot"
        "onehot": a 0/1 output a level (a single one for columns with two values).
        "ordinal": codes 0, 1, ... in the order of the levels, -1 for rare or unseen ones, and
        for a missing value NaN, or -2 with ``impute=True``.
        "native": transform returns a DataFrame whose category columns have exactly the
        categories of fit, for XGBoost with ``enable_categorical=True``.
    high_cardinality : {"group", "target"}, default="group"
        What happens to categorical columns with more than `max_categories` levels. "group":
        the most frequent ones are kept and all others are one level, "infrequent". "target":
        the column becomes the mean of the target over each level, shrunk to the overall mean
        (one output a class if there are three or more); needs `y` in fit.
    max_categories : int, None or "auto", default="auto"
        Most values a categorical column may have, counting "infrequent"; None sets no limit.
        "auto" is 1000 for "onehot" where the output may be sparse, 100 where it is dense or
        ``high_cardinality="target"``, and no limit for "ordinal" and "native".
    min_frequency : int or float, default=2
        Levels with fewer rows (int), or with a smaller share of the rows (float in (0, 1)),
        become "infrequent". Unseen levels are treated as infrequent ones.
    numeric_scaling : {"standard", "robust"} or None, default="standard"
        "standard": mean 0 and variance 1. "robust": (x - median) / (q75 - q25), then the
        smooth clip x / sqrt(1 + (x/3)^2), so that outliers stay within (-3, 3) [1]_.
    impute : bool, default=True
        Replace missing numbers by the median. False leaves NaN.
    add_indicator : bool, default=True
        With `impute`, add a 0/1 output for each numeric, boolean or datetime column that has
        missing values in fit. For categories "missing" is a level anyway.
    text_components : int, default=64
        Outputs of a text column, at most.
    kinds : mapping of column to kind, default=None
        Overrides the kind found: "numeric", "boolean", "categorical", "datetime", "text", or
        "drop" to leave a column out; for example ``{"zip": "categorical"}``.
    sparse_output : bool or "auto", default="auto"
        Whether to return a CSR array. "auto" does so for wide and mostly empty outputs: 300 or
        more, of which a row fills a tenth at most (and neither "native" nor
        ``set_output(transform="pandas")`` asks for a DataFrame).
    dtype : {"float32", "float64"} or None, default=None
        Of the output; None takes float32 where all floats in X are float32, else float64.
    random_state : int, RandomState instance or None, default=0
        Seeds the SVD and the folds of the target encoding.

    Attributes
    ----------
    column_kinds_ : dict
        Kind of each column, also "empty" (no values) and "drop".
    n_features_in_ : int
        Number of columns in fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where all are strings.
    columns_ : list
        Names of the columns, of whatever type; x0, x1, ... for arrays.

    Raises
    ------
    DataError
        If the table has no rows, no columns, columns of the same name, or no usable column, or if
        no value of a column can be read as the kind that `kinds` asks for.

    See Also
    --------
    sklearn.compose.ColumnTransformer : Any transformer for any columns, one object each.

    Notes
    -----
    Columns of one kind are one block of array operations, so that a single row costs about a
    millisecond; a ColumnTransformer of scikit-learn's encoders validates its input at each step.
    Outputs come in the order numbers, dates, texts, categories.

    ``fit(X, y).transform(X)`` equals ``fit_transform(X, y)``, but for
    ``high_cardinality="target"``: there `fit_transform` gives each row the means of the folds
    without it (as scikit-learn's TargetEncoder), because the means of all rows would tell the
    next estimator the row's own target. A Pipeline calls `fit_transform`, which is right.

    References
    ----------
    .. [1] D. Holzmueller, L. Grinsztajn, I. Steinwart, "Better by default: strong pre-tuned MLPs
       and boosted trees on tabular data", NeurIPS 2024, arXiv:2407.04491.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlfund import TablePreprocessor
    >>> X = pd.DataFrame({"age": [20, None, 40], "city": ["Rome", "Oslo", "Rome"]})
    >>> table = TablePreprocessor(min_frequency=1).fit(X)
    >>> table.column_kinds_
    {'age': 'numeric', 'city': 'categorical'}
    >>> table.get_feature_names_out().tolist()
    ['age', 'age=missing', 'city=Oslo']
    >>> table.transform(X)[:, 2]
    array([0., 1., 0.])
    """

    def __init__(
        self,
        *,
        categorical_encoding: Literal["onehot", "ordinal", "native"] = "onehot",
        high_cardinality: Literal["group", "target"] = "group",
        max_categories: int | Literal["auto"] | None = "auto",
        min_frequency: float = 2,
        numeric_scaling: Literal["standard", "robust"] | None = "standard",
        impute: bool = True,
        add_indicator: bool = True,
        text_components: int = 64,
        kinds: Mapping[Hashable, str] | None = None,
        sparse_output: bool | Literal["auto"] = "auto",
        dtype: str | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ):
        self.categorical_encoding = categorical_encoding
        self.high_cardinality = high_cardinality
        self.max_categories = max_categories
        self.min_frequency = min_frequency
        self.numeric_scaling = numeric_scaling
        self.impute = impute
        self.add_indicator = add_indicator
        self.text_components = text_components
        self.kinds = kinds
        self.sparse_output = sparse_output
        self.dtype = dtype
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, groups: Any = None) -> TablePreprocessor:
        """Find the kind of each column and learn its treatment.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, d)
            The table.
        y : array-like of shape (n,), default=None
            Target; used by ``high_cardinality="target"`` only.
        groups : array-like of shape (n,), default=None
            For ``high_cardinality="target"``: rows of a group stay in one fold of the
            cross-fitting.

        Returns
        -------
        self : TablePreprocessor
            The fitted transformer.
        """
        self._fit(X, y, groups)
        return self

    def fit_transform(self, X: Any, y: Any = None, groups: Any = None) -> Any:
        """Fit, and transform the same rows; with target encoding, cross-fitted (see Notes).

        Parameters
        ----------
        X, y, groups
            As in `fit`.

        Returns
        -------
        outputs : ndarray, CSR array or DataFrame of shape (n, n_outputs)
            As from `transform`.
        """
        table, fitted = self._fit(X, y, groups)
        return self._encode(table, fitted.cells, fitted.cross_fitted)

    def transform(self, X: Any) -> Any:
        """Transform rows, each for itself.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, d)
            Rows with the columns of fit. Cells that cannot be read as their column's kind
            count as missing.

        Returns
        -------
        outputs : ndarray, CSR array or DataFrame of shape (n, n_outputs)
            CSR as `sparse_output` says; a DataFrame with ``categorical_encoding="native"`` or
            ``set_output(transform="pandas")``.
        """
        check_is_fitted(self)
        table = Table(X)
        self._check_columns(X, table, reset=False)
        return self._encode(table, [part.read(table) for part in self._parts], {})

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the outputs.

        "age" is the number itself, "age=missing" its mark, "city=Rome" a level, "city=infrequent"
        all rare levels, "sold:month" a part of a date, "note:topic0" a component of a text.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Must equal `feature_names_in_` if given.

        Returns
        -------
        names : ndarray of str objects
            One name an output, all different.
        """
        check_is_fitted(self)
        if hasattr(self, "feature_names_in_") or input_features is not None:
            _check_feature_names_in(self, input_features)
        return np.array(self._names_out, dtype=object)

    def describe(self) -> pd.DataFrame:
        """Say for each column what it was taken for and what becomes of it.

        Returns
        -------
        summary : DataFrame
            A row a column of the table: ``column``, ``kind``, ``treatment`` in words,
            ``n_outputs`` and ``outputs`` (list of names).
        """
        check_is_fitted(self)
        sources = np.concatenate([part.sources for part in self._parts])
        names = np.array(self._names_out, dtype=object)
        outputs = [names[sources == j].tolist() for j in range(self.n_features_in_)]
        return pd.DataFrame(
            {
                "column": self.columns_,
                "kind": [self.column_kinds_[name] for name in self.columns_],
                "treatment": self._treatments,
                "n_outputs": [len(of_column) for of_column in outputs],
                "outputs": outputs,
            }
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.target_tags.required = self.high_cardinality == "target"
        keeps = self.dtype is None and self.categorical_encoding != "native"
        tags.transformer_tags.preserves_dtype = ["float64", "float32"] if keeps else []
        return tags

    def _fit(self, X: Any, y: Any, groups: Any) -> tuple[Table, Fitted]:
        check_parameters(self)
        table = Table(X)
        self._check_columns(X, table, reset=True)
        settings = resolve(self, table.n_rows, may_be_sparse=self._may_be_sparse())
        target = target_of(self, y, groups, table.n_rows, settings.seed)
        columns = _inspect(table, wanted_kinds(self.kinds, table.names))
        fitted = fit_parts(table, columns, settings, target)
        if not fitted.parts:
            raise DataError(
                f"No column is usable: all {len(columns)} are empty, constant or dropped in the "
                f"rows given (n_samples={table.n_rows}); give more rows or other columns."
            )
        self.columns_ = table.names
        self.column_kinds_ = {column.name: column.kind for column in columns}
        self._parts = fitted.parts
        self._treatments = fitted.treatments
        native = self.categorical_encoding == "native"
        self._names_out = name_outputs(fitted.parts, native=native)
        self._is_wide = is_wide(fitted.parts)
        return table, fitted

    def _may_be_sparse(self) -> bool:
        """Say whether a CSR output is allowed, by the parameters and by set_output."""
        if self.sparse_output != "auto":
            return self.sparse_output
        container = _get_output_config("transform", self)["dense"]
        return self.categorical_encoding == "onehot" and container == "default"

    def _check_columns(self, X: Any, table: Table, *, reset: bool) -> None:
        """Set or check n_features_in_ and the names of the columns, as scikit-learn does."""
        if not reset and hasattr(X, "columns") and table.names == self.columns_:
            return  # for a single row, scikit-learn's checks would cost as much as all the rest
        n_strings = sum(isinstance(name, str) for name in table.names)
        if n_strings in (0, len(table.names)):
            validate_data(self, X, reset=reset, skip_check_array=True)
        elif reset:
            self.n_features_in_ = len(table.names)
            self.__dict__.pop("feature_names_in_", None)
        if not reset and n_strings < len(table.names) and table.names != self.columns_:
            raise ValueError(
                f"The columns of X, {table.names[:5]} ..., are not those of fit, "
                f"{self.columns_[:5]} ...; give the same columns in the same order."
            )

    def _encode(self, table: Table, cells: list[Any], ready: dict[int, np.ndarray]) -> Any:
        """Make the outputs from the cells that each part has read."""
        dtype = table.dtype if self.dtype is None else np.dtype(self.dtype)
        if self.sparse_output is True or (self._is_wide and self._may_be_sparse()):
            return encode_sparse(self._parts, cells, ready, table.n_rows, dtype)
        if self.categorical_encoding == "native":
            return encode_frame(self._parts, self._names_out, cells, ready, table, dtype)
        return encode_dense(self._parts, cells, ready, table.n_rows, dtype)


def _inspect(table: Table, wanted: dict[int, str]) -> list[Column]:
    """Find the kind of every column, and read those that are not plain numbers."""
    if table.matrix is None or wanted:
        columns = table.columns(range(len(table.names)))
        return [inspect_column(j, column, wanted.get(j)) for j, column in enumerate(columns)]
    kind = "boolean" if table.matrix.dtype == bool else "numeric"
    filled = np.isfinite(table.matrix).any(axis=0)
    return [Column(j, name, kind if filled[j] else "empty") for j, name in enumerate(table.names)]
