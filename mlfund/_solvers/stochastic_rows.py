"""Rows as stochastic gradient descent reads them: shuffled blocks, standardised on the way.

A block of rows is gathered and standardised at once and then cut into batches, so a step
pays for two small products and nothing else. Sparse rows and a batch of all rows are not
copied: there the centre and the scale act on the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from mlfund._solvers.design import column_statistics

# Bytes of a block: large enough that its costs vanish beside its steps, small enough to be
# in the cache when the products read it.
BLOCK_BYTES = 1 << 20
# Rows of which the loss is computed at once.
PIECE_ROWS = 65_536


@dataclass
class Coordinates:
    """Columns centred and scaled: v_j = scale_j w_j, v_d = b + sum_j centre_j w_j.

    Attributes
    ----------
    centre, scale : ndarray of shape (d,)
    dead : ndarray of bool of shape (d,)
        Columns without any spread; their weights stay zero.
    intercept : bool
    """

    centre: np.ndarray
    scale: np.ndarray
    dead: np.ndarray
    intercept: bool

    @property
    def inverse_scale(self) -> np.ndarray:
        """Return 1 / scale, 0 for dead columns."""
        return np.where(self.dead, 0.0, 1.0 / self.scale)

    def to_original(self, V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (k, d) and intercepts (k,) in the columns of X, float64."""
        d = len(self.centre)
        W = V[:, :d] * self.inverse_scale
        b = V[:, d] - W @ self.centre if self.intercept else np.zeros(len(V))
        return W, b

    def from_original(self, W: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return V of shape (k, p) for weights and intercepts in the columns of X."""
        V = np.where(self.dead, 0.0, W * self.scale)
        return np.hstack([V, (b + W @ self.centre)[:, None]]) if self.intercept else V


class Moments:
    """Mean and spread of the columns over all rows seen so far.

    Parameters
    ----------
    d : int
    centred : bool
        Whether the spread is about the mean; about zero otherwise.
    """

    def __init__(self, d: int, centred: bool) -> None:
        self.centred = centred
        self.weight, self.rows = 0.0, 0
        self.mean, self.spread = np.zeros(d), np.zeros(d)

    def add(self, X: Any, weight: np.ndarray | None) -> None:
        """Take further rows into account."""
        n = X.shape[0]
        total = float(n) if weight is None else float(weight.sum())
        shares = 1.0 / n if weight is None else weight / total
        mean, spread, dead = column_statistics(X, shares, self.centred)
        # A constant column comes back as mean 0 and scale 1.
        first = X[[0]].toarray()[0] if sp.issparse(X) else X[0]
        mean = np.where(dead, first.astype(np.float64), mean) if self.centred else mean
        spread = np.where(dead, 0.0, spread)
        share = total / (self.weight + total)
        gap = (mean - self.mean) * np.sqrt(share * (1.0 - share))
        parts = [np.sqrt(1 - share) * self.spread, np.sqrt(share) * spread, np.abs(gap)]
        self.spread = np.hypot(np.hypot(parts[0], parts[1]), parts[2])
        self.mean = self.mean + share * (mean - self.mean)
        self.weight += total
        self.rows += n

    def coordinates(self, l2: float, dtype: Any, intercept: bool) -> Coordinates:
        """Return the coordinates in which spread and l2 penalty together are 1.

        A column in tiny units would otherwise meet an l2 penalty far stiffer than the data,
        and the step would have to suit that penalty.
        """
        rounding = 8 * np.finfo(dtype).eps * np.abs(self.mean)
        dead = ~(self.spread > rounding)
        # The centre is one that the dtype can hold, so that differences to it are exact.
        centre = self.mean.astype(dtype).astype(np.float64)
        scale = np.where(dead, 1.0, np.hypot(self.spread, np.sqrt(l2)))
        return Coordinates(np.where(dead, 0.0, centre), scale, dead, intercept)


class Part:
    """Standardised rows with a column of ones: the batch as a plain matrix."""

    def __init__(self, Z: Any) -> None:
        self.Z = Z

    def raw(self, V: Any) -> Any:
        """Return the raw scores, (rows, k)."""
        return self.Z @ V.T

    def pull_back(self, R: Any) -> Any:
        """Return R' Z, (k, p)."""
        return R.T @ self.Z


class ScaledPart:
    """Rows as they are, dense or CSR; centre and scale act on the weights."""

    def __init__(self, X: Any, coordinates: Coordinates, dtype: Any) -> None:
        self.X, self.intercept = X, coordinates.intercept
        self.inverse = coordinates.inverse_scale.astype(dtype)
        self.offset = (coordinates.centre * coordinates.inverse_scale).astype(dtype)
        self.d = len(self.inverse)

    def rows(self, X: Any) -> ScaledPart:
        """Return the same coordinates on other rows."""
        other = object.__new__(ScaledPart)
        other.__dict__.update(self.__dict__)
        other.X = X
        return other

    def raw(self, V: np.ndarray) -> np.ndarray:
        """Return the raw scores, (rows, k)."""
        W = V[:, : self.d]
        raw = np.asarray(self.X @ (W * self.inverse).T)
        return raw + (V[:, self.d] - W @ self.offset) if self.intercept else raw

    def pull_back(self, R: np.ndarray) -> np.ndarray:
        """Return R' Z, (k, p)."""
        G = np.empty((R.shape[1], self.d + self.intercept), dtype=R.dtype)
        G[:, : self.d] = (self.X.T @ R).T if sp.issparse(self.X) else R.T @ self.X
        G[:, : self.d] *= self.inverse
        if self.intercept:
            total = R.sum(axis=0)
            G[:, self.d] = total
            G[:, : self.d] -= total[:, None] * self.offset
        return G


@dataclass
class Block:
    """Consecutive batches of one epoch.

    Attributes
    ----------
    parts : list of Part or ScaledPart
        One a batch.
    y, weight : array of shape (rows, ...), weight None without weights
        Of the rows of all batches, in their order.
    """

    parts: list[Any]
    y: Any
    weight: Any


class Rows:
    """X, encoded targets and weights of one training set on the CPU.

    Parameters
    ----------
    X : ndarray or CSR of shape (n, d), float32 or float64
    y : ndarray of shape (n, 1) or (n,)
        As the loss takes them.
    weight : ndarray of shape (n,) or None
    coordinates : Coordinates
    """

    def __init__(self, X: Any, y: np.ndarray, weight: Any, coordinates: Coordinates) -> None:
        self.X, self.y, self.weight = X, y, weight
        self.coordinates = coordinates
        self.n, self.d = X.shape
        self.dtype = X.dtype
        self._whole = ScaledPart(X, coordinates, X.dtype)
        self._centre = coordinates.centre.astype(X.dtype)
        self._block: Any = None

    def blocks(self, order: np.ndarray | None, batch_size: int) -> Iterator[Block]:
        """Yield the rows in `order` (their own when None) as blocks of batches."""
        if batch_size >= self.n:
            # All rows in one batch: their order changes nothing but rounding.
            yield Block([self._whole], self.y, self.weight)
            return
        batches = max(1, BLOCK_BYTES // (self._row_bytes() * batch_size))
        for start in range(0, self.n, batches * batch_size):
            stop = min(start + batches * batch_size, self.n)
            index: Any = slice(start, stop) if order is None else order[start:stop]
            weight = None if self.weight is None else self.weight[index]
            parts = self._parts(index, stop - start, batch_size)
            yield Block(parts, self.y[index], weight)

    def pieces(self) -> Iterator[tuple[Any, Any, Any]]:
        """Yield (part, y, weight) over all rows in their order, without copies."""
        for start in range(0, self.n, PIECE_ROWS):
            stop = min(start + PIECE_ROWS, self.n)
            X = _csr_rows(self.X, start, stop) if sp.issparse(self.X) else self.X[start:stop]
            weight = None if self.weight is None else self.weight[start:stop]
            yield self._whole.rows(X), self.y[start:stop], weight

    def sample(self, size: int) -> np.ndarray:
        """Return about `size` standardised rows, evenly spread, dense, float64."""
        X = self.X[:: -(-self.n // size)]
        X = X.toarray() if sp.issparse(X) else X
        return self._standardised(X.astype(np.float64))

    def _row_bytes(self) -> int:
        width = self.X.nnz / self.n * 2 if sp.issparse(self.X) else self.d
        return max(1, int(width * self.dtype.itemsize))

    def _parts(self, index: Any, rows: int, batch_size: int) -> list[Any]:
        bounds = [(s, min(s + batch_size, rows)) for s in range(0, rows, batch_size)]
        X = self.X[index]
        if sp.issparse(X):
            return [self._whole.rows(_csr_rows(X, s, e)) for s, e in bounds]
        Z = self._standardised(X)
        return [Part(Z[s:e]) for s, e in bounds]

    def _standardised(self, X: np.ndarray) -> np.ndarray:
        coordinates = self.coordinates
        Z = np.empty((len(X), self.d + coordinates.intercept), dtype=X.dtype)
        np.subtract(X, self._centre, out=Z[:, : self.d])
        Z[:, : self.d] *= self._whole.inverse
        if coordinates.intercept:
            Z[:, self.d] = 1.0
        return Z


def _csr_rows(X: Any, start: int, stop: int) -> Any:
    """Return some consecutive rows of a CSR array without a copy of its entries."""
    first, last = X.indptr[start], X.indptr[stop]
    part = X.data[first:last], X.indices[first:last], X.indptr[start : stop + 1] - first
    return sp.csr_array(part, shape=(stop - start, X.shape[1]))
