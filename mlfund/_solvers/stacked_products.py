"""The gradients of a stack of models by numpy's and scipy's products, block by block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.stacked_rows import FoldedDesign


class BlockedPass:
    """Gradients of the sum of the losses by the weights upon A, for any rows.

    Parameters
    ----------
    design, code, n_classes, weights, dtype
        As for `CompiledPass`.
    """

    def __init__(self, design: FoldedDesign, code, n_classes, weights, dtype):
        self.design, self.dtype = design, np.dtype(dtype)
        self.k = 1 if n_classes == 2 else n_classes
        self._target = code[design.order]
        self._weights = None if weights is None else weights[design.order].astype(dtype)
        if self.k == 1:
            self._target = self._target.astype(dtype)

    def gradients(self, W: NDArray, fold: NDArray) -> NDArray:
        """Return the gradients of models with weights W (m, k, p) in some folds."""
        W, G = W.astype(self.dtype), np.zeros(W.shape)
        for segment in self.design.segments:
            # Models that hold these rows out are not computed at all.
            place, at_work = segment.models(fold)
            if len(at_work):
                times = None if segment.times is None else segment.times[place]
                G[at_work] += self._segment_gradient(segment, W[at_work], times)
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
        P = probabilities(Z, self.k)
        if self.k == 1:
            P -= target
            return P
        P.reshape(-1, self.k, P.shape[1])[:, target, np.arange(len(target))] -= 1
        return P


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
