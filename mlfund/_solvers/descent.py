"""The loop of all smooth solvers: a direction, a step along it, a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.problem import Point, Problem
from mlfund._solvers.search import Line, exact_search
from mlfund._solvers.stopping import Outcome, Stopping

# A step is taken untried when the slope there is at most this part of the slope at zero.
WHOLE_FRACTION = 0.5
# Evaluations along a direction before the line is searched on its margins.
TRIALS = 2
# Steps between which the last one suggests a whole one, and others that it suggests at all.
NEAR_WHOLE = (0.7, 1.4)
SUGGESTED = (0.4, 4.0)

# At the end an earlier point is preferred whose gradient is this much smaller.
FLATTER = 1e-2
# Parts of the objective that rounding may add at the last step, and at any: where a
# step goes up by more, margins too large for their digits misled what was remembered.
ROUNDED = 1e-6
RISE = 1e-3


class Direction(Protocol):
    """Where to go from a point; what the loop asks of NewtonCholesky, LBFGS and others."""

    # Whether the very first step may be tried whole.
    whole_from_start: bool

    def propose(self, point: Point, remaining: float = np.inf) -> NDArray:
        """Return the direction, (k, p); about so many iterations remain."""

    def repropose(self, point: Point) -> NDArray | None:
        """Return a direction without new curvature for the last step, or None for no such step."""

    def update(self, old: Point, new: Point) -> None:
        """Learn from a step."""

    def restart(self) -> bool:
        """Forget what was learned; return whether there was anything."""

    def rebind(self, problem: Problem) -> None:
        """Go on with the same problem in another precision."""


def minimise(
    problem: Problem,
    start: NDArray,
    direction: Direction,
    stopping: Stopping,
    *,
    after_iteration: Callable[[Point], bool] | None = None,
    n_iter: int = 0,
) -> Outcome:
    """Minimise a smooth problem.

    Parameters
    ----------
    problem : Problem
        Without l1 penalty.
    start : ndarray of shape (k, p)
    direction : Direction
    stopping : Stopping
    after_iteration : callable, optional
        Is given each new point; returning true ends the loop.
    n_iter : int
        Iterations already done, which count towards `max_iter`.

    Returns
    -------
    Outcome
    """
    with np.errstate(over="ignore", under="ignore"):
        point = problem.point(start)
        curve = [problem.value_at(point)]
        done_before, t = n_iter, float(direction.whole_from_start)
        flattest = point
        while (status := stopping.status(point.G, n_iter)) is None:
            flattest = point if stopping.improved else flattest
            remaining = stopping.remaining()
            new, t = _advance(problem, point, direction, _trial(t), remaining)
            if new is None:
                status = "rounding"
                break
            value = problem.value_at(new)
            if not value <= curve[-1] + RISE * abs(curve[-1]) and direction.restart():
                continue
            direction.update(point, new)
            point = new
            n_iter += 1
            curve.append(value)
            if after_iteration is not None and after_iteration(point):
                status = "stopped"
                break
        if status == "rounding" and stopping.best < FLATTER * np.abs(point.G).max():
            # Steps in the noise may lead away from a point as good as rounding allows.
            point = flattest
            curve[-1] = problem.value_at(point)
        size = stopping.measure(point.G)
        if status == "converged" and n_iter > done_before:
            last = _last_step(problem, point, direction)
            value = problem.value_at(last)
            # Not where rounding spoiled the direction or its margins.
            if value <= curve[-1] + ROUNDED * abs(curve[-1]):
                point, curve[-1] = last, value
    return Outcome(point.V, point.Z, status, n_iter, size, curve)


def _last_step(problem: Problem, point: Point, direction: Direction) -> Point:
    """Spend the last gradient: one more step, for half the price of an iteration.

    The gradient at the end is known, and the direction is at hand; a step along it costs
    one pass and usually wins another digit. Its gradient is not computed.
    """
    D = direction.repropose(point)
    if D is None:
        return point
    line = Line(problem, point, D)
    found = exact_search(line)
    if found is None:
        return point
    t, Z, P = found
    return Point(point.V + t * line.D, Z, P, point.G)


def _trial(last: float) -> float | None:
    """Return the step to try by a full evaluation, given the best one along the last line.

    A metric that is too careful all along wants the same longer step again and again.
    """
    if NEAR_WHOLE[0] <= last <= NEAR_WHOLE[1]:
        return 1.0
    return last if SUGGESTED[0] <= last <= SUGGESTED[1] else None


def _advance(
    problem: Problem, point: Point, direction: Direction, trial: float | None, remaining: float
) -> tuple[Point | None, float]:
    """Return the next point and the best step; None when no direction at hand goes down.

    The step `trial` is tried by a full evaluation there, which reads X once for margins and
    gradient. It is taken on easier terms than those of the line search, which would cost a
    third pass; both make sure that the objective fell.
    """
    while True:
        D = direction.propose(point, remaining)
        if trial is not None and problem.fused:
            taken = _whole(problem, point, D, trial)
            if taken is not None:
                return taken
        # Not from a difference of margins: its rounding would exceed the last slopes.
        line = Line(problem, point, D)
        found = exact_search(line)
        if found is not None:
            t, Z, P = found
            return problem.point(point.V + t * D, Z, P), t
        if not direction.restart():
            return _steepest(problem, point)


def _whole(problem: Problem, point: Point, D: NDArray, trial: float) -> tuple[Point, float] | None:
    """Return the point of a step tried by full evaluations, and the best step; or None.

    The slopes at both ends tell where it vanishes if the curvature is even. Trying that too
    is cheaper than a line search, whose margins are one pass and whose gradient is another.
    """
    slope = float(np.vdot(point.G, D))
    step = trial
    for _ in range(TRIALS):
        new = problem.point(point.V + step * D)
        end = float(np.vdot(new.G, D))
        if not slope < min(end, 0.0):
            return None
        best = step * slope / (slope - end)
        if abs(end) <= -WHOLE_FRACTION * slope:
            return new, best
        step = best
    return None


def _steepest(problem: Problem, point: Point) -> tuple[Point | None, float]:
    """Return the next point and the step down the gradient, in the units of the penalty.

    The last resort: rounding can turn a metric of tremendous condition indefinite.
    """
    D = -point.G / (problem.loss.curvature_bound + problem.l2)
    found = exact_search(Line(problem, point, D))
    if found is None:
        return None, 0.0
    t, Z, P = found
    return problem.point(point.V + t * D, Z, P), 0.0
