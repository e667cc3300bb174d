"""Column scalers of all splits, fitted in one pass over the rows where the splits allow it.

Statistics of a split come from rows it trains on and from no others: they are put together
from those of parts of the rows, never by taking held-out rows away from a total.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.preprocessing._data import _handle_zeros_in_scale, _is_constant_feature
from sklearn.utils import check_array
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.sparsefuncs import mean_variance_axis, min_max_axis
from sklearn.utils.validation import _check_method_params, _get_feature_names

from mlfund._solvers.stacked_moments import moments_of
from mlfund.model_selection._contract import Affine
from mlfund.model_selection._prefix_partition import partitions

# Two numbers a column, such as centre and scale.
Columns = tuple[NDArray, NDArray]
Parts = Sequence[NDArray[np.intp]]

SCALERS = (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler)
# Rows that are looked at at once: they stay in the cache.
BLOCK_ENTRIES = 2**16
# Columns that a scaler is fitted on at once, of copied training rows.
COPIED_ENTRIES = 2**22


def is_affine(scaler: Any) -> bool:
    """Whether a transformer is a column scaler that gives arrays and clips nothing."""
    if type(scaler) not in SCALERS or getattr(scaler, "clip", False):
        return False
    return _get_output_config("transform", scaler)["dense"] == "default"


def as_scalers_see(X: Any) -> Any:
    """Return X as the scalers of scikit-learn convert it: floating point, dense or CSR.

    Raises
    ------
    ValueError
        If X holds NaN, which scalers would let pass, or is no table of finite numbers.
    TypeError
        If its columns have names of which only some are strings.
    """
    _get_feature_names(X)
    return check_array(X, accept_sparse="csr", dtype=[np.float64, np.float32])


def fit_affine(
    scaler: Any, X: Any, trains: Sequence[NDArray[np.intp]], params: Mapping[str, Any]
) -> Affine:
    """Return the centres and scales that a scaler finds on the rows of each split.

    Parameters
    ----------
    scaler : StandardScaler, MinMaxScaler, MaxAbsScaler or RobustScaler
        Unfitted.
    X : ndarray or CSR of shape (n, d)
        Of `as_scalers_see`.
    trains : sequence of ndarray of int
        Row numbers each split trains on.
    params : mapping
        What the scaler's `fit` gets beside X, such as `sample_weight`.

    Returns
    -------
    Affine

    Raises
    ------
    ValueError
        If a column has no finite centre and scale, or as the scaler raises it.
    """
    centre = np.zeros((len(trains), X.shape[1]))
    scale = np.ones_like(centre)
    # Raises what the scaler raises of its parameters, or of sparse rows to be centred.
    clone(scaler).fit(X[:1])
    shared = []
    for split, train in enumerate(trains):
        once = len(train) > 0 and np.bincount(train).max() == 1
        if once and not params and type(scaler) is not RobustScaler:
            shared.append(split)
        else:
            centre[split], scale[split] = _fit_alone(scaler, X, train, params)
    fit_parts = _standard_of_parts if type(scaler) is StandardScaler else _extremes_of_parts
    for partition in partitions([trains[split] for split in shared], X.shape[0]):
        splits = [shared[position] for position in partition.splits]
        found = fit_parts(scaler, X, partition.parts, partition.trains_on)
        centre[splits], scale[splits] = found
    if not (np.isfinite(centre).all() and np.isfinite(scale).all()):
        raise ValueError(
            f"{type(scaler).__name__} finds no finite centre and scale in X: values are too "
            "large; divide them by a constant."
        )
    return Affine(centre, scale)


def fit_standard(scaler: StandardScaler, X: NDArray) -> StandardScaler:
    """Fit a scaler, in place, to all rows of a finite dense X in one pass; return it.

    Its attributes are, to rounding, those of its own `fit`.
    """
    # Sets those that do not depend on the number of rows, and raises what it raises.
    scaler.fit(X[:1])
    n = len(X)
    mean, squares = moments_of(X, np.arange(n))
    variance = squares / n
    scaler.n_samples_seen_ = type(scaler.n_samples_seen_)(n)
    if scaler.mean_ is not None:
        scaler.mean_ = mean
    if scaler.with_std:
        scaler.var_, scaler.scale_ = variance, _deviations(variance, mean, n)
    return scaler


def _deviations(variance: NDArray, mean: NDArray, n: float) -> NDArray:
    """Return what StandardScaler divides by: 1 for columns that are constant."""
    constant = _is_constant_feature(variance, mean, n)
    return _handle_zeros_in_scale(np.sqrt(variance), constant_mask=constant)


def _fit_alone(scaler: Any, X: Any, train: NDArray[np.intp], params: Mapping[str, Any]) -> Columns:
    """Fit the scaler itself, to some of the columns at a time."""
    params = _check_method_params(X, params=params, indices=train)
    if sp.issparse(X):
        return _read(clone(scaler).fit(X[train], **params))
    width = max(1, COPIED_ENTRIES // max(len(train), 1))
    read = [
        _read(clone(scaler).fit(X[train, first : first + width], **params))
        for first in range(0, X.shape[1], width)
    ]
    centres, scales = zip(*read, strict=True)
    return np.concatenate(centres), np.concatenate(scales)


def _read(scaler: Any) -> Columns:
    """Return centre and scale of a fitted scaler."""
    d = scaler.n_features_in_
    centre, scale = np.zeros(d), np.ones(d)
    if isinstance(scaler, MinMaxScaler):
        scale = 1.0 / scaler.scale_.astype(np.float64)
        centre = -scaler.min_ * scale
    elif isinstance(scaler, StandardScaler):
        centre = scaler.mean_ if scaler.with_mean else centre
        scale = scaler.scale_ if scaler.with_std else scale
    elif isinstance(scaler, RobustScaler):
        centre = scaler.center_ if scaler.with_centering else centre
        scale = scaler.scale_ if scaler.with_scaling else scale
    else:
        scale = scaler.scale_
    return centre, scale


def _standard_of_parts(scaler: Any, X: Any, parts: Parts, trains_on: NDArray) -> Columns:
    """Return mean and standard deviation of each split, (splits, d) each."""
    counts = np.array([len(rows) for rows in parts], dtype=np.float64)
    of_parts = _sparse_moments if sp.issparse(X) else moments_of
    means, squares = map(np.stack, zip(*(of_parts(X, rows) for rows in parts), strict=True))
    centre = np.zeros((len(trains_on), X.shape[1]))
    scale = np.ones_like(centre)
    for split, used in enumerate(trains_on):
        n = counts[used].sum()
        mean = counts[used] @ means[used] / n
        spread = squares[used].sum(axis=0) + counts[used] @ (means[used] - mean) ** 2
        variance = spread / n
        if scaler.with_mean:
            centre[split] = mean
        if scaler.with_std:
            scale[split] = _deviations(variance, mean, n)
    return centre, scale


def _sparse_moments(X: Any, rows: NDArray[np.intp]) -> Columns:
    mean, variance = mean_variance_axis(X[rows], axis=0)
    return mean.astype(np.float64), variance.astype(np.float64) * len(rows)


def _extremes_of_parts(scaler: Any, X: Any, parts: Parts, trains_on: NDArray) -> Columns:
    """Return centre and scale of each split, which the columns' extremes determine."""
    lows, highs = map(np.stack, zip(*(_extremes(X, rows) for rows in parts), strict=True))
    read = []
    for used in trains_on:
        ends = np.stack([lows[used].min(axis=0), highs[used].max(axis=0)])
        # Two rows with the extremes of all: the scaler finds what it finds in all rows.
        read.append(_read(clone(scaler).fit(ends)))
    centres, scales = zip(*read, strict=True)
    return np.stack(centres), np.stack(scales)


def _extremes(X: Any, rows: NDArray[np.intp]) -> Columns:
    """Return the least and the largest value of each column, (d,) each."""
    if sp.issparse(X):
        return min_max_axis(X[rows], axis=0)
    low = np.full(X.shape[1], np.inf, dtype=X.dtype)
    high = -low
    step = max(BLOCK_ENTRIES // X.shape[1], 1)
    for start in range(0, len(rows), step):
        block = X[rows[start : start + step]]
        np.minimum(low, block.min(axis=0), out=low)
        np.maximum(high, block.max(axis=0), out=high)
    return low, high
