"""The rows of a cross-validation, sorted so that membership of folds is a slice.

Rows that the same folds train on stand together. With k folds there are k such segments,
one for each test fold, and in the segment of a fold all models but its own are at work: no
mask, no copy of X for each fold.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from mlfund._solvers.design import column_statistics

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
    Fold f sees the columns (a - mean_f) / scale_f; this is applied to the weights, not to A:
    w_j = v_j / scale_fj and b = v_d - sum_j mean_fj w_j.

    Parameters
    ----------
    X : ndarray or CSR of shape (n, d)
    times : ndarray of shape (F, n)
        See `sort_into_segments`.
    intercept : bool
        Whether the models have an intercept.
    centred : bool
        Whether the columns of A may be centred: the intercept is there and not penalised.
    standardise : bool
        Whether each fold standardises the columns by its training rows, as StandardScaler
        does (of sparse X only the scale); the weights v are then penalised in those columns.
    affine : tuple of two ndarrays of shape (F, d), optional
        In place of that, centre and scale of the folds in the columns of X.

    Attributes
    ----------
    order : ndarray of int
        Row of X for each row of A.
    centre, scale : ndarray of shape (d,)
        A is (X - centre) / scale.
    mean, spread : ndarray of shape (F, d)
        Coordinates of the folds upon A; zeros and ones unless `standardise`.
    standardise : bool
        Whether the folds have such coordinates.
    units : ndarray of shape (p,)
        The penalty on v_j is `units[j]` times that on a weight of the columns penalised.
    p : int
        Columns of A.
    """

    def __init__(
        self,
        X,
        times: NDArray,
        *,
        intercept: bool,
        centred: bool,
        standardise: bool,
        affine: tuple[NDArray, NDArray] | None = None,
    ):
        self.X = X
        self.n, self.d = X.shape
        self.F = len(times)
        self.sparse = sp.issparse(X)
        self.intercept, self.standardise = intercept, standardise or affine is not None
        self.order, self.segments = sort_into_segments(times)
        centred = (centred or self.standardise) and not self.sparse
        self.centre, self.scale, self.dead = column_statistics(X, 1.0 / self.n, centred)
        self._constant = intercept or centred
        self.p = self.d + self._constant
        self.units = np.zeros(self.p)
        self.units[: self.d] = 1.0 if self.standardise else 1.0 / self.scale**2
        self.mean, self.spread = np.zeros((self.F, self.d)), np.ones((self.F, self.d))
        self._blocks: dict = {}
        if self.standardise and centred:
            # A has zeros in the columns that are constant.
            self.centre = np.where(self.dead, X[0], self.centre)
        if affine is not None:
            self.mean = (affine[0] - self.centre) / self.scale
            self.spread = affine[1] / self.scale
        elif standardise:
            self._fold_statistics()

    def rows(self, index: NDArray, dtype):
        """Return rows of A, given by their numbers in X, in some dtype."""
        inverse = np.where(self.dead, 0.0, 1.0 / self.scale)
        if self.sparse:
            part = self.X[index].multiply(inverse).tocsr()
            if self._constant:
                part = sp.hstack([part, np.ones((part.shape[0], 1))], format="csr")
            return part.astype(dtype)
        block = np.ones((len(index), self.p), dtype=dtype)
        # Subtracted in the precision of X: far from zero, float32 would lose the digits.
        block[:, : self.d] = (self.X[index] - self.centre) * inverse
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

    def sampled(self, index: NDArray, rows) -> FoldedDesign:
        """Return a design of one fold on some rows, given in the mean coordinates."""
        other = object.__new__(FoldedDesign)
        other.__dict__.update(self.__dict__)
        other.order, other.F, other.standardise = index, 1, False
        other.segments = [Segment(slice(0, len(index)), np.zeros(1, dtype=int), None)]
        other._blocks = {rows.dtype: rows}
        return other

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

    def _fold_statistics(self) -> None:
        """Take mean and standard deviation of each fold's training rows from segment sums."""
        counts = np.zeros(self.F)
        first, second = np.zeros((self.F, self.d)), np.zeros((self.F, self.d))
        for segment in self.segments:
            for index, rows in self.blocks(segment, 256, np.float64):
                part = rows[:, : self.d]
                squared = part.multiply(part).tocsr() if self.sparse else part * part
                times = segment.times
                if times is None:
                    times = np.ones((len(segment.folds), 1))
                elif times.shape[1] > 1:
                    offset = segment.rows.start
                    times = times[:, index.start - offset : index.stop - offset]
                times = np.broadcast_to(times, (len(times), part.shape[0])).astype(np.float64)
                counts[segment.folds] += times.sum(axis=1)
                first[segment.folds] += (part.T @ times.T).T
                second[segment.folds] += (squared.T @ times.T).T
        mean = first / counts[:, None]
        variance = second / counts[:, None] - mean**2
        rounding = 1e-12 * (1.0 + mean**2)
        self.spread = np.sqrt(np.where(variance > rounding, variance, 1.0))
        if not self.sparse:
            self.mean = mean

    def to_shared(self, V: NDArray, fold: NDArray) -> NDArray:
        """Return weights upon A, (m, k, p), for weights V of models of some folds."""
        if not self.standardise:
            return V
        W = V.copy()
        W[..., : self.d] /= self.spread[fold, None]
        if self._constant:
            W[..., self.d] -= np.einsum("mkj,mj->mk", W[..., : self.d], self.mean[fold])
        return W

    def pull_back(self, G: NDArray, fold: NDArray) -> NDArray:
        """Return the gradient by V for a gradient by weights upon A, in place."""
        if self.standardise:
            if self._constant:
                G[..., : self.d] -= G[..., self.d :] * self.mean[fold, None]
            G[..., : self.d] /= self.spread[fold, None]
        if self._constant and not self.intercept:
            G[..., self.d] = 0.0
        return G

    def to_original(self, V: NDArray, fold: NDArray) -> tuple[NDArray, NDArray]:
        """Return weights (m, k, d) and intercepts (m, k) in the columns of X."""
        shared = self.to_shared(V, fold)
        W = shared[..., : self.d] / self.scale
        if not self._constant:
            return W, np.zeros(W.shape[:2])
        return W, shared[..., self.d] - W @ self.centre

    def gradient_to_original(self, G: NDArray) -> NDArray:
        """Return the gradient by the weights of the columns that a user sees."""
        if self.standardise:
            return G
        original = G.copy()
        original[..., : self.d] *= np.where(self.dead, 0.0, self.scale)
        if self.intercept and self.centre.any():
            original[..., : self.d] += G[..., self.d :] * self.centre
        return original
