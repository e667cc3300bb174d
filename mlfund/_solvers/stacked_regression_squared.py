"""Squared error on the moments of a fold: any strengths of l2, l1 and elastic net."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers import kernels
from mlfund._solvers.choice import COORDINATE
from mlfund._solvers.metrics import factorise, solve_factorised
from mlfund._solvers.proximal import least_subgradient
from mlfund._solvers.proximal_newton import l1_quadratic
from mlfund._solvers.regression import CHOLESKY, RegressionFit
from mlfund._solvers.regression_direct import ROUNDING_ULP, SMALLEST_PART
from mlfund._solvers.regression_targets import RegressionTask
from mlfund._solvers.stacked_regression_moments import FoldMoments

# Part of the mean that the spread of a column is taken for rounding.
SMALLEST_SPREAD = 1e-13
# Sweeps over the coordinates, and the precision in units of the largest penalty, after which
# the signs are known well enough for linear systems to finish.
SWEEPS, SWEEP_PRECISION = 100, 1e-4


class FoldSystem:
    """The normal equations of one fold, in columns and targets of unit spread.

    Parameters
    ----------
    moments : FoldMoments
    fold : int
    affine : tuple of two ndarrays of shape (d,), or None
        Centre and scale of the columns whose weights are penalised.
    intercept : bool

    Attributes
    ----------
    units : ndarray of shape (d,)
        A weight of the penalised columns is this times one of the standardised.
    """

    def __init__(
        self,
        moments: FoldMoments,
        fold: int,
        affine: tuple[NDArray, NDArray] | None,
        *,
        intercept: bool,
    ):
        unit, mean = moments.unit, moments.mean[fold]
        centre, scale = (0.0, 1.0) if affine is None else affine
        H, right = moments.H[fold], moments.right[fold]
        variance, y_mean = moments.y_square[fold], moments.y_mean[fold]
        # Of the columns that are penalised, but in units of their own.
        offset = mean - centre / unit
        self._means = None
        if intercept:
            self._means = offset * unit / scale, y_mean
        else:
            H = H + np.multiply.outer(offset, offset)
            right = right + np.multiply.outer(offset, y_mean)
            variance = variance + y_mean**2
        spread = np.sqrt(np.maximum(H.diagonal(), 0.0))
        dead = spread <= SMALLEST_SPREAD * np.abs(mean)
        spread = np.where(dead, 1.0, spread)
        live = np.where(dead, 0.0, 1.0 / spread)
        self.units = scale / (unit * spread)
        self._y_spread = np.where(variance > 0, np.sqrt(variance), 1.0)
        self._H = H * live * live[:, None]
        self._right = right * live[:, None] / self._y_spread
        self._square = variance / self._y_spread**2

    def solve(self, tasks: Sequence[RegressionTask], tol: float) -> dict[int, RegressionFit]:
        """Return fits by number of task, but for those where rounding leaves more than `tol`."""
        fits: dict[int, RegressionFit] = {}
        V = np.zeros(self._right.shape)
        # From strong to weak, so that each l1 solution starts from one with fewer weights.
        for number in sorted(range(len(tasks)), key=lambda at: -tasks[at].l1):
            task = tasks[number]
            name = COORDINATE if task.l1 else CHOLESKY
            V, gradient = self._sparse_weights(task, V) if task.l1 else self._weights(task.l2)
            if gradient <= tol:
                fits[number] = self._fit(V, task, name, gradient)
        return fits

    def _weights(self, l2: float) -> tuple[NDArray, float]:
        """Return weights (d, k) with an l2 penalty, and a bound on their gradient."""
        penalty = l2 * self.units**2
        factor, unit = factorise(self._H, penalty)
        V = solve_factorised(factor, unit, self._right)
        V -= solve_factorised(factor, unit, self._gradient(V, penalty))
        left = np.abs(self._gradient(V, penalty)).max(initial=0.0)
        return V, self._bound(V, left)

    def _sparse_weights(self, task: RegressionTask, start: NDArray) -> tuple[NDArray, float]:
        """Return weights with an l1 penalty, and a bound on their subgradient."""
        penalty = task.l2 * self.units**2
        V, worst = np.empty_like(start), 0.0
        H = self._H + np.diag(penalty)
        for j in range(start.shape[1]):
            l1 = task.l1 / self._y_spread[j] * self.units
            v = start[:, j].copy()
            q = H @ v - self._right[:, j]
            if kernels.available():
                precision = SWEEP_PRECISION * float(l1.max())
                kernels.model_sweeps(H, l1, v, q, precision, SWEEPS)
                q = H @ v - self._right[:, j]
            V[:, j] = l1_quadratic(H, q, v, l1)
            gradient = H @ V[:, j] - self._right[:, j]
            worst = max(worst, float(np.abs(least_subgradient(gradient, V[:, j], l1)).max()))
        return V, self._bound(V, worst)

    def _gradient(self, V: NDArray, penalty: NDArray) -> NDArray:
        return self._H @ V + penalty[:, None] * V - self._right

    def _bound(self, V: NDArray, left: float) -> float:
        """Return a bound on the gradient: what is left of it, and rounding of the moments."""
        if np.any(self._errors(V) < SMALLEST_PART * self._square):
            return np.inf
        size = 1.0 + float(np.abs(V).sum(axis=0).max())
        rounding = left + ROUNDING_ULP * np.finfo(float).eps * size
        return rounding * max(1.0, float((1.0 / self.units).max(initial=0.0)))

    def _errors(self, V: NDArray) -> NDArray:
        """Return the mean squared errors of weights V, (k,)."""
        return self._square - np.sum(V * (2.0 * self._right - self._H @ V), axis=0)

    def _fit(self, V: NDArray, task: RegressionTask, name: str, gradient: float) -> RegressionFit:
        W = V.T * self.units * self._y_spread[:, None]
        b = np.zeros(len(W))
        if self._means is not None:
            b = self._means[1] - W @ self._means[0]
        errors = np.stack([self._square, self._errors(V)]) @ self._y_spread**2
        penalty = 0.5 * task.l2 * np.sum(W**2) + task.l1 * np.abs(W).sum()
        curve = [float(0.5 * errors[0]), float(0.5 * errors[1] + penalty)]
        return RegressionFit(W, b, name, "converged", 1, gradient, curve)
