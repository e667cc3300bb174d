"""Mean and standard deviation of the columns over the training rows of each fold.

Sums over the segments of rows give them for all folds in one pass over X.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from mlfund._solvers import kernels
from mlfund._solvers.dense_pass import TYPES
from mlfund._solvers.threads import blas_threads

BLOCK_ROWS = 2048
# Entries of one call of the compiled loop.
PART_ENTRIES = 2_000_000
# Relative to 1 + mean^2 in units of the column: below that a variance is rounding.
ROUNDING = 1e-12


def fold_moments(
    X, order: NDArray, segments, F: int, centre: NDArray, scale: NDArray
) -> tuple[NDArray, NDArray]:
    """Return means and standard deviations, (F, d) each; of sparse X means of zero.

    As for StandardScaler, the deviation of a column that is constant in a fold is 1.

    Parameters
    ----------
    X : ndarray or CSR of shape (n, d)
    order : ndarray of int
        Rows of X, segment by segment.
    segments : list of Segment
    F : int
        Number of folds.
    centre, scale : ndarray of shape (d,)
        About the mean and the deviation of the columns; of sparse X the centre is zero.
    """
    counts = np.zeros((F, 1))
    sums = np.zeros((F, 2, X.shape[1]))
    for segment in segments:
        rows, times = order[segment.rows], segment.times
        if times is None:
            times = np.ones((len(segment.folds), 1))
        if times.shape[1] == 1:
            counts[segment.folds] += times * len(rows)
            sums[segment.folds] += times[:, :, None] * _sums(X, rows, centre)
            continue
        counts[segment.folds] += times.sum(axis=1, keepdims=True)
        for start in range(0, len(rows), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            sums[segment.folds] += _block_sums(X, rows[block], centre, times[:, block])
    mean = sums[:, 0] / counts / scale
    variance = sums[:, 1] / counts / scale**2 - mean**2
    varies = variance > ROUNDING * (1.0 + mean**2)
    deviation = np.where(varies, np.sqrt(np.maximum(variance, 0.0)) * scale, 1.0)
    return np.zeros_like(mean) if sp.issparse(X) else centre + scale * mean, deviation


def moments_of(X: NDArray, rows: NDArray) -> tuple[NDArray, NDArray]:
    """Return the mean of some rows and the sums of squares about it, (d,) each, in one pass."""
    # Sums are taken about the mean of some of the rows: what the squares lose to rounding is
    # at most the part of the rows that these are.
    centre = X[rows[:: -(-len(rows) // BLOCK_ROWS)]].mean(axis=0, dtype=np.float64)
    first, second = _sums(X, rows, centre)
    return centre + first / len(rows), np.maximum(second - first**2 / len(rows), 0.0)


def _sums(X, rows: NDArray, centre: NDArray) -> NDArray:
    """Return the sums of x - centre and of its squares over some rows, (2, d)."""
    if not kernels.takes_dense(X):
        starts = range(0, len(rows), BLOCK_ROWS)
        blocks = (rows[start : start + BLOCK_ROWS] for start in starts)
        return np.sum([_block_sums(X, b, centre, np.ones((1, len(b))))[0] for b in blocks], axis=0)
    d = X.shape[1]
    name = f"folded_sums_{TYPES[X.dtype]}_{kernels.register_bytes()}"
    address = kernels.address
    shared = (
        address(rows, rows.shape, np.int64),
        d,
        address(X, X.shape, X.dtype),
        address(centre, (d,)),
    )

    def part(edges):
        sums = np.zeros((2, d))
        kernels.call(name, None, *edges, *shared, address(sums, (2, d)))
        return sums

    edges = np.linspace(0, len(rows), len(rows) * d // PART_ENTRIES + 2).astype(int)
    parts = list(itertools.pairwise(edges.tolist()))
    threads = min(blas_threads(), len(parts))
    if threads == 1:
        return np.sum(list(map(part, parts)), axis=0)
    with ThreadPoolExecutor(threads) as pool:
        return np.sum(list(pool.map(part, parts)), axis=0)


def _block_sums(X, rows: NDArray, centre: NDArray, times: NDArray) -> NDArray:
    """Return the same for some folds, each row so many times, (f, 2, d)."""
    part = X[rows]
    if sp.issparse(X):
        squared = part.multiply(part).tocsr()
    else:
        part = part - centre
        squared = part * part
    times = times.astype(np.float64)
    return np.stack([(part.T @ times.T).T, (squared.T @ times.T).T], axis=1)
