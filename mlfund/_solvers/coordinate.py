"""l1 and elastic-net penalties by coordinate descent on a growing working set.

Most weights of an l1 solution are zero. Each iteration adds to the working set the columns
that violate optimality most, minimises Newton's model of the loss over the set by
coordinate descent, and steps along. The gradient of all columns, one pass pair over X, tells
what is missing; the rest of the work sees the columns of the set alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers import kernels
from mlfund._solvers.columns import working_columns
from mlfund._solvers.problem import Point, Problem
from mlfund._solvers.proximal import least_subgradient, support_newton
from mlfund._solvers.proximal_newton import l1_quadratic, step_towards

# Columns of the first working set; later sets have up to twice the support.
FIRST_COLUMNS = 32
# Up to so many columns the model's Hessian is formed: 18 MB, and a sweep takes milliseconds.
GRAM_COLUMNS = 1500
# The model is solved to this part of the present violation.
MODEL_PRECISION = 1e-3
GRAM_SWEEPS = 100
COLUMN_SWEEPS = 30
# Added to the model's diagonal, relative to the largest: a column that the present curvature
# does not see still needs a finite step.
RIDGE = 1e-10


class WorkingSetNewton:
    """Steps of the proximal Newton method on a working set, for one output.

    Parameters
    ----------
    problem : Problem
        With one output (k = 1).

    References
    ----------
    Friedman, Hastie, Tibshirani, "Regularization paths for generalized linear models via
    coordinate descent", J. Stat. Softw. 33 (2010). Massias, Gramfort, Salmon, "Celer: a fast
    solver for the lasso with dual extrapolation", ICML 2018.
    """

    def __init__(self, problem: Problem):
        self.problem = problem
        self._columns = working_columns(problem.design)
        self._held = np.zeros(problem.design.p, dtype=bool)
        self._held[self._columns.index] = True
        self._support: NDArray | None = None

    def step(self, point: Point) -> Point | None:
        """Return the next point, or None when rounding allows no progress."""
        subgradient = least_subgradient(point.G, point.V, self.problem.l1)[0]
        grown = self._grow(point.V[0], subgradient)
        index = self._columns.index
        tol = MODEL_PRECISION * float(np.abs(subgradient[index]).max())
        small = len(index) <= GRAM_COLUMNS
        solve = self._solve_with_hessian if small else self._solve_by_columns
        target = point.V.copy()
        target[0, index] = solve(point, tol)
        change = target[0, index] - point.V[0, index]
        if not change.any():
            return None
        new = step_towards(self.problem, point, target, self._columns.margins(change))
        if new is None or small or grown:
            return new
        return self._finish(new)

    def _grow(self, v: NDArray, subgradient: NDArray) -> bool:
        """Add violating columns to the working set; return whether there were any."""
        support = v != 0
        missing = np.flatnonzero((support | (subgradient != 0)) & ~self._held)
        if not len(missing):
            return False
        # What a coordinate alone could win, up to the curvature that all columns share.
        gain = np.abs(subgradient[missing]) / np.sqrt(1.0 + self.problem.l2[missing])
        gain[support[missing]] = np.inf
        room = max(FIRST_COLUMNS, 2 * int(support.sum())) - len(self._columns.index)
        room = max(room, FIRST_COLUMNS // 2, int(np.isinf(gain).sum()))
        if room < len(missing):
            missing = missing[np.argpartition(-gain, room)[:room]]
        self._columns.take(np.sort(missing))
        self._held[missing] = True
        return True

    def _solve_with_hessian(self, point: Point, tol: float) -> NDArray:
        """Return the minimiser of the model, from its Hessian."""
        problem, index = self.problem, self._columns.index
        H = self._columns.hessian(problem.loss.curvature(point.P).astype(np.float64))
        diagonal = H.ravel()[:: len(H) + 1]
        diagonal += problem.l2[index] + RIDGE * max(float(diagonal.max()), RIDGE)
        v, q = point.V[0, index], point.G[0, index].copy()
        l1 = problem.l1[index]
        if kernels.model_sweeps(H, l1, v, q, tol, GRAM_SWEEPS) > tol:
            # Correlated columns: the signs are nearly right, and linear systems finish.
            v = l1_quadratic(H, q, v, l1)
        return v

    def _solve_by_columns(self, point: Point, tol: float) -> NDArray:
        """Return an approximate minimiser of the model, by sweeps over the columns."""
        problem, index = self.problem, self._columns.index
        h = problem.loss.curvature(point.P).astype(np.float64)
        curvature = problem.design.squared_sums(h.astype(problem.design.dtype))[index]
        curvature += RIDGE * max(float(curvature.max()), RIDGE)
        v = point.V[0, index]
        residual = problem.loss.residual(point.P)[0]
        parts = (curvature, problem.l2[index], problem.l1[index])
        sweep = self._columns.sweeper(h, residual, *parts, v)
        active = False
        for _ in range(COLUMN_SWEEPS):
            worst = sweep(active)
            if worst <= tol and not active:
                break
            active = worst > tol
        return v

    def _finish(self, point: Point) -> Point:
        """Once the support stands, step by Newton's method on it."""
        support, before = point.V[0] != 0, self._support
        self._support = support
        if before is None or not np.array_equal(support, before):
            return point
        return support_newton(self.problem, point) or point
