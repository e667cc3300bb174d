"""float32 copies of float64 problems: half the bytes a pass, for all but the last digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from mlfund._solvers.design import FUSED_BYTES, Design
from mlfund._solvers.problem import Problem

# From this many entries on the passes saved outweigh the copy.
SINGLE_ENTRIES = 1_000_000
SINGLE_NONZEROS = 300_000
# A column is copied as it is while the rounding of its entries stays small beside its
# spread: |mean| up to so many spreads, and units that float32 holds with room to spare.
CAST_CENTRE = 8.0
CAST_SCALE = 1e12
LARGEST_SINGLE = 1e30


class SingleDesign(Design):
    """A design on a float32 copy of its columns, in the same coordinates.

    Where the columns have large means or extreme units the copy holds the standardised
    columns, (column - centre) / scale, so that float32 loses nothing to cancellation and
    nothing leaves its range; else it holds the columns as they are, which is cheaper.

    Parameters
    ----------
    design : Design
        In float64; when sparse, `is_tame`.
    """

    def __init__(self, design: Design):
        self.__dict__.update(design.__dict__)
        self._exact = design
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            if is_tame(design):
                self.X = _in_single(design.X)
                self._set_products(self.X)
            else:
                self.X = self._standardised()
                self._set_products(self.X)
                self._inverse_scale = np.where(self.dead, 0.0, 1.0)
                self._shift, self._shifted = np.zeros(self.d), False

    def _standardised(self) -> NDArray:
        X = np.empty(self._exact.X.shape, np.float32)
        inverse = np.where(self.dead, 0.0, 1.0 / self.scale)
        rows = max(FUSED_BYTES // (8 * self.d), 1)
        for start in range(0, self.n, rows):
            block = self._exact.X[start : start + rows] - self.centre
            block *= inverse
            X[start : start + rows] = block
        return X

    def astype(self, dtype: type) -> Design:
        """Return the design in float64: the exact one, in the same coordinates."""
        return self._exact if dtype == np.float64 else self

    def rows(self, index: slice | NDArray) -> NDArray:
        """Return standardised rows as a dense float32 array of shape (len(index), p)."""
        part = self.X[index].toarray() if self.sparse else self.X[index]
        block = np.ones((part.shape[0], self.p), np.float32)
        if not self._shifted:
            np.multiply(part, self._inverse_scale, out=block[:, : self.d], casting="same_kind")
            return block
        np.subtract(part, self._shift.astype(np.float32), out=block[:, : self.d])
        block[:, : self.d] *= self._inverse_scale.astype(np.float32)
        return block

    def gram(self, rows: NDArray, h: NDArray) -> NDArray:
        """Return sum_i h_i x_i x_i' over standardised rows, (p, p) float64; h from 0."""
        weighted = rows * np.sqrt(h).astype(rows.dtype)[:, None]
        return (weighted.T @ weighted).astype(np.float64)


def _in_single(X: Any) -> Any:
    """Return X in float32; sparse copies share their indices with X, which astype copies."""
    if not sp.issparse(X):
        return X.astype(np.float32)
    return sp.csr_array((X.data.astype(np.float32), X.indices, X.indptr), shape=X.shape)


def is_tame(design: Design) -> bool:
    """Return whether float32 holds all columns as they are without loss."""
    scale = design.scale
    tame = (scale <= CAST_SCALE) & (scale >= 1.0 / CAST_SCALE)
    if design.centre.any():
        tame &= np.abs(design.centre) <= CAST_CENTRE * scale
    return bool((tame | design.dead).all())


def single_precision(problem: Problem) -> Problem | None:
    """Return the problem on a float32 copy of X, or None where that does not pay.

    A solution in float32 is a start in float64, and never more: `linear.solve` measures the
    gradient there in float64.
    """
    design = problem.design
    if design.elsewhere:
        return problem.astype(np.float32)
    if type(design) is not Design or design.dtype != np.float64:
        return None
    if problem.l2.max(initial=0.0) > LARGEST_SINGLE:
        return None
    if design.sparse:
        pays = design.X.nnz >= SINGLE_NONZEROS and is_tame(design)
    else:
        pays = design.n * design.d >= SINGLE_ENTRIES
    if not pays:
        return None
    return Problem(SingleDesign(design), problem.loss.astype(np.float32), problem.l2, problem.l1)
