"""The rows of a cross-validation, sorted so that membership of folds is a slice.

Rows that the same folds train on stand together. With k folds there are k such segments,
one for each test fold, and in the segment of a fold all models but its own are at work: no
mask, no copy of X for each fold.
"""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from mlfund._solvers.moments import column_statistics
from mlfund._solvers.stacked_moments import fold_moments

# Shorter segments cost more in calls than the held-out rows that they save.
SHORTEST_SEGMENT = 64
# Sparse rows come in blocks of this many, dense ones as the cache likes it.
SPARSE_BLOCK = 8192
# Entries of the margins of one block of rows: 1 MB in float32, which stays in the cache.
BLOCK_ENTRIES = 2**18


@dataclasses.dataclass(frozen=True)
class Segment:
    """Neighbouring rows that the same folds train on.

    Attributes
    ----------
    rows : slice
        Their place in the sorted order.
    folds : ndarray of int of shape (f,)
        The folds that train on them.
    times : ndarray of shape (f, 1) or (f, rows), or None
        How often each fold takes a row; None is once.
    """

    rows: slice
    folds: NDArray
    times: NDArray | None

    @property
    def constant(self) -> bool:
        """Whether each fold takes all rows equally often."""
        return self.times is None or self.times.shape[1] == 1

    def sampled(self, places: NDArray) -> Segment | None:
        """Return what a sample of the rows, ascending places, has of them; None for nothing."""
        first, last = np.searchsorted(places, (self.rows.start, self.rows.stop)).tolist()
        if first == last:
            return None
        times = self.times
        if not self.constant and times is not None:
            times = times[:, places[first:last] - self.rows.start]
        return Segment(slice(first, last), self.folds, times)

    def models(self, fold: NDArray) -> tuple[NDArray, NDArray]:
        """Return which models, given by their folds, train here: places in `folds`, numbers."""
        place = np.searchsorted(self.folds, fold)
        place[place == len(self.folds)] = 0
        at_work = np.flatnonzero(self.folds[place] == fold)
        return place[at_work], at_work


def sort_into_segments(times: NDArray) -> tuple[NDArray, list[Segment]]:
    """Return the order of the rows and the segments in that order.

    Parameters
    ----------
    times : ndarray of shape (F, n)
        How often fold f trains on row i. Rows that no fold trains on are left out. Whole
        numbers are sorted into segments where that makes few of them.

    Examples
    --------
    >>> import numpy as np
    >>> times = np.ones((2, 128), dtype=int)
    >>> times[0, ::2] = times[1, 1::2] = 0
    >>> order, segments = sort_into_segments(times)
    >>> [(segment.rows, segment.folds.tolist()) for segment in segments]
    [(slice(0, 64, None), [1]), (slice(64, 128, None), [0])]
    """
    used = np.flatnonzero(times.any(axis=0))
    pattern = _patterns(times[:, used])
    if pattern is None:
        together = times[:, used]
        return used, [Segment(slice(0, len(used)), np.arange(len(times)), together)]
    order = used[np.argsort(pattern, kind="stable")]
    ends = np.cumsum(np.bincount(pattern))
    segments, start = [], 0
    for end in ends:
        column = times[:, order[start]]
        folds = np.flatnonzero(column)
        once = bool((column[folds] == 1).all())
        segments.append(
            Segment(slice(start, int(end)), folds, None if once else column[folds, None])
        )
        start = int(end)
    return order, segments


def _patterns(times: NDArray) -> NDArray | None:
    """Return the number of each column's pattern; None when there are too many of them."""
    F, n = times.shape
    if times.dtype.kind not in "bui":
        return None
    base = int(times.max()) + 1
    if base**F >= 2**62:
        return None
    code = np.zeros(n, dtype=np.int64)
    for row in times:
        code = code * base + row
    _, pattern = np.unique(code, return_inverse=True)
    count = int(pattern.max()) + 1
    return pattern if count == 1 or n >= count * SHORTEST_SEGMENT or count <= F else None


class FoldedDesign:
    """Sorted rows in common coordinates, and each fold's own coordinates upon them.

    The shared matrix A holds X in centred, scaled columns with a constant column at the end.
    Fold f penalises the weights of the columns (a - mean_f) / spread_f. The solver's weights
    V are those upon A, so that the spread is one of the penalty alone. While the intercept
    is free the mean does not matter either; else the constant column takes part in every
    weight: `to_shared` and `pull_back`.

    Parameters
    ----------
    X : ndarray or CSR of shape (n, d)
    times : ndarray of shape (F, n)
        See `sort_into_segments`.
    intercept : bool
        Whether the models have an intercept.
    free : bool
        Whether it is not penalised.
    standardise : bool
        Whether each fold standardises the columns by its training rows, as StandardScaler
        does (of sparse X only the scale).
    affine : tuple of two ndarrays of shape (F, d), optional
        In place of that, centre and scale of the folds in the columns of X.

    Attributes
    ----------
    order : ndarray of int
        Row of X for each row of A.
    centre, scale : ndarray of shape (d,)
        A is (X - centre) / scale.
    mean, spread : ndarray of shape (F, d)
        Coordinates of the folds upon A; those of X itself where no fold scales.
    p : int
        Columns of A.
    tied : bool
        Whether weights of the columns act upon the constant one, in each fold its own way.
    shift, inverse : ndarray
        What makes A of the columns as they are stored: (x - shift) * inverse.
    """

    def __init__(
        self,
        X,
        times: NDArray,
        *,
        intercept: bool,
        free: bool,
        standardise: bool,
        affine: tuple[NDArray, NDArray] | None = None,
    ):
        self.X = X
        self.n, self.d = X.shape
        self.F = len(times)
        self.sparse = sp.issparse(X)
        self.intercept, self.free = intercept, intercept and free
        self.order, self.segments = sort_into_segments(times)
        scaled = standardise or affine is not None
        centred = (self.free or scaled) and not self.sparse
        self.centre, self.scale, self.dead = column_statistics(X, 1.0 / self.n, centred)
        if scaled and centred:
            # A has zeros in the columns that are constant.
            self.centre = np.where(self.dead, X[0], self.centre)
        self.shift, self.inverse = self.centre, np.where(self.dead, 0.0, 1.0 / self.scale)
        self._constant = intercept or centred
        self.p = self.d + self._constant
        self._blocks: dict = {}
        if affine is not None:
            centres, scales = affine
        elif standardise:
            centres, scales = fold_moments(
                X, self.order, self.segments, self.F, self.centre, self.scale
            )
        else:
            centres, scales = np.zeros((self.F, self.d)), np.ones((self.F, self.d))
        self.mean, self.spread = (centres - self.centre) / self.scale, scales / self.scale
        self.of_folds = (centres, scales) if scaled else None
        # Columns of zeros, to all folds, whose weights stay zero.
        self.inert = self.dead & ~self.mean.any(axis=0)
        self.tied = not self.free and bool(self.mean.any())

    def rows(self, index: NDArray, dtype):
        """Return rows of A, given by their numbers in X, in some dtype."""
        if self.sparse:
            part = self.X[index].multiply(self.inverse).tocsr()
            if self._constant:
                part = sp.hstack([part, np.ones((part.shape[0], 1))], format="csr")
            return part.astype(dtype)
        block = np.ones((len(index), self.p), dtype=dtype)
        # Subtracted in the precision of X: far from zero, float32 would lose the digits.
        block[:, : self.d] = (self.X[index] - self.centre) * self.inverse
        return block

    def matrix(self, dtype):
        """Return A, or for sparse X its blocks, made once for each dtype."""
        dtype = np.dtype(dtype)
        if dtype not in self._blocks:
            steps = range(0, len(self.order), SPARSE_BLOCK)
            parts = (self.rows(self.order[i : i + SPARSE_BLOCK], dtype) for i in steps)
            if self.sparse:
                self._blocks[dtype] = sp.vstack(list(parts), format="csr")
            else:
                A = np.empty((len(self.order), self.p), dtype=dtype)
                for i, part in zip(steps, parts, strict=True):
                    A[i : i + SPARSE_BLOCK] = part
                self._blocks[dtype] = A
        return self._blocks[dtype]

    def sampled(self, places: NDArray, dtype) -> FoldedDesign:
        """Return the same folds on some of the rows alone, numbered in their order.

        Parameters
        ----------
        places : ndarray of int of shape (n_s,)
            Of the rows in `order`, ascending.
        dtype : numpy dtype
            Of the rows that are kept.
        """
        rows, other = self.rows(self.order[places], dtype), copy.copy(self)
        other.X, other.n, other.order = rows, len(rows), np.arange(len(rows))
        other.segments = [part for one in self.segments if (part := one.sampled(places))]
        other.shift, other.inverse = np.zeros(self.p), np.ones(self.p)
        other._blocks = {rows.dtype: rows}
        return other

    def weight_sums(self, weights: NDArray) -> NDArray:
        """Return the sums of the rows' weights (n,) over each fold's training rows, (F,).

        A fold without any has next to nothing, by which gradients can be divided.
        """
        sums = np.zeros(self.F)
        for segment in self.segments:
            times = np.ones((len(segment.folds), 1)) if segment.times is None else segment.times
            sums[segment.folds] += (times * weights[self.order[segment.rows]]).sum(axis=1)
        return np.maximum(sums, np.finfo(float).tiny)

    def mean_rows(self, index: NDArray, dtype):
        """Return rows of A for weights that a mean fold ties to the constant column."""
        rows = self.rows(index, dtype)
        if self.tied:
            rows[:, : self.d] -= self.mean.mean(axis=0).astype(dtype)
        if self._constant and not self.intercept:
            rows[:, self.d] = 0.0
        return rows

    def release(self, dtype) -> None:
        """Forget the copy of A in one dtype."""
        self._blocks.pop(np.dtype(dtype), None)

    def blocks(self, segment: Segment, width: int, dtype):
        """Yield (slice, rows of A) over a segment, in blocks for `width` margins a row."""
        A = self.matrix(dtype)
        step = SPARSE_BLOCK if self.sparse else min(max(BLOCK_ENTRIES // width, 128), 4096)
        for start in range(segment.rows.start, segment.rows.stop, step):
            index = slice(start, min(start + step, segment.rows.stop))
            yield index, A[index]

    def to_shared(self, V: NDArray, fold: NDArray) -> NDArray:
        """Return weights upon A, (m, k, p), for weights V of models of some folds."""
        if not self.tied:
            return V
        W = V.copy()
        W[..., self.d] -= np.einsum("mkj,mj->mk", W[..., : self.d], self.mean[fold])
        return W

    def pull_back(self, G: NDArray, fold: NDArray) -> NDArray:
        """Return the gradient by V for a gradient by weights upon A, in place."""
        if self.tied:
            G[..., : self.d] -= G[..., self.d :] * self.mean[fold, None]
        if self._constant and not self.intercept:
            G[..., self.d] = 0.0
        return G

    def to_original(self, V: NDArray, fold: NDArray) -> tuple[NDArray, NDArray]:
        """Return weights (m, k, d) and intercepts (m, k) in the columns of X."""
        shared = self.to_shared(V, fold)
        W = np.where(self.inert, 0.0, shared[..., : self.d] / self.scale)
        if not self._constant:
            return W, np.zeros(W.shape[:2])
        return W, shared[..., self.d] - W @ self.centre

    def gradient_to_original(self, G: NDArray, fold: NDArray) -> NDArray:
        """Return the gradient by the weights of the columns that a user sees."""
        original = G.copy()
        if self.free:
            original[..., : self.d] -= G[..., self.d :] * self.mean[fold, None]
        original[..., : self.d] /= self.spread[fold, None]
        return original
