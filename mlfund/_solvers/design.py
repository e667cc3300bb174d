"""The design matrix in centred, scaled columns, without a copy of X."""

from __future__ import annotations

import copy

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from mlfund._solvers import dense_pass
from mlfund._solvers.moments import column_statistics, column_sums
from mlfund._solvers.products import margins_product, skinny_product

BLOCK_ROWS = 4096
# Bytes of X that one step of a fused pass works on: they stay in a core's own cache, so
# that margins, residual and gradient read X from memory once.
FUSED_BYTES = 3 << 18


class PassCount:
    """Number of products with X or its transpose; shared by the copies of a design."""

    def __init__(self) -> None:
        self.n = 0


class Design:
    """X with a constant column, in coordinates in which all columns look alike.

    A weight v_j of the standardised column j is w_j = v_j / scale_j in the columns of X,
    and the intercept is b = v_d - sum_j centre_j w_j. The products below apply this to
    the weights instead of the data, so X is read as it is, dense or sparse.

    Parameters
    ----------
    X : ndarray or scipy.sparse CSR of shape (n, d)
        Its dtype is the dtype of the products.
    row_weights : float or ndarray of shape (n,)
        Weights of the rows, with sum 1 (a float when all are equal).
    intercept : bool
        Whether there is a constant column; it comes last.
    centred : bool
        Whether the columns are centred (needs an intercept that is not penalised).
    every_row : bool
        Whether all rows tell the centre and scale of dense columns, not a sample.

    Attributes
    ----------
    centre, scale : ndarray of shape (d,)
        `scale` is positive; 1 for dead columns.
    dead : ndarray of bool of shape (d,)
        Columns that carry nothing: all zero, or constant beside the intercept.
    p : int
        Columns with the constant one.
    passes : PassCount
        Counts the products with X or its transpose, of this design and its copies.
    fused : bool
        Whether `evaluate` reads X once for margins and gradient together.
    """

    # Whether margins and the like live on a device.
    elsewhere = False

    def __init__(self, X, row_weights, *, intercept: bool, centred: bool, every_row: bool = False):
        self.X = X
        self.sparse = sp.issparse(X)
        self.fused = not self.sparse
        self.passes = PassCount()
        self.intercept = intercept
        self.row_weights = row_weights
        self.n, self.d = X.shape
        self.p = self.d + intercept
        self.centre, self.scale, self.dead = column_statistics(
            X, row_weights, centred, every_row=every_row
        )
        self._set_products(X)

    def _set_products(self, X) -> None:
        self.dtype = X.dtype
        # The columns as they are stored: those of X here, shifted and scaled in copies.
        self._inverse_scale = np.where(self.dead, 0.0, 1.0 / self.scale)
        self._shift = self.centre
        self._shifted = bool(self.centre.any())
        # The CSC view of the transpose is free, and faster than a second CSR.
        self._transposed = X.T

    def freeze(self, columns: NDArray) -> None:
        """Count further columns (a mask) as dead: their weights stay zero."""
        if not (columns > self.dead).any():
            return
        self.dead = self.dead | columns
        self.centre = np.where(self.dead, 0.0, self.centre)
        self.scale = np.where(self.dead, 1.0, self.scale)
        self._set_products(self.X)

    def astype(self, dtype) -> Design:
        """Return the same design, in the same coordinates, on X in another dtype."""
        other = copy.copy(self)
        other.X = self.X.astype(dtype, copy=False)
        other._set_products(other.X)
        return other

    def to_original(self, V: NDArray) -> tuple[NDArray, NDArray]:
        """Return weights (k, d) and intercepts (k,) in the columns of X."""
        W = V[:, : self.d] * np.where(self.dead, 0.0, 1.0 / self.scale)
        if not self.intercept:
            return W, np.zeros(len(V))
        return W, V[:, self.d] - W @ self.centre

    def from_original(self, W: NDArray, b: NDArray) -> NDArray:
        """Return V of shape (k, p) for weights and intercepts in the columns of X."""
        V = np.empty((len(W), self.p))
        V[:, : self.d] = np.where(self.dead, 0.0, W * self.scale)
        if self.intercept:
            V[:, self.d] = b + W @ self.centre
        return V

    def gradient_to_original(self, G: NDArray) -> NDArray:
        """Return the gradient with respect to (weights, intercepts) in the columns of X."""
        original = G.copy()
        original[:, : self.d] *= np.where(self.dead, 0.0, self.scale)
        if self.intercept and self.centre.any():
            live_centre = np.where(self.dead, 0.0, self.centre)
            original[:, : self.d] += G[:, self.d :] * live_centre
        return original

    def stored_units(self, columns: NDArray) -> tuple[NDArray, NDArray]:
        """Return shift and inverse scale that make the standardised of the stored columns."""
        return self._shift[columns], self._inverse_scale[columns]

    def margins(self, V: NDArray) -> NDArray:
        """Return the margins X V' of shape (k, n); one pass over X."""
        self.passes.n += 1
        W, b = self._stored_weights(V)
        if self.sparse and len(W) > 1:
            Z = np.ascontiguousarray((self.X @ W.T).T)
        else:
            Z = self._margins_of(self.X, W)
        if b is not None:
            Z += b
        return Z

    def pull_back(self, R: NDArray) -> NDArray:
        """Return R X, the (k, p) gradient that residuals R (k, n) give; one pass over X."""
        self.passes.n += 1
        if not self.sparse:
            products = self._pulled(self.X, R)
        elif len(R) == 1:
            products = (self._transposed @ R[0])[None]
        else:
            products = (self._transposed @ R.T).T
        return self._gradient(products, R.sum(axis=1, dtype=np.float64))

    def evaluate(self, V: NDArray, loss) -> tuple[NDArray, NDArray, NDArray, float | None]:
        """Return margins (k, n), probabilities (k, n), gradient (k, p) and mean loss, or None.

        Both products are taken block by block, so dense X is read from memory once. The mean
        loss comes with them where the loops are compiled.
        """
        self.passes.n += 2
        W, b = self._stored_weights(V)
        if dense_pass.suits(self.X, loss):
            Z, P, products, total, value = dense_pass.evaluate(self.X, W, b, loss)
            return Z, P, self._gradient(products, total), value
        Z = np.empty((len(W), self.n), self.dtype)
        P = np.empty_like(Z)
        products, total = np.zeros((len(W), self.d)), np.zeros(len(W))
        rows = max(FUSED_BYTES // (self.d * self.dtype.itemsize), 64)
        for index, part in loss.blocks(rows):
            block = self.X[index]
            of_block = self._margins_of(block, W)
            if b is not None:
                of_block += b
            Z[:, index] = of_block
            P[:, index] = of_block = part.probabilities(of_block)
            R = part.residual(of_block)
            products += self._pulled(block, R)
            total += R.sum(axis=1, dtype=np.float64)
        return Z, P, self._gradient(products, total), None

    def _stored_weights(self, V: NDArray) -> tuple[NDArray, NDArray | None]:
        """Return weights (k, d) and offsets (k, 1) for the columns as they are stored."""
        W = (V[:, : self.d] * self._inverse_scale).astype(self.dtype, copy=False)
        if not self.intercept:
            return W, None
        # From the rounded weights: what rounding moves there, it moves here too.
        offsets = V[:, self.d] - W.astype(np.float64, copy=False) @ self._shift
        return W, offsets[:, None].astype(self.dtype, copy=False)

    def _gradient(self, products: NDArray, total: NDArray) -> NDArray:
        """Return the gradient, given R X of the stored columns and the sums of R."""
        G = np.empty((len(products), self.p))
        G[:, : self.d] = products
        if self.intercept:
            G[:, self.d] = total
            if self._shifted:
                G[:, : self.d] -= total[:, None] * self._shift
        G[:, : self.d] *= self._inverse_scale
        return G

    def _margins_of(self, X, W: NDArray) -> NDArray:
        return (X @ W[0])[None] if len(W) == 1 else margins_product(W, X)

    def _pulled(self, X, R: NDArray) -> NDArray:
        return (R[0] @ X)[None] if len(R) == 1 else skinny_product(R, X)

    def rows(self, index: slice | NDArray) -> NDArray:
        """Return standardised rows as a dense float64 array of shape (len(index), p)."""
        part = self.X[index]
        if self.sparse:
            part = part.toarray()
        block = np.ones((part.shape[0], self.p))
        np.subtract(part, self._shift, out=block[:, : self.d])
        block[:, : self.d] *= self._inverse_scale
        return block

    def blocks(self):
        """Yield (slice, standardised rows) over all rows."""
        for start in range(0, self.n, BLOCK_ROWS):
            index = slice(start, min(start + BLOCK_ROWS, self.n))
            yield index, self.rows(index)

    def gram(self, rows: NDArray, h: NDArray) -> NDArray:
        """Return sum_i h_i x_i x_i' over standardised rows that `rows` gave, (p, p) float64."""
        return (rows * h[:, None]).T @ rows

    def in_double(self, rows: NDArray) -> NDArray:
        """Return rows that `rows` gave in float64."""
        return rows.astype(np.float64)

    def to_host(self, of_rows: NDArray) -> NDArray:
        """Return values of the rows as a new numpy array in float64."""
        return of_rows.astype(np.float64)

    def from_host(self, of_rows: NDArray) -> NDArray:
        """Return values of some rows where the rows are."""
        return of_rows

    def moved(self, Z: NDArray, Zp: NDArray, t: float) -> NDArray:
        """Return the margins Z + t Zp."""
        moved = Zp * Zp.dtype.type(t)
        moved += Z
        return moved

    def weights_of(self, index: slice | NDArray) -> NDArray:
        """Return the weights of some rows in float64."""
        if isinstance(self.row_weights, np.ndarray):
            return self.row_weights[index].astype(np.float64)
        rows = index.stop - index.start if isinstance(index, slice) else len(index)
        return np.full(rows, self.row_weights)

    def squared_sums(self, h: NDArray) -> NDArray:
        """Return sum_i h_i x_ij^2 over the standardised columns, shape (p,)."""
        self.passes.n += 2
        h = h.astype(self.dtype, copy=False)
        out = np.full(self.p, float(np.sum(h, dtype=np.float64)))
        if self.sparse:
            first, second = column_sums(self.X, h)
        else:
            second = np.einsum("ij,ij,i->j", self.X, self.X, h, dtype=np.float64)
            first = (h @ self.X).astype(np.float64)
        total = out[-1]
        centred = second - self._shift * (2.0 * first - self._shift * total)
        out[: self.d] = np.maximum(centred, 0.0) * self._inverse_scale**2
        return out
