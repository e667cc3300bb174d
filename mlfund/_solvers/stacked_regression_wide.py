"""Squared error with an l2 penalty on more columns than rows: products of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from mlfund._solvers.metrics import factorise, solve_factorised
from mlfund._solvers.regression import CHOLESKY, RegressionFit
from mlfund._solvers.regression_targets import RegressionTask


class RowProducts:
    """One fold's rows, centred where there is an intercept, and their products.

    With Z the centred rows times the roots of their weights and t the targets likewise, the
    weights are Z'a with (Z Z' + l2) a = t: for each strength a system of the rows alone.

    Parameters
    ----------
    X : ndarray or CSR of shape (m, d)
    y : ndarray of shape (k, m)
    weights : ndarray of shape (m,)
        With sum 1.
    intercept : bool
    """

    def __init__(self, X: Any, y: NDArray, weights: NDArray, *, intercept: bool):
        d = X.shape[1]
        self._roots = np.sqrt(weights)
        self._mean, self._y_mean = np.zeros(d), np.zeros(len(y))
        self._intercept = intercept
        if intercept:
            self._mean = np.asarray(weights @ X, dtype=np.float64)
            self._y_mean = y @ weights
        if sp.issparse(X):
            self._X = sp.csr_array(X.astype(np.float64).multiply(self._roots[:, None]))
            self._offset = self._mean
        else:
            self._X = (X - self._mean) * self._roots[:, None]
            self._offset = np.zeros(d)
        deviation = (y - self._y_mean[:, None]).T * self._roots[:, None]
        spread = np.sqrt(np.sum(deviation**2, axis=0))
        self._y_spread = np.where(spread > 0, spread, 1.0)
        self._target = deviation / self._y_spread
        self._K, self._variance = self._products()

    def _products(self) -> tuple[NDArray, NDArray]:
        """Return the products of the rows, (m, m), and the variances of the columns, (d,)."""
        X, mean, roots = self._X, self._offset, self._roots
        if not sp.issparse(X):
            return X @ X.T, np.einsum("ij,ij->j", X, X)
        along = np.multiply.outer(X @ mean - 0.5 * (mean @ mean) * roots, roots)
        squares = np.asarray(X.multiply(X).sum(axis=0)).ravel() - mean**2
        return (X @ X.T).toarray() - along - along.T, np.maximum(squares, 0.0)

    def _margins(self, W: NDArray) -> NDArray:
        """Return Z W for W (d, k)."""
        return self._X @ W - np.multiply.outer(self._roots, self._offset @ W)

    def _pulled(self, R: NDArray) -> NDArray:
        """Return Z'R for R (m, k)."""
        return self._X.T @ R - np.multiply.outer(self._offset, self._roots @ R)

    def fit(self, task: RegressionTask, tol: float) -> RegressionFit | None:
        """Return the fit of a task with l2 > 0, or None where rounding leaves more than `tol`."""
        factor, unit = factorise(self._K, np.full(len(self._K), task.l2))
        a = solve_factorised(factor, unit, self._target)
        a -= solve_factorised(factor, unit, self._K @ a + task.l2 * a - self._target)
        W = self._pulled(a)
        residual = self._margins(W) - self._target
        G = self._pulled(residual) + task.l2 * W
        standardised = G / np.sqrt(self._variance + task.l2)[:, None]
        gradient = float(max(np.abs(G).max(), np.abs(standardised).max()))
        if gradient > tol:
            return None
        W = W.T * self._y_spread[:, None]
        b = self._y_mean - W @ self._mean if self._intercept else np.zeros(len(W))
        errors = [self._y_spread**2 @ np.sum(part**2, axis=0) for part in (self._target, residual)]
        curve = [0.5 * errors[0], 0.5 * errors[1] + 0.5 * task.l2 * np.sum(W**2)]
        return RegressionFit(W, b, CHOLESKY, "converged", 1, gradient, [float(v) for v in curve])
