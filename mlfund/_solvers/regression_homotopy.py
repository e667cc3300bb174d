"""Losses with kinks: Newton's method on smoothed losses whose width goes to zero.

The absolute and the pinball loss are the limits of `ClippedLoss` as its width goes to zero.
On the way the optimum moves along a piecewise linear path, so that one Newton step, taken
with the rows that were inside the width before, usually follows it to the next width. Each
width gives weights *and* a feasible point of the dual problem (the slopes), hence a bound on
what is missing to the optimum: the end is certified, not guessed. An l1 penalty is a kink of
the same kind at a weight of zero.

References
----------
Madsen and Nielsen, "A finite smoothing algorithm for linear l1 estimation", SIAM J. Optim. 3
(1993). Chen, "A finite smoothing algorithm for quantile regression", J. Comput. Graph.
Stat. 16 (2007).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.regression_kinks import NEGLIGIBLE, KinkedProblem, State
from mlfund._solvers.search import exact_search

# From one width to the next; the far step where the last one followed a straight path.
SHRINK, FAR_SHRINK, LEAST_SHRINK = 0.1, 1e-3, 0.6
FEW_STEPS, MANY_STEPS = 2, 12
# The targets have unit spread.
FIRST_WIDTH, SMALLEST_WIDTH = 0.5, 1e-14
# Newton steps at one width. They are finitely many, but nothing hinges on doing them all.
STEPS_AT_ONE_WIDTH = 25
# A gradient of this size, relative to the slope of the loss, is rounding.
ROUNDING = 1e-14
# A step was short below this part of the Newton step, and solved its piece when the gradient
# fell to this part.
SHORT_STEP, SOLVED = 0.1, 1e-6


class _Line:
    """The smoothed objective along v + t d, for `search.exact_search`."""

    def __init__(self, problem: KinkedProblem, state: State, d: NDArray, width: float):
        self.problem, self.state, self.d, self.width = problem, state, d, width
        self.step = problem.design.margins(d[None])[0]
        self.weighted = self.step * problem.weights
        self.slope_at_zero = float(state.g @ d)

    def at(self, t: float):
        """Return slope, curvature, residuals and None at step t."""
        problem, d = self.problem, self.d
        e = self.state.e + t * self.step
        psi = e / self.width
        inside = np.flatnonzero((psi > problem.low) & (psi < problem.high))
        np.clip(psi, problem.low, problem.high, out=psi)
        v = self.state.v + t * d
        phi = np.clip(v / self.width, -1.0, 1.0)
        slope = psi @ self.weighted + d @ (problem.l2 * v + problem.l1 * phi)
        curvature = (self.weighted[inside] @ self.step[inside]) / self.width
        kinks = problem.l1 * (np.abs(phi) < 1) / self.width
        return float(slope), float(curvature + d**2 @ (problem.l2 + kinks)), e, None


@dataclasses.dataclass(frozen=True)
class Path:
    """How the homotopy ended.

    Attributes
    ----------
    v : ndarray of shape (p,)
    status : {"converged", "rounding", "max_iter", "stopped", "unsolved"}
        "unsolved" when the steps at one width did not end, however near to the last.
    n_iter : int
        Newton steps.
    gap : float
        Bound on the excess of the objective, relative to it or to 1, whichever is smaller.
    loss_curve : list of float
        Objective at the start and after each step.
    """

    v: NDArray
    status: str
    n_iter: int
    gap: float
    loss_curve: list[float]


class Homotopy:
    """Follows the path of optima to the width zero, or to that of Huber's loss.

    Parameters
    ----------
    problem : KinkedProblem
    tol : float
        With kinks, the relative duality gap at which to end; with a last width, the largest
        entry of the gradient.
    max_iter : int
        Newton steps over all widths.
    last_width : float, default=0.0
        0 for the loss with kinks.
    after_iteration : callable, optional
        Is given the weights after each step; returning true ends the path.
    """

    def __init__(
        self,
        problem: KinkedProblem,
        *,
        tol: float,
        max_iter: int,
        last_width: float = 0.0,
        after_iteration: Callable[[NDArray], bool] | None = None,
    ):
        self.problem, self.tol, self.max_iter = problem, tol, max_iter
        self.last_width, self.after_iteration = last_width, after_iteration
        self._slope = max(-problem.low, problem.high)
        self._shrink = SHRINK
        self._curve: list[float] = []

    def follow(self, v: NDArray) -> Path:
        """Return the end of the path that starts at the weights v (p,)."""
        problem = self.problem
        width = max(FIRST_WIDTH / (problem.high - problem.low), self.last_width)
        state = problem.state(v, width)
        self._curve.append(problem.value(state.e, state.v, self.last_width))
        state, status, solved = self._settle(state, width)
        while status is None:
            missing = self._missing(state)
            if width == self.last_width:
                status = "converged" if solved or missing <= self.tol else "unsolved"
            elif missing <= self.tol and not self.last_width:
                status = "converged"
            elif width <= SMALLEST_WIDTH:
                negligible = self.problem.gap(state) <= NEGLIGIBLE
                status = "converged" if negligible else "rounding"
            else:
                state, width, status = self._narrow(state, width)
        missing = self._missing(state)
        if status == "converged" and not self.last_width:
            # The objective falls, so the bound stays one.
            state = self._last_step(state, width)
        return Path(state.v, status, len(self._curve) - 1, missing, self._curve)

    def _last_step(self, state: State, width: float) -> State:
        """Go on along the straight path: near the end one step wins all the digits left."""
        next_width = max(width * FAR_SHRINK, SMALLEST_WIDTH)
        v = state.v + self.problem.predictor(state, width, next_width)
        further = self.problem.state(v, next_width)
        value = self.problem.value(further.e, v)
        if value >= self._curve[-1]:
            return state
        self._curve[-1] = value
        return further

    def _missing(self, state: State) -> float:
        """Return what is compared with the tolerance."""
        if self.last_width:
            return float(np.abs(state.g).max())
        return self.problem.gap(state) / self.problem.size(self._curve[-1])

    def _narrow(self, state: State, width: float):
        """Return the optimum at the next width, that width, and why to end or None.

        The shorter the way, the fewer pieces lie on it: a way that took too many steps is
        gone again in shorter ones.
        """
        while True:
            next_width = max(width * self._shrink, self.last_width)
            d = self.problem.predictor(state, width, next_width)
            start = self.problem.moved(state, state.v, state.e, next_width)
            before = len(self._curve)
            moved, status = self._step(start, d, next_width)
            solved = False
            if status is None:
                moved, status, solved = self._settle(moved or start, next_width)
            steps = len(self._curve) - before
            if status is not None:
                return moved, next_width, status
            if not solved:
                if self._shrink >= LEAST_SHRINK:
                    return moved, next_width, "unsolved"
                self._shrink = min(np.sqrt(self._shrink), LEAST_SHRINK)
                continue
            if steps <= FEW_STEPS:
                self._shrink = max(self._shrink**2, FAR_SHRINK)
            elif steps > MANY_STEPS:
                self._shrink = min(np.sqrt(self._shrink), LEAST_SHRINK)
            return moved, next_width, None

    def _settle(self, state: State, width: float) -> tuple[State, str | None, bool]:
        """Take Newton steps at one width until its optimum.

        The smoothed objective is piecewise quadratic: a full Newton step that stays in its
        piece ends at the optimum. A step that comes to little, because the rows inside the
        width are too few to tell a direction, is followed by one with more rows.
        """
        problem, wide = self.problem, False
        for _ in range(STEPS_AT_ONE_WIDTH):
            before = np.abs(state.g).max()
            if before <= ROUNDING * self._slope:
                return state, None, True
            d = problem.newton(state, width, wide=wide)
            moved, status = self._step(state, d, width)
            if moved is None and not wide:
                wide = True
                continue
            if moved is None:
                break
            after = np.abs(moved.g).max()
            solved = after <= SOLVED * before and problem.same_piece(state, moved)
            short = np.linalg.norm(moved.v - state.v) < SHORT_STEP * np.linalg.norm(d)
            wide, state = short and not wide, moved
            if status is not None or solved:
                return state, status, solved
        return state, None, False

    def _step(self, state: State, d: NDArray, width: float) -> tuple[State | None, str | None]:
        """Return the best state along d, None if it does not descend, and why to end."""
        if len(self._curve) > self.max_iter:
            return state, "max_iter"
        line = _Line(self.problem, state, d, width)
        found = exact_search(line)
        if found is None:
            return None, None
        t, e, _ = found
        state = self.problem.moved(state, state.v + t * d, e, width)
        self._curve.append(self.problem.value(state.e, state.v, self.last_width))
        if self.after_iteration is not None and self.after_iteration(state.v):
            return state, "stopped"
        return state, None
