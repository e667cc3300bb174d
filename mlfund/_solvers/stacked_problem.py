"""Many logistic regressions at once: folds times strengths of the penalty."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.stacked_rows import FoldedDesign


class StackedProblem:
    """All models of a grid, on one copy of the rows.

    Model (c, f) minimises, over V of shape (k, p), the weighted mean of the loss over the
    rows that fold f trains on, plus 1/2 sum_j l2_cf units_j v_j^2.

    Parameters
    ----------
    design : FoldedDesign
    code : ndarray of int of shape (n,)
        Class of each row of X.
    n_classes : int
    weights : ndarray of shape (n,), or None
        Row weights, the largest 1; None when all are equal.
    l2 : ndarray of shape (K, F)
        Strength of the penalty beside the mean loss.
    sums : ndarray of shape (F,)
        Sums of the weights over each fold's training rows.
    of_intercept : float or None
        As in `linear.Penalty`.
    dtype : numpy dtype
        Of the products with A.

    Attributes
    ----------
    k : int
        Margins a row: 1 for two classes.
    fold, strength : ndarray of int of shape (K F,)
        f and c of each model; the models of one c stand together.
    penalty : ndarray of shape (K F, p)
        l2 times units.
    """

    def __init__(
        self, design: FoldedDesign, code, n_classes: int, weights, l2, sums, of_intercept, dtype
    ):
        self.design, self.dtype = design, np.dtype(dtype)
        self.k = 1 if n_classes == 2 else n_classes
        self.code, self.n_classes, self.weights, self.sums = code, n_classes, weights, sums
        self.l2, self.of_intercept = l2, of_intercept
        self._target = code[design.order]
        self._weights = None if weights is None else weights[design.order].astype(dtype)
        if self.k == 1:
            self._target = self._target.astype(dtype)
        K, F = l2.shape
        self.strength, self.fold = np.repeat(np.arange(K), F), np.tile(np.arange(F), K)
        units = design.units.copy()
        if of_intercept is not None:
            units[design.d] = 1.0 / of_intercept**2
        self.units = units
        self.penalty = l2.ravel()[:, None] * units
        self._original = 1.0 / np.sqrt(1.0 + self.penalty)

    def astype(self, dtype) -> StackedProblem:
        """Return the same problem with products in another dtype."""
        other = object.__new__(StackedProblem)
        other.__dict__.update(self.__dict__)
        other.dtype = np.dtype(dtype)
        if self.weights is not None:
            other._weights = self.weights[self.design.order].astype(dtype)
        if self.k == 1:
            other._target = self.code[self.design.order].astype(dtype)
        return other

    def gradients(self, V: NDArray, models: NDArray) -> NDArray:
        """Return the gradients of some models, (m, k, p); one pass over A.

        Parameters
        ----------
        V : ndarray of shape (m, k, p)
        models : ndarray of int of shape (m,)
            Which of all models these are.
        """
        fold = self.fold[models]
        W = self.design.to_shared(V, fold).astype(self.dtype)
        G = np.zeros(V.shape)
        for segment in self.design.segments:
            # Models that hold these rows out are not computed at all.
            place = np.searchsorted(segment.folds, fold)
            place[place == len(segment.folds)] = 0
            at_work = np.flatnonzero(segment.folds[place] == fold)
            if len(at_work):
                times = None if segment.times is None else segment.times[place[at_work]]
                G[at_work] += self._segment_gradient(segment, W[at_work], times)
        G /= self.sums[fold, None, None]
        G = self.design.pull_back(G, fold)
        G += self.penalty[models, None] * V
        return G

    def _segment_gradient(self, segment, W: NDArray, times) -> NDArray:
        m, k, p = W.shape
        W = W.reshape(m * k, p)
        G = np.zeros((m * k, p))
        for index, rows in self.design.blocks(segment, m * k, self.dtype):
            Z = (rows @ W.T).T if self.design.sparse else W @ rows.T
            R = self._residual(Z, self._target[index])
            if self._weights is not None:
                R *= self._weights[index]
            if times is not None:
                part = times
                if times.shape[1] > 1:
                    part = times[:, index.start - segment.rows.start :][:, : rows.shape[0]]
                R.reshape(m, k, -1)[...] *= part[:, None].astype(self.dtype)
            G += (rows.T @ R.T).T if self.design.sparse else R @ rows
        return G.reshape(m, k, p)

    def _residual(self, Z: NDArray, target: NDArray) -> NDArray:
        """Turn margins (m k, rows) into probabilities less the target, in place."""
        if self.k == 1:
            P = probabilities(Z, 1)
            P -= target
            return P
        P = probabilities(Z, self.k)
        P.reshape(-1, self.k, P.shape[1])[:, target, np.arange(len(target))] -= 1
        return P

    def measure(self, G: NDArray, models: NDArray) -> tuple[NDArray, NDArray]:
        """Return the largest entries of each gradient, as `Stopping` measures them.

        Returns
        -------
        sizes, standardised : ndarray of shape (m,)
            The number to be compared with `tol`, and its part in standardised columns.
        """
        standardised = np.abs(G * self._original[models, None]).max(axis=(1, 2))
        original = np.abs(self.design.gradient_to_original(G)).max(axis=(1, 2))
        return np.maximum(standardised, original), standardised


def probabilities(Z: NDArray, k: int) -> NDArray:
    """Turn margins (m k, rows) into probabilities of the k classes, in place.

    k = 1 is the probability of the second of two classes; exp may overflow to inf there,
    which gives 0.
    """
    if k == 1:
        np.negative(Z, out=Z)
        np.exp(Z, out=Z)
        Z += 1
        return np.reciprocal(Z, out=Z)
    P = Z.reshape(-1, k, Z.shape[1])
    P -= P.max(axis=1, keepdims=True)
    np.exp(P, out=P)
    P /= P.sum(axis=1, keepdims=True)
    return P.reshape(Z.shape)
