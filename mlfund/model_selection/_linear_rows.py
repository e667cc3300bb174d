"""Rows, targets and weights of a search, checked once for all linear models of a group."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import clone

from mlfund._solvers.stacked_data import training_times
from mlfund.estimators._linear_data import check_weights
from mlfund.model_selection._contract import SearchRows
from mlfund.model_selection._families import UnstackableError

T = TypeVar("T")


@dataclass(frozen=True)
class CheckedRows:
    """What a linear estimator makes of its input.

    Attributes
    ----------
    rows : SearchRows
        With X, an ndarray or CSR in float32 or float64, and y as `fit` sees them.
    weights : ndarray of shape (n,), or None
    times : ndarray of int of shape (F, n)
        How often each split trains on each row.
    names : ndarray of str of shape (d,), or None
        Names of the columns that the final estimators see.
    """

    rows: SearchRows
    weights: NDArray | None
    times: NDArray
    names: NDArray | None

    @property
    def X(self) -> NDArray | sp.csr_array:
        """The rows."""
        return self.rows.X

    @property
    def y(self) -> NDArray:
        """The targets."""
        return self.rows.y

    def affine_of(self, splits: NDArray) -> tuple[NDArray, NDArray] | None:
        """Return centre and scale of some splits, (F, d) each."""
        affine = self.rows.affine
        return None if affine is None else (affine.centre[splits], affine.scale[splits])

    @property
    def dense_entries(self) -> int:
        """Entries of X, 0 where it is sparse."""
        return 0 if sp.issparse(self.X) else int(np.prod(self.X.shape))


def check_rows(
    estimator: Any, rows: SearchRows, validate: Callable[[Any, Any, Any], tuple[Any, Any]]
) -> CheckedRows:
    """Return the rows as the estimators' own `fit` would take them.

    Parameters
    ----------
    estimator : estimator
        Any of the group; it is not changed.
    rows : SearchRows
    validate : callable
        Is given a clone of the estimator, X and y, and returns X and y checked.

    Raises
    ------
    UnstackableError
        If a single fit on all rows would raise or warn: then fits on some rows may, and
        only they can tell which.
    """
    template = clone(estimator)
    X, y = quietly(lambda: validate(template, rows.X, rows.y))
    weights = quietly(lambda: check_weights(rows.fit_params.get("sample_weight"), len(y)))
    # A scaler in front hands on columns without names.
    names = getattr(template, "feature_names_in_", None) if rows.affine is None else None
    times = training_times([train for train, _ in rows.splits], len(y))
    weighted = times if weights is None else times * weights
    if not weighted.any(axis=1).all():
        raise UnstackableError("a split has no training rows of weight above zero")
    checked = SearchRows(X, y, rows.splits, rows.numbers, rows.fit_params, rows.affine)
    return CheckedRows(checked, weights, times, names)


def quietly(check: Callable[[], T]) -> T:
    """Return what a check of the input gives.

    Raises
    ------
    UnstackableError
        If it raises or warns.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return check()
        except (ValueError, TypeError, Warning) as error:
            raise UnstackableError(
                f"the input does not pass the estimator's checks: {error}"
            ) from (error)


def recorded(
    act: Callable[..., T], *given: Any, **options: Any
) -> tuple[T, list[warnings.WarningMessage]]:
    """Return what an action gives, and what it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        return act(*given, **options), caught
