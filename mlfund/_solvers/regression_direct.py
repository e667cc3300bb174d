"""Squared error with an l2 penalty: one factorisation, refined until the gradient is zero."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from mlfund._solvers.metrics import factorise, solve_factorised
from mlfund._solvers.problem import Point, Problem
from mlfund._solvers.regression_system import RowSystem

# Rows of a block that stays in the second cache.
BLOCK_ENTRIES = 100_000
# Entries of the normal equations are sums of products of unit size; this many ulp.
ROUNDING_ULP = 100
LARGEST_EXPONENT = 100
# A fit to this part of the variance has lost the digits of its residuals.
SMALLEST_PART = 1e-8


class CholeskyHessian:
    """The Newton direction of a loss whose curvature is one everywhere, shared by all outputs.

    One pass over X gives the Hessian and, from the targets, the right-hand sides.
    """

    whole_from_start = True

    def __init__(self, problem: Problem):
        self.problem = problem
        design, targets = problem.design, problem.loss.target
        self._H = np.zeros((design.p,) * 2)
        self._right = np.zeros((design.p, problem.loss.k))
        # Squares of the values of other columns would over- or underflow.
        self._plain = bool(np.all(np.abs(np.log10(design.scale)) < LARGEST_EXPONENT))
        n_rows = max(BLOCK_ENTRIES // design.p, 64)
        for start in range(0, design.n, n_rows):
            index = slice(start, min(start + n_rows, design.n))
            rows, y = self._unscaled(index), targets[:, index].T.astype(np.float64)
            if isinstance(design.row_weights, np.ndarray):
                roots = np.sqrt(design.weights_of(index))[:, None]
                rows, y = rows * roots, y * roots
            self._H += rows.T @ rows
            self._right += rows.T @ y
        unit = np.ones(design.p)
        if self._plain:
            unit[: design.d] = np.where(design.dead, 0.0, 1.0 / design.scale)
        if not isinstance(design.row_weights, np.ndarray):
            unit *= np.sqrt(design.row_weights)
            self._right *= np.sqrt(design.row_weights)
        self._H *= unit * unit[:, None]
        self._right *= unit[:, None]
        self._factor, self._unit = factorise(self._H, problem.l2)

    def _unscaled(self, index: slice) -> NDArray:
        """Return centred rows; their products are scaled at the end, which is cheaper."""
        if not self._plain:
            return self.problem.design.rows(index)
        part = self.problem.design.X[index]
        part = part.toarray() if sp.issparse(part) else part
        rows = np.ones((part.shape[0], self.problem.design.p))
        np.subtract(part, self.problem.design.centre, out=rows[:, : part.shape[1]])
        return rows

    def solution(self) -> tuple[NDArray, NDArray, float]:
        """Return the optimum by the normal equations, its objectives, and their rounding.

        Returns
        -------
        V : ndarray of shape (k, p)
        objectives : ndarray of shape (2, k)
            Of zero weights and of V.
        rounding : float
            Bound on the gradient at V, from rounding; inf where the residuals are so small
            that the normal equations do not tell them.
        """
        V = solve_factorised(self._factor, self._unit, self._right)
        V -= solve_factorised(
            self._factor, self._unit, self._H @ V + self.problem.l2[:, None] * V - self._right
        )
        loss = self.problem.loss
        start = 0.5 * (loss.target.astype(np.float64) ** 2) @ np.broadcast_to(loss.weights, loss.n)
        penalised = self._H @ V + self.problem.l2[:, None] * V
        end = start - np.sum(V * (self._right - 0.5 * penalised), axis=0)
        left = float(np.abs(penalised - self._right).max())
        rounding = left + ROUNDING_ULP * np.finfo(float).eps * (1.0 + np.abs(V).sum(axis=0).max())
        if np.any(end < SMALLEST_PART * start):
            rounding = np.inf
        return V.T, np.stack([start, end]), rounding

    def propose(self, point: Point, remaining: float = np.inf) -> NDArray:
        """Return the direction, (k, p)."""
        return -solve_factorised(self._factor, self._unit, point.G.T).T

    repropose = propose

    def update(self, old: Point, new: Point) -> None:
        """Do nothing: the Hessian is the same everywhere."""

    def restart(self) -> bool:
        """Return whether another try from the same point could help."""
        return False


class DualHessian(CholeskyHessian):
    """The same direction through an n x n matrix, for more columns than rows."""

    def __init__(self, problem: Problem):
        self.problem = problem
        design = problem.design
        rows = design.rows(slice(None))
        rows *= np.sqrt(design.weights_of(slice(0, design.n)))[:, None]
        self._system = RowSystem(rows, problem.l2, design.intercept)

    def propose(self, point: Point, remaining: float = np.inf) -> NDArray:
        """Return the direction, (k, p)."""
        return -self._system.solve(point.G.T).T

    repropose = propose
