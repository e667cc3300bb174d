"""Means and products of the columns on the training rows of each fold, in one pass over X.

Rows that the same folds train on are summed once, about their own mean, and the sums of a
fold are put together from those of its parts. So rows that a fold holds out leave no trace in
its sums, not even by rounding, however far away they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from mlfund._solvers import kernels
from mlfund._solvers.stacked_rows import sort_into_segments

# Entries of the rows that are centred at once: they stay in the second cache.
BLOCK_ENTRIES = 100_000


@dataclasses.dataclass(frozen=True)
class RegressionRows:
    """The rows of a cross-validation.

    Attributes
    ----------
    X : ndarray or CSR of shape (n, d), float32 or float64
    y : ndarray of shape (k, n), float64
    weights : ndarray of shape (n,), or None
    times : ndarray of int of shape (F, n)
        How often each fold trains on each row; with weight above zero on some.
    affine : tuple of two ndarrays of shape (F, d), or None
        Centre and scale by which each fold's columns are scaled first; for sparse X the
        centres are zero.
    """

    X: NDArray | sp.csr_array
    y: NDArray
    weights: NDArray | None
    times: NDArray
    affine: tuple[NDArray, NDArray] | None = None

    def of_folds(self, folds: slice) -> RegressionRows:
        """Return the same rows for some of the folds."""
        affine = None if self.affine is None else (self.affine[0][folds], self.affine[1][folds])
        return dataclasses.replace(self, times=self.times[folds], affine=affine)

    def affine_of(self, fold: int) -> tuple[NDArray, NDArray] | None:
        """Return centre and scale of a fold."""
        return None if self.affine is None else (self.affine[0][fold], self.affine[1][fold])

    def weights_of(self, fold: int) -> NDArray:
        """Return the weights of all rows in a fold, (n,); zero for rows held out."""
        times = self.times[fold].astype(np.float64)
        return times if self.weights is None else times * self.weights

    def training(self, fold: int) -> tuple[NDArray | sp.csr_array, NDArray, NDArray]:
        """Return scaled rows, targets (k, m) and weights with sum 1 that a fold trains on."""
        weights = self.weights_of(fold)
        index = np.flatnonzero(weights)
        X: Any = self.X[index]
        weights = weights[index]
        affine = self.affine_of(fold)
        if affine is not None:
            centre, scale = affine
            if sp.issparse(X):
                X = sp.csr_array(X.multiply(1.0 / scale)).astype(self.X.dtype)
            else:
                # In place: one copy of the rows is enough.
                np.subtract(X, centre, out=X, casting="same_kind")
                np.divide(X, scale, out=X, casting="same_kind")
        return X, np.ascontiguousarray(self.y[:, index]), weights / weights.sum()


@dataclasses.dataclass(frozen=True)
class FoldMoments:
    """Weighted moments of the training rows of each fold.

    Attributes
    ----------
    unit : ndarray of shape (d,)
        The columns are divided by it.
    mean : ndarray of shape (F, d)
    H : ndarray of shape (F, d, d)
        Covariances.
    right : ndarray of shape (F, d, k)
        Covariances with the targets.
    y_mean, y_square : ndarray of shape (F, k)
        Means and variances of the targets.
    """

    unit: NDArray
    mean: NDArray
    H: NDArray
    right: NDArray
    y_mean: NDArray
    y_square: NDArray


def fold_moments(rows: RegressionRows) -> FoldMoments:
    """Return the moments of all folds.

    Examples
    --------
    >>> import numpy as np
    >>> X, y = np.array([[1.0], [3.0], [5.0]]), np.array([[0.0, 2.0, 7.0]])
    >>> moments = fold_moments(RegressionRows(X, y, None, np.array([[1, 1, 0], [0, 1, 1]])))
    >>> (moments.unit * moments.mean[:, 0]).tolist()
    [2.0, 4.0]
    >>> moments.y_square[:, 0].tolist()
    [1.0, 6.25]
    """
    k, d, F = len(rows.y), rows.X.shape[1], len(rows.times)
    unit = _units(rows.X)
    total, mean, y_mean = np.zeros(F), np.zeros((F, d)), np.zeros((F, k))
    parts = [(part, *_means(rows, part, unit)) for part in _parts(rows)]
    for part, weight, own, own_y in parts:
        share = part.times * weight
        total[part.folds] += share
        mean[part.folds] += share[:, None] * own
        y_mean[part.folds] += share[:, None] * own_y
    mean, y_mean = mean / total[:, None], y_mean / total[:, None]
    H, right, y_square = np.zeros((F, d, d)), np.zeros((F, d, k)), np.zeros((F, k))
    for part, weight, own, own_y in parts:
        products = _centred_products(rows, part, unit, own, own_y)
        for fold, times in zip(part.folds.tolist(), part.times.tolist(), strict=True):
            off, off_y = own - mean[fold], own_y - y_mean[fold]
            share = times / total[fold]
            H[fold] += share * (products[0] + weight * np.multiply.outer(off, off))
            right[fold] += share * (products[1] + weight * np.multiply.outer(off, off_y))
            y_square[fold] += share * (products[2] + weight * off_y**2)
    return FoldMoments(unit, mean, H, right, y_mean, y_square)


@dataclasses.dataclass(frozen=True)
class _Part:
    """Rows, their weights, and the folds that train on them, so many times each."""

    index: NDArray
    weights: NDArray
    folds: NDArray
    times: NDArray


def _parts(rows: RegressionRows) -> Iterator[_Part]:
    weights = np.ones(rows.X.shape[0]) if rows.weights is None else rows.weights
    order, segments = sort_into_segments(rows.times)
    for segment in segments:
        index = order[segment.rows]
        if segment.times is None or segment.times.shape[1] == 1:
            times = np.ones(len(segment.folds)) if segment.times is None else segment.times[:, 0]
            yield from _used(index, weights[index], segment.folds, times.astype(np.float64))
            continue
        for fold, times in zip(segment.folds, segment.times, strict=True):
            yield from _used(index, weights[index] * times, np.array([fold]), np.ones(1))


def _used(index: NDArray, weights: NDArray, folds: NDArray, times: NDArray) -> Iterator[_Part]:
    """Yield a part without its rows of weight zero, if it has others."""
    used = weights > 0
    if used.any():
        yield _Part(index[used], weights[used], folds, times)


def _units(X: NDArray | sp.csr_array) -> NDArray:
    """Return the power of two at or below the largest size in each column.

    Dividing by a power of two rounds nothing, so that no row is seen in the sums of others.
    """
    if sp.issparse(X):
        largest = abs(X).max(axis=0).toarray().ravel()
    else:
        largest = np.maximum(X.max(axis=0), -X.min(axis=0))
    largest = largest.astype(np.float64)
    return np.ldexp(1.0, np.frexp(np.where(largest > 0, largest, 1.0))[1] - 1)


def _means(rows: RegressionRows, part: _Part, unit: NDArray) -> tuple[float, NDArray, NDArray]:
    """Return the sum of the weights, and the means of columns and targets."""
    weight, mean = float(part.weights.sum()), np.zeros(rows.X.shape[1])
    for index, weights in _blocks(part, rows.X.shape[1]):
        mean += weights @ rows.X[index].astype(np.float64)
    return weight, mean / unit / weight, rows.y[:, part.index] @ part.weights / weight


def _blocks(part: _Part, d: int) -> Iterator[tuple[NDArray, NDArray]]:
    step = max(BLOCK_ENTRIES // max(d, 1), 64)
    for start in range(0, len(part.index), step):
        yield part.index[start : start + step], part.weights[start : start + step]


def _centred_products(
    rows: RegressionRows, part: _Part, unit: NDArray, mean: NDArray, y_mean: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """Return weighted sums of products about the means: of columns, with targets, of targets."""
    d, k = len(mean), len(y_mean)
    if sp.issparse(rows.X):
        return _sparse_products(rows, part, unit, mean, y_mean)
    H, right, y_square = np.zeros((d, d)), np.zeros((d, k)), np.zeros(k)
    for index, weights in _blocks(part, d):
        roots = np.sqrt(weights)[:, None]
        block = (rows.X[index] / unit - mean) * roots
        y = (rows.y[:, index].T - y_mean) * roots
        H += block.T @ block
        right += block.T @ y
        y_square += np.sum(y * y, axis=0)
    return H, right, y_square


def _sparse_products(
    rows: RegressionRows, part: _Part, unit: NDArray, mean: NDArray, y_mean: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """Return the same for sparse X, whose zeros are not centred one by one."""
    X, weights = rows.X[part.index].multiply(1.0 / unit).tocsr(), part.weights
    y = rows.y[:, part.index].T - y_mean
    if kernels.available() and kernels.suits(X):
        H = kernels.sparse_gram(X, weights)
    else:
        weighted = X.multiply(np.sqrt(weights)[:, None]).tocsr()
        H = (weighted.T @ weighted).toarray()
    H -= weights.sum() * np.multiply.outer(mean, mean)
    # The targets are centred: the means of the columns do not matter beside them.
    return H, X.T @ (y * weights[:, None]), weights @ y**2
