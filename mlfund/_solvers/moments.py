"""Centre and scale of the columns of X, from a sample of rows where that will do."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from mlfund._solvers import kernels

# A strided sample of this many rows gives the centre and scale of dense columns:
# both only choose coordinates, so they need not be exact.
SAMPLE_ROWS = 4096
# Squares of values up to this stay in the range of float64, weighted and summed too.
SQUARES_WITHIN = 1e120


def column_statistics(
    X, row_weights, centred: bool, *, every_row: bool = False
) -> tuple[NDArray, NDArray, NDArray]:
    """Return centre, scale and the mask of dead columns, each of shape (d,).

    Dense columns are judged by a sample of rows unless `every_row` asks for all.
    """
    if sp.issparse(X):
        centre, scale = _sparse_moments(X, row_weights, centred)
    else:
        centre, scale = _dense_moments(
            X, row_weights, centred, 1 if every_row else -(-len(X) // SAMPLE_ROWS)
        )
    # The rounding of a mean leaves a constant column with a spread of a few ulp; a weight in
    # units of a denormal spread would overflow.
    rounding = 8 * np.finfo(X.dtype).eps * np.abs(centre)
    dead = ~(scale > np.maximum(rounding, np.finfo(np.float64).tiny))
    return np.where(dead, 0.0, centre) if centred else centre, np.where(dead, 1.0, scale), dead


def _dense_moments(X, row_weights, centred, stride):
    """Mean and spread from a strided sample; from all rows where the sample is constant."""
    weights = row_weights[::stride] if isinstance(row_weights, np.ndarray) else None
    centre, scale = _moments(X[::stride], weights, centred)
    if stride > 1:
        flat = np.flatnonzero(~(scale > 8 * np.finfo(X.dtype).eps * np.abs(centre)))
        columns = X[:, flat]
        # Most columns that are constant in the sample are so in all rows.
        varied = (columns != columns[0]).any(axis=0)
        flat, columns = flat[varied], columns[:, varied]
        if len(flat):
            weights = row_weights if isinstance(row_weights, np.ndarray) else None
            centre[flat], scale[flat] = _moments(columns, weights, centred)
    return centre, scale


def _moments(X, weights, centred):
    X = np.asarray(X, dtype=np.float64)
    # Columns near the limits of float64 would overflow when squared.
    largest = np.abs(X).max(axis=0)
    unit = np.where(largest > 0, largest, 1.0)
    X = X / unit
    if weights is None or not weights.any():
        mean = X.mean(axis=0) if centred else np.zeros(X.shape[1])
        X -= mean
        spread = np.einsum("ij,ij->j", X, X) / len(X)
    else:
        weights = weights / weights.sum(dtype=np.float64)
        mean = weights @ X if centred else np.zeros(X.shape[1])
        X -= mean
        spread = np.einsum("ij,ij,i->j", X, X, weights)
    return mean * unit, np.sqrt(spread) * unit


def column_sums(X, weights: NDArray) -> tuple[NDArray, NDArray]:
    """Return sum_i weights_i x_ij and sum_i weights_i x_ij^2 of a CSR array, (d,) each.

    `weights` (n,) has the dtype of X.
    """
    if kernels.available() and kernels.suits(X):
        return kernels.column_sums(X, weights)
    squared = sp.csr_array((X.data**2, X.indices, X.indptr), X.shape)
    return (X.T @ weights).astype(np.float64), (squared.T @ weights).astype(np.float64)


def _sparse_moments(X, row_weights, centred):
    unit, mean, mean_square = _sparse_means(X, row_weights)
    if not centred:
        return np.zeros(X.shape[1]), np.sqrt(mean_square) * unit
    spread = mean_square - mean**2
    # One-pass variances lose half the digits: below that, the column is constant.
    spread = np.where(spread > 64 * np.finfo(np.float64).eps * mean_square, spread, 0.0)
    return mean * unit, np.sqrt(spread) * unit


def _sparse_means(X, row_weights):
    """Return units, and means of the columns and of their squares in these units."""
    if kernels.available() and kernels.suits(X):
        weights = np.broadcast_to(np.asarray(row_weights, dtype=X.dtype), X.shape[:1])
        mean, mean_square = kernels.column_sums(X, np.ascontiguousarray(weights))
        # Unless the squares of a column leave the range of float64.
        lost = (mean_square < 1.0 / SQUARES_WITHIN**2) & (mean != 0)
        if mean_square.max(initial=0.0) < SQUARES_WITHIN**2 and not lost.any():
            return np.ones(X.shape[1]), mean, mean_square
    data = X.data.astype(np.float64)
    columns = X.indices
    if isinstance(row_weights, np.ndarray):
        of_entry = np.repeat(row_weights, np.diff(X.indptr))
    else:
        of_entry = np.full(len(data), row_weights)
    largest = np.zeros(X.shape[1])
    np.maximum.at(largest, columns, np.abs(data))
    unit = np.where(largest > 0, largest, 1.0)
    data /= unit[columns]
    mean_square = np.bincount(columns, of_entry * data**2, minlength=X.shape[1])
    return unit, np.bincount(columns, of_entry * data, minlength=X.shape[1]), mean_square
