"""Squared error with an l2 penalty: one factorisation, refined until the gradient is zero."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.metrics import factorise, solve_factorised
from mlfund._solvers.problem import Point, Problem


class CholeskyHessian:
    """The Newton direction of a loss whose curvature is one everywhere, shared by all outputs."""

    def __init__(self, problem: Problem):
        self.problem = problem
        H = np.zeros((problem.design.p,) * 2)
        for index, rows in problem.design.blocks():
            weights = problem.design.row_weights
            if isinstance(weights, np.ndarray):
                rows *= np.sqrt(weights[index].astype(np.float64))[:, None]
                H += rows.T @ rows
            else:
                H += weights * (rows.T @ rows)
        self._factor, self._unit = factorise(H, problem.l2)

    def propose(self, point: Point) -> NDArray:
        """Return the direction, (k, p)."""
        return -solve_factorised(self._factor, self._unit, point.G.T).T

    repropose = propose

    def update(self, old: Point, new: Point) -> None:
        """Do nothing: the Hessian is the same everywhere."""

    def restart(self) -> bool:
        """Return whether another try from the same point could help."""
        return False


class DualHessian(CholeskyHessian):
    """The same direction through an n x n matrix, for more columns than rows.

    With A the rows times the square roots of their weights and L the penalties,

        (A'A + L)^-1 = L^-1 - L^-1 A' (I + A L^-1 A')^-1 A L^-1;

    an intercept, which is not penalised, is eliminated first.
    """

    def __init__(self, problem: Problem):
        self.problem = problem
        design = problem.design
        self._roots = np.sqrt(design.weights_of(slice(0, design.n)))
        self._penalised = slice(0, design.d)
        self._A = design.rows(slice(None))[:, self._penalised] * self._roots[:, None]
        self._inverse_l2 = 1.0 / problem.l2[self._penalised]
        kernel = (self._A * self._inverse_l2) @ self._A.T
        self._factor, self._unit = factorise(kernel, np.ones(design.n))
        if design.intercept:
            self._cross = self._A.T @ self._roots
            self._response = self._solve(self._cross[:, None])[:, 0]
            self._schur = float(self._roots @ self._roots - self._cross @ self._response)

    def propose(self, point: Point) -> NDArray:
        """Return the direction, (k, p)."""
        G = point.G.T
        D = np.empty_like(G)
        if not self.problem.design.intercept:
            return -self._solve(G).T
        free = self._solve(G[:-1])
        D[-1] = (G[-1] - self._cross @ free) / self._schur
        D[:-1] = free - np.outer(self._response, D[-1])
        return -D.T

    repropose = propose

    def _solve(self, right: NDArray) -> NDArray:
        scaled = self._inverse_l2[:, None] * right
        inner = solve_factorised(self._factor, self._unit, self._A @ scaled)
        return scaled - self._inverse_l2[:, None] * (self._A.T @ inner)
