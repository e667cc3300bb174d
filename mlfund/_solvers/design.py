"""The design matrix in centred, scaled columns, without a copy of X."""

from __future__ import annotations

import copy

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

# A strided sample of this many rows gives the centre and scale of dense columns:
# both only choose coordinates, so they need not be exact.
SAMPLE_ROWS = 4096
BLOCK_ROWS = 4096


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

    Attributes
    ----------
    centre, scale : ndarray of shape (d,)
        `scale` is positive; 1 for dead columns.
    dead : ndarray of bool of shape (d,)
        Columns that carry nothing: all zero, or constant beside the intercept.
    p : int
        Columns with the constant one.
    """

    def __init__(self, X, row_weights, *, intercept: bool, centred: bool):
        self.X = X
        self.sparse = sp.issparse(X)
        self.intercept = intercept
        self.row_weights = row_weights
        self.n, self.d = X.shape
        self.p = self.d + intercept
        self.centre, self.scale, self.dead = column_statistics(X, row_weights, centred)
        self._set_products(X)

    def _set_products(self, X) -> None:
        self.dtype = X.dtype
        self._inverse_scale = np.where(self.dead, 0.0, 1.0 / self.scale)
        self._centred = bool(self.centre.any())
        # The CSC view of the transpose is free, and faster than a second CSR.
        self._transposed = X.T

    def freeze(self, columns: NDArray) -> None:
        """Count further columns (a mask) as dead: their weights stay zero."""
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
        W = V[:, : self.d] * self._inverse_scale
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
        if self._centred:
            live_centre = np.where(self.dead, 0.0, self.centre)
            original[:, : self.d] += np.outer(G[:, self.d], live_centre)
        return original

    def margins(self, V: NDArray) -> NDArray:
        """Return the margins X V' of shape (k, n); one pass over X."""
        W, b = self.to_original(V)
        W = W.astype(self.dtype, copy=False)
        if len(W) == 1:
            Z = (self.X @ W[0])[None]
        elif self.sparse:
            Z = np.ascontiguousarray((self.X @ W.T).T)
        else:
            Z = W @ self._transposed
        if self.intercept:
            Z += b[:, None].astype(self.dtype, copy=False)
        return Z

    def pull_back(self, R: NDArray) -> NDArray:
        """Return R X, the (k, p) gradient that residuals R (k, n) give; one pass over X."""
        G = np.empty((len(R), self.p))
        if len(R) == 1:
            G[0, : self.d] = self._transposed @ R[0] if self.sparse else R[0] @ self.X
        elif self.sparse:
            G[:, : self.d] = (self._transposed @ R.T).T
        else:
            G[:, : self.d] = R @ self.X
        if self.intercept:
            total = R.sum(axis=1, dtype=np.float64)
            G[:, self.d] = total
            if self._centred:
                G[:, : self.d] -= np.outer(total, self.centre)
        G[:, : self.d] *= self._inverse_scale
        return G

    def rows(self, index: slice | NDArray) -> NDArray:
        """Return standardised rows as a dense float64 array of shape (len(index), p)."""
        part = self.X[index]
        if self.sparse:
            part = part.toarray()
        block = np.ones((part.shape[0], self.p))
        np.subtract(part, self.centre, out=block[:, : self.d])
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
        h = h.astype(self.dtype, copy=False)
        out = np.full(self.p, float(np.sum(h, dtype=np.float64)))
        if self.sparse:
            squared = sp.csr_array((self.X.data**2, self.X.indices, self.X.indptr), self.X.shape)
            second = (squared.T @ h).astype(np.float64)
            first = (self._transposed @ h).astype(np.float64)
        else:
            second = np.einsum("ij,ij,i->j", self.X, self.X, h, dtype=np.float64)
            first = (h @ self.X).astype(np.float64)
        total = out[-1]
        centred = second - self.centre * (2.0 * first - self.centre * total)
        out[: self.d] = np.maximum(centred, 0.0) * self._inverse_scale**2
        return out


def column_statistics(X, row_weights, centred: bool) -> tuple[NDArray, NDArray, NDArray]:
    """Return centre, scale and the mask of dead columns, each of shape (d,)."""
    if sp.issparse(X):
        centre, scale = _sparse_moments(X, row_weights, centred)
    else:
        centre, scale = _dense_moments(X, row_weights, centred)
    # The rounding of a mean leaves a constant column with a spread of a few ulp.
    rounding = 8 * np.finfo(X.dtype).eps * np.abs(centre)
    dead = ~(scale > rounding)
    return np.where(dead, 0.0, centre) if centred else centre, np.where(dead, 1.0, scale), dead


def _dense_moments(X, row_weights, centred):
    """Mean and spread from a strided sample; from all rows where the sample is constant."""
    stride = -(-len(X) // SAMPLE_ROWS)
    weights = row_weights[::stride] if isinstance(row_weights, np.ndarray) else None
    centre, scale = _moments(X[::stride], weights, centred)
    if stride > 1:
        flat = np.flatnonzero(~(scale > 8 * np.finfo(X.dtype).eps * np.abs(centre)))
        if len(flat):
            weights = row_weights if isinstance(row_weights, np.ndarray) else None
            centre[flat], scale[flat] = _moments(X[:, flat], weights, centred)
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


def _sparse_moments(X, row_weights, centred):
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
    if not centred:
        return np.zeros(X.shape[1]), np.sqrt(mean_square) * unit
    mean = np.bincount(columns, of_entry * data, minlength=X.shape[1])
    spread = mean_square - mean**2
    # One-pass variances lose half the digits: below that, the column is constant.
    spread = np.where(spread > 64 * np.finfo(np.float64).eps * mean_square, spread, 0.0)
    return mean * unit, np.sqrt(spread) * unit
