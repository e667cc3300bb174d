"""The loop of all smooth solvers: a direction, a step along it, a test."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.problem import Point, Problem
from mlfund._solvers.search import Line, exact_search
from mlfund._solvers.stopping import Outcome, Stopping


def minimise(
    problem: Problem,
    start: NDArray,
    direction,
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
    direction : NewtonCholesky or LBFGS
        Anything with `propose(point)`, `repropose(point)`, `update(old, new)` and `restart()`.
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
        done_before = n_iter
        while (status := stopping.status(point.G, n_iter)) is None:
            new = _advance(problem, point, direction)
            if new is None:
                status = "rounding"
                break
            direction.update(point, new)
            point = new
            n_iter += 1
            if after_iteration is not None and after_iteration(point):
                status = "stopped"
                break
        size = stopping.measure(point.G)
        if status == "converged" and n_iter > done_before:
            point = _last_step(problem, point, direction)
    return Outcome(point.V, point.Z, status, n_iter, size)


def _last_step(problem: Problem, point: Point, direction) -> Point:
    """Spend the last gradient: one more step, for half the price of an iteration.

    The gradient at the end is known, and the direction is at hand; a step along it costs
    one pass and usually wins another digit. Its gradient is not computed.
    """
    line = Line(problem, point, direction.repropose(point))
    found = exact_search(line)
    if found is None:
        return point
    t, Z, P = found
    return Point(point.V + t * line.D, Z, P, point.G)


def _advance(problem: Problem, point: Point, direction) -> Point | None:
    """Return the next point; None when no direction at hand goes down any more."""
    while True:
        line = Line(problem, point, direction.propose(point))
        found = exact_search(line)
        if found is not None:
            t, Z, P = found
            return problem.point(point.V + t * line.D, Z, P)
        if not direction.restart():
            return None
