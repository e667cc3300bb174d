"""Dual coordinate descent for the l2-penalised logistic loss, then L-BFGS to the end.

With w = sum_i alpha_i y_i x_i / l2 and alpha_i between 0 and the weight of row i, the dual
is minimised over one alpha_i after the other, in a random order that is drawn anew for each
pass. Where the penalty is weak and X is sparse a pass costs little more than a gradient,
and wins much more. The columns are centred in the arithmetic, which parts the weights from a
free intercept; the dual constraint that it brings, sum_i alpha_i y_i = 0, is met by an
augmented Lagrangian whose multiplier is the intercept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from mlfund._solvers import kernels
from mlfund._solvers.descent import minimise
from mlfund._solvers.losses import BinaryLoss
from mlfund._solvers.problem import Point, Problem
from mlfund._solvers.stopping import Outcome, Stopping

# Strength of the augmented term, as a part of the mean squared row.
INTERCEPT_STEP = 0.1
# Rows whose margin is this near to the dual one are passed over; less as fewer rows move.
FIRST_TOLERANCE = 0.1
# Margins to start from, without weights: nearly no row counts.
START_MARGIN = 9.0
# Dual epochs pay between these sizes of the mean of C_i |x_i|^2, the curvature that a row
# meets in the dual. L-BFGS is as fast below the first, and with a free intercept, in centred
# columns, below the second; above the last epochs win little.
LEAST_PULL = 0.5
LEAST_PULL_CENTRED = 50.0
LARGEST_PULL = 1e4
# An iteration is a round of so many epochs, ended by one look at the gradient.
EPOCHS_A_ROUND = 3
MAX_ROUNDS = 20
# The gradient must halve in so many rounds, from the fifth on.
PATIENCE = 2


def dual_pays(problem: Problem) -> bool:
    """Return whether dual epochs are likely to beat L-BFGS alone: on sparse rows only."""
    design = problem.design
    strength = _strength(problem)
    if not design.sparse or not isinstance(problem.loss, BinaryLoss) or strength == 0.0:
        return False
    with np.errstate(over="ignore"):
        of_columns = np.where(design.dead, 0.0, design.scale**2 + design.centre**2)
        pull = float(of_columns.sum()) / design.n / strength
    free = design.intercept and problem.l2[-1] == 0.0
    return (LEAST_PULL_CENTRED if free else LEAST_PULL) <= pull <= LARGEST_PULL


def _strength(problem: Problem) -> float:
    """Return the l2 penalty in the columns of X, for the mean loss."""
    design = problem.design
    of_columns = problem.l2[: design.d] * design.scale**2
    return float(of_columns[~design.dead].max(initial=0.0))


class DualEpochs:
    """Passes of dual coordinate descent over the rows.

    Parameters
    ----------
    problem : Problem
        Of `BinaryLoss`, with an l2 penalty.
    start : Point
        Weights from which the dual variables start, unless all are zero.
    seed : int

    References
    ----------
    Yu, Huang, Lin, "Dual coordinate descent methods for logistic regression and maximum
    entropy models", Machine Learning 85 (2011).
    """

    def __init__(self, problem: Problem, start: Point, seed: int):
        design, loss = problem.design, problem.loss
        self.problem = problem
        strength = _strength(problem)
        self.usable = strength > 0.0
        if not self.usable:
            return
        self._sign = np.where(loss.target > 0.5, 1.0, -1.0)
        weights = np.broadcast_to(np.asarray(loss.weights, dtype=np.float64), design.n)
        self._bound = np.ascontiguousarray(weights / strength)
        self._rows, self._centre, lengths, self._along = _rows_of(design)
        with np.errstate(over="ignore", invalid="ignore"):
            cc = float(self._centre @ self._centre)
            squares = lengths - 2.0 * self._along + cc
        # Rows longer than their dtype can square.
        self.usable = bool(np.isfinite(squares).all())
        if not self.usable:
            return
        of_intercept = self._intercept_step(strength, float(squares.mean()))
        self._squares = np.maximum(squares, 0.0) + of_intercept
        self._order = np.arange(design.n, dtype=np.int32)
        self._random = np.array([seed * 2 + 1], dtype=np.uint64)
        self._tolerance = FIRST_TOLERANCE
        self._start(start, cc, of_intercept)

    def _intercept_step(self, strength: float, mean_square: float) -> float:
        """Return by how much alpha y moves the intercept; 0 without one."""
        if not self.problem.design.intercept:
            return 0.0
        penalty = float(self.problem.l2[-1])
        self._free = penalty == 0.0
        return INTERCEPT_STEP * mean_square if self._free else strength / penalty

    def _start(self, start: Point, cc: float, of_intercept: float) -> None:
        design = self.problem.design
        given = start.V.any()
        if given:
            self._t = self._sign * start.Z[0].astype(np.float64)
        else:
            largest = max(float(self._bound.max()), 1.0)
            self._t = np.full(design.n, START_MARGIN + np.log(largest))
        with np.errstate(over="ignore"):
            self._alpha = self._bound / (1.0 + np.exp(self._t))
        pull = self._alpha * self._sign
        if given or not design.sparse:
            self._u = (self._rows.T @ pull.astype(design.dtype)).astype(np.float64)
        else:
            # At weights of zero every residual is the same multiple of the pull.
            products = start.G[0, : design.d] * design.scale
            if design.intercept:
                products += start.G[0, -1] * design.centre
            factor = -2.0 / (_strength(self.problem) * (1.0 + np.exp(self._t[0])))
            self._u = np.where(design.dead, 0.0, products * factor)
        total = float(pull.sum())
        intercept = 0.0
        if design.intercept:
            intercept = float(start.V[0, -1]) if self._free else total * of_intercept
        along = float(self._u @ self._centre)
        self._state = np.array([total, along, cc, intercept, of_intercept])

    def run(self, epochs: int = EPOCHS_A_ROUND) -> tuple[NDArray, int]:
        """Visit all rows so many times; return the weights (1, p) and the last rows moved."""
        for _ in range(epochs):
            moved = self._visit_all()
        return self._weights(), moved

    def _visit_all(self) -> int:
        kernels.shuffle(self._order, self._random)
        of_rows = (self._sign, self._bound)
        dual = (self._t, self._alpha, self._u, self._state)
        moved = kernels.dual_sweep(
            self._rows, self._order, *of_rows, self._along, self._squares, *dual, self._tolerance
        )
        if 4 * moved <= len(self._order):
            self._tolerance *= 0.1
        if self.problem.design.intercept and self._free:
            self._state[3] += self._state[4] * float(self._alpha @ self._sign)
        return moved

    def _weights(self) -> NDArray:
        design = self.problem.design
        V = np.empty((1, design.p))
        w = self._u - self._state[0] * self._centre
        V[0, : design.d] = np.where(design.dead, 0.0, w * design.scale)
        if design.intercept:
            V[0, -1] = self._state[3]
        return V


def minimise_with_dual(
    problem: Problem,
    start: NDArray,
    direction,
    stopping: Stopping,
    *,
    seed: int,
    after_iteration: Callable[[Point], bool] | None = None,
    n_iter: int = 0,
) -> Outcome:
    """Run dual epochs while they pay, then the smooth loop in `direction`.

    The stopping rule is the smooth loop's. A round of epochs counts as an iteration; a start
    that comes with iterations done is near the end, and goes to the smooth loop.

    Parameters
    ----------
    seed : int
        Of the order of the rows.
    problem, start, direction, stopping, after_iteration, n_iter
        As in `descent.minimise`.
    """
    V, curve = start, []
    if n_iter == 0:
        V, curve, n_iter, stopped = _rounds(problem, start, stopping, seed, after_iteration)
        if stopped is not None:
            return stopped
    parts = {"after_iteration": after_iteration, "n_iter": n_iter}
    last = minimise(problem, V, direction, stopping, **parts)
    return dataclasses.replace(last, loss_curve=curve + last.loss_curve)


def _rounds(problem, start, stopping, seed, after_iteration):
    """Return the best weights met, the curve before them, the rounds, and any final outcome."""
    V, curve, n_iter = start, [], 0
    with np.errstate(over="ignore", under="ignore"):
        point = problem.point(start)
        epochs = DualEpochs(problem, point, seed)
        if not epochs.usable:
            return V, curve, n_iter, None
        best = value = problem.value_at(point)
        sizes = [stopping.measure(point.G)]
        while sizes[-1] > stopping.tol and n_iter < min(stopping.max_iter, MAX_ROUNDS):
            candidate, moved = epochs.run()
            if not np.isfinite(candidate.astype(problem.design.dtype)).all():
                # Rows far from one: the steps left the range of their dtype.
                break
            curve.append(value)
            point = problem.point(candidate)
            value = problem.value_at(point)
            if value <= best:
                best, V = value, candidate
            n_iter += 1
            sizes.append(stopping.measure(point.G))
            if after_iteration is not None and after_iteration(point):
                status = (point.V, point.Z, "stopped", n_iter, sizes[-1], [*curve, value])
                return V, curve, n_iter, Outcome(*status)
            slow = n_iter > 5 and min(sizes[-PATIENCE:]) > 0.5 * min(sizes[:-PATIENCE])
            if slow or not moved:
                break
    return V, curve, n_iter, None


def _rows_of(design) -> tuple[NDArray | sp.csr_array, NDArray, NDArray, NDArray]:
    """Return the rows in the units of X, and what to take from each: the centre.

    Dense rows are centred in a copy; dead columns are emptied. Also returned are the squared
    rows, and the rows times the centre.
    """
    if not design.sparse:
        shift, inverse_scale = design.stored_units(np.arange(design.d))
        rows = (design.X - shift) * (inverse_scale * design.scale)
        rows = np.ascontiguousarray(rows, dtype=design.dtype)
        squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
        return rows, np.zeros(design.d), squares, np.zeros(design.n)
    X = design.X
    centre = np.where(design.dead, 0.0, design.centre)
    squares, along, filled = kernels.row_moments(X, centre, design.dead)
    if filled:
        data = np.where(design.dead[X.indices], 0, X.data).astype(X.dtype)
        X = sp.csr_array((data, X.indices, X.indptr), shape=X.shape)
        squares, along, _ = kernels.row_moments(X, centre, np.zeros_like(design.dead))
    return X, centre, squares, along
