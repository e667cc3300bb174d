"""Plain gradient descent: the steepest direction in standardised columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.problem import Point, Problem
from mlfund._solvers.search import LONGEST_GROWTH


class SteepestDescent:
    """The negative gradient, as long as the last exact step was; parts as of a `Direction`.

    The line search of `descent.minimise` starts at step 1, so the direction carries the
    length of the step that was best before; the first is 1 / (bound of the curvature).

    References
    ----------
    Cauchy, "Methode generale pour la resolution des systemes d'equations simultanees",
    C. R. Acad. Sci. Paris 25 (1847).
    """

    whole_from_start = False

    def __init__(self, problem: Problem):
        # Standardised columns have mean square 1, so the trace bounds the curvature.
        bound = problem.loss.curvature_bound * problem.design.p + float(problem.l2.max())
        self._length = 1.0 / bound

    def propose(self, point: Point, remaining: float = np.inf) -> NDArray:
        """Return the direction, (k, p)."""
        return -self._length * point.G

    def repropose(self, point: Point) -> None:
        """Return no last step: without curvature it may end at a larger gradient."""

    def rebind(self, problem: Problem) -> None:
        """Go on with the same problem in another precision; the length stays."""

    def update(self, old: Point, new: Point) -> None:
        """Remember the length of the step."""
        steepest = float(np.linalg.norm(old.G))
        if steepest > 0:
            taken = float(np.linalg.norm(new.V - old.V)) / steepest
            limit = LONGEST_GROWTH * self._length
            self._length = min(taken, limit) if taken > 0 else self._length

    def restart(self) -> bool:
        """Return whether another try from the same point could help: it could not."""
        return False
