"""Logistic losses on margins (k, n): probabilities, residuals, curvatures.

Row weights sum to 1, so that values and gradients are means over the rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


class BinaryLoss:
    """log(1 + exp(z)) - y z with y in [0, 1] and one margin a row.

    Parameters
    ----------
    target : ndarray of shape (n,)
        1 for the positive class, else 0, in the dtype of the products.
    weights : float or ndarray of shape (n,)
        Row weights with sum 1.
    """

    k = 1
    # The second derivative of the loss of a row is at most this.
    curvature_bound = 0.25

    def __init__(self, target: NDArray, weights):
        self.target = target
        self.weights = weights

    def astype(self, dtype) -> BinaryLoss:
        """Return the same loss in another dtype."""
        return BinaryLoss(self.target.astype(dtype), _cast(self.weights, dtype))

    def blocks(self, rows: int) -> Iterator[tuple[slice, BinaryLoss]]:
        """Yield (slice, the loss of these rows) over all rows."""
        for index in _slices(len(self.target), rows):
            yield index, BinaryLoss(self.target[index], _part(self.weights, index))

    def start_margins(self) -> NDArray:
        """Return the margins of zero weights."""
        return np.zeros((1, len(self.target)), dtype=self.target.dtype)

    def probabilities(self, Z: NDArray) -> NDArray:
        """Return P(y = 1), shape (1, n); exp may overflow to inf, which gives 0."""
        P = np.negative(Z)
        np.exp(P, out=P)
        P += 1
        return np.reciprocal(P, out=P)

    def value(self, Z: NDArray) -> float:
        """Return the mean loss."""
        rows = np.maximum(Z, 0) - Z * self.target + np.log1p(np.exp(-np.abs(Z)))
        return float(np.sum(rows * self.weights, dtype=np.float64))

    def residual(self, P: NDArray) -> NDArray:
        """Return the derivative of the mean loss by the margins, (1, n)."""
        R = P - self.target
        R *= self.weights
        return R

    def curvature(self, P: NDArray) -> NDArray:
        """Return the second derivative by the margins, (n,)."""
        return (P * (1 - P) * self.weights)[0]

    def mean_curvature(self, P: NDArray, rows) -> NDArray:
        """Return the curvature of some rows, unweighted (the weights are the sampler's)."""
        part = P[0, rows].astype(np.float64)
        return part * (1 - part)

    def along(self, P: NDArray, Zp: NDArray) -> tuple[float, float]:
        """Return first and second derivative along margins Zp."""
        slope = np.vdot(self.residual(P), Zp)
        H = P * (1 - P)
        H *= Zp
        H *= Zp
        return float(slope), float(_total(H, self.weights))

    def curvature_product(self, P: NDArray, Zp: NDArray) -> NDArray:
        """Return the second derivative by the margins times Zp, (1, n)."""
        return P * (1 - P) * self.weights * Zp

    def separated(self, Z: NDArray) -> bool:
        """Whether every row lies on the side of its class."""
        return bool(np.all((Z[0] > 0) == (self.target > 0.5)))


class MultinomialLoss:
    """Cross-entropy of the softmax of k margins a row.

    Parameters
    ----------
    target : ndarray of int of shape (n,)
        Index of the class.
    k : int
        Number of classes.
    weights : float or ndarray of shape (n,)
        Row weights with sum 1.
    dtype : numpy dtype
        Of the products.
    """

    curvature_bound = 0.5

    def __init__(self, target: NDArray, k: int, weights, dtype):
        self.target = target
        self.k = k
        self.weights = weights
        self.dtype = dtype
        self._row = np.arange(len(target))

    def astype(self, dtype) -> MultinomialLoss:
        """Return the same loss in another dtype."""
        return MultinomialLoss(self.target, self.k, _cast(self.weights, dtype), dtype)

    def blocks(self, rows: int) -> Iterator[tuple[slice, MultinomialLoss]]:
        """Yield (slice, the loss of these rows) over all rows."""
        for index in _slices(len(self.target), rows):
            weights = _part(self.weights, index)
            yield index, MultinomialLoss(self.target[index], self.k, weights, self.dtype)

    def start_margins(self) -> NDArray:
        """Return the margins of zero weights."""
        return np.zeros((self.k, len(self.target)), dtype=self.dtype)

    def probabilities(self, Z: NDArray) -> NDArray:
        """Return the class probabilities, (k, n)."""
        P = Z - Z.max(axis=0)
        np.exp(P, out=P)
        P /= P.sum(axis=0)
        return P

    def value(self, Z: NDArray) -> float:
        """Return the mean loss."""
        largest = Z.max(axis=0)
        rows = np.log(np.exp(Z - largest).sum(axis=0)) + largest - Z[self.target, self._row]
        return float(np.sum(rows * self.weights, dtype=np.float64))

    def residual(self, P: NDArray) -> NDArray:
        """Return the derivative of the mean loss by the margins, (k, n)."""
        R = P * self.weights
        R[self.target, self._row] -= self.weights
        return R

    def mean_curvature(self, P: NDArray, rows) -> NDArray:
        """Return the mean over classes of P (1 - P) of some rows, unweighted."""
        part = P[:, rows].astype(np.float64)
        return (part * (1 - part)).mean(axis=0)

    def mean_coupling(self, P: NDArray) -> NDArray:
        """Return the mean over the rows of diag(p) - p p', shape (k, k), in float64."""
        weighted = P * self.weights
        C = -(weighted @ P.T).astype(np.float64)
        C.ravel()[:: self.k + 1] += weighted.sum(axis=1, dtype=np.float64)
        return C

    def contrast(self, P: NDArray, rows, u: NDArray) -> NDArray:
        """Return u'(diag(p) - p p')u of some rows, unweighted, for u of shape (k,)."""
        part = P[:, rows].astype(np.float64)
        return np.maximum((u**2) @ part - (u @ part) ** 2, 0.0)

    def pair_curvature(self, P: NDArray, rows: slice, a: int, b: int) -> NDArray:
        """Return the second derivative by the margins a and b of some rows, (rows,)."""
        of_a, of_b = P[a, rows].astype(np.float64), P[b, rows].astype(np.float64)
        weights = self.weights[rows] if isinstance(self.weights, np.ndarray) else self.weights
        return of_a * ((a == b) - of_b) * weights

    def along(self, P: NDArray, Zp: NDArray) -> tuple[float, float]:
        """Return first and second derivative along margins Zp."""
        PZ = P * Zp
        mean = PZ.sum(axis=0)
        slope = _total(mean - Zp[self.target, self._row], self.weights)
        PZ *= Zp
        return float(slope), float(_total(PZ.sum(axis=0) - mean * mean, self.weights))

    def curvature_product(self, P: NDArray, Zp: NDArray) -> NDArray:
        """Return the second derivative by the margins times Zp, (k, n)."""
        PZ = P * Zp
        return (PZ - P * PZ.sum(axis=0)) * self.weights

    def separated(self, Z: NDArray) -> bool:
        """Whether the largest margin of every row is that of its class, alone."""
        own = Z[self.target, self._row]
        rest = Z.copy()
        rest[self.target, self._row] = -np.inf
        return bool(np.all(own > rest.max(axis=0)))


def _cast(weights, dtype):
    return weights.astype(dtype) if isinstance(weights, np.ndarray) else weights


def _part(weights, index: slice):
    return weights[index] if isinstance(weights, np.ndarray) else weights


def _slices(n: int, rows: int) -> Iterator[slice]:
    for start in range(0, n, rows):
        yield slice(start, min(start + rows, n))


def _total(rows: NDArray, weights) -> float:
    if isinstance(weights, np.ndarray):
        return np.vdot(rows, weights)
    return rows.sum() * weights
