"""Folds whose training rows lack a class.

With a free intercept such a model has no finite optimum: the intercept of the absent class
falls for ever, and in the limit its weights are zero and the other classes are fitted
without it. That limit is taken here exactly, with the absent class at the probability `tol`,
where the stopping rule would stop.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray


def absent_classes(rows) -> NDArray:
    """Return which classes each fold's training rows lack, a mask (F, n_classes).

    Parameters
    ----------
    rows : FoldedRows
    """
    weights = 1.0 if rows.weights is None else rows.weights
    member = np.eye(rows.n_classes)[rows.code] * np.reshape(weights, (-1, 1))
    return rows.times @ member <= 0


def without_classes(rows, fold: int, absent: NDArray):
    """Return the rows of one fold, with the classes that are there numbered anew."""
    number = np.cumsum(~absent) - 1
    keep = ~absent[rows.code]
    return dataclasses.replace(
        rows.of_folds(slice(fold, fold + 1)),
        X=rows.X[keep],
        code=number[rows.code[keep]],
        n_classes=int((~absent).sum()),
        weights=None if rows.weights is None else rows.weights[keep],
        times=rows.times[fold : fold + 1, keep],
    )


def as_two_of_many(C: NDArray, ratio: float) -> tuple[NDArray, float]:
    """Return the C and l1 ratio with which one margin w fits two classes of a softmax.

    Their weights are -w/2 and w/2, so that the penalty is r |w| + (1 - r)/4 w^2.
    """
    return C * 2.0 / (1.0 + ratio), 2.0 * ratio / (1.0 + ratio)


def widen(W: NDArray, b: NDArray, absent: NDArray, tol: float) -> tuple[NDArray, NDArray]:
    """Return weights (..., k, d) and intercepts (..., k) with the absent classes put back.

    Parameters
    ----------
    W, b : ndarray of shape (..., k', d) and (..., k')
        Of the classes that are there; k' = 1 is one margin for two of them, or zeros for one.
    absent : ndarray of bool of shape (n_classes,)
    """
    least = np.log(max(tol, float(np.finfo(float).eps)))
    if len(absent) == 2:
        return np.zeros_like(W), np.full_like(b, least if absent[1] else -least)
    present = np.flatnonzero(~absent)
    wide_W = np.zeros((*W.shape[:-2], len(absent), W.shape[-1]))
    wide_b = np.full(wide_W.shape[:-1], least)
    if len(present) == 2:
        W, b = np.concatenate([-W, W], axis=-2) / 2, np.concatenate([-b, b], axis=-1) / 2
    wide_W[..., present, :] = W
    # Weights that sum to zero leave one margin of each row above the mean intercept.
    wide_b[..., present] = b - b.mean(axis=-1, keepdims=True)
    return wide_W, wide_b - wide_b.mean(axis=-1, keepdims=True)
