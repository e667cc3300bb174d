"""Nesterov's accelerated gradient method with adaptive restart, on cached margins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.problem import Point, Problem
from mlfund._solvers.proximal import EIGENVALUE_MARGIN, largest_eigenvalue

# A step is short enough when the quadratic bound holds to this part of the objective,
# which is what its rounding may be; larger ones double the curvature.
BOUND_ULP = 16
MAX_DOUBLINGS = 60


class NesterovSteps:
    """Accelerated gradient steps with gradient restart, in a diagonal metric.

    A step goes from the extrapolated point y to x = y - metric^-1 grad(y), and on to
    y + beta (x - last x). Margins of y are combinations of known ones, so a step costs two
    passes over X. The momentum is dropped when the gradient at y points along the last
    move (O'Donoghue and Candes), which needs no value of the objective and no knowledge of
    the strong convexity. The metric is bound * lambda_max + l2_j for coordinate j; it is
    doubled when a step shows that the power iteration estimated it too low.

    The points returned are the y, at which the gradient is known.

    Parameters
    ----------
    problem : Problem
        Without l1 penalty.

    References
    ----------
    Nesterov, "A method for solving the convex programming problem with convergence rate
    O(1/k^2)", Soviet Math. Dokl. 27 (1983). O'Donoghue and Candes, "Adaptive restart for
    accelerated gradient schemes", Found. Comput. Math. 15 (2015).
    """

    def __init__(self, problem: Problem):
        self.problem = problem
        largest = EIGENVALUE_MARGIN * largest_eigenvalue(problem.design)
        self._curvature = problem.loss.curvature_bound * largest
        self._momentum = 1.0
        self._last: tuple[NDArray, NDArray] | None = None

    def rebind(self, problem: Problem) -> None:
        """Go on with the same problem in another precision, momentum dropped."""
        self.problem, self._momentum, self._last = problem, 1.0, None

    def step(self, point: Point) -> Point:
        """Return the next extrapolated point."""
        V, Z = self._gradient_step(point)
        if self._last is None:
            self._last = V, Z
            return self.problem.point(V, Z)
        last_V, last_Z = self._last
        self._last = V, Z
        move = V - last_V
        if float(np.vdot(point.G, move)) > 0:
            self._momentum = 1.0
        momentum = 0.5 * (1 + np.sqrt(1 + 4 * self._momentum**2))
        beta = (self._momentum - 1) / momentum
        self._momentum = momentum
        if beta == 0:
            return self.problem.point(V, Z)
        return self.problem.point(V + beta * move, self.problem.design.moved(Z, Z - last_Z, beta))

    def _gradient_step(self, point: Point) -> tuple[NDArray, NDArray]:
        """Return weights and margins after a gradient step short enough to go down."""
        problem = self.problem
        before = problem.value(point.V, point.Z)
        slack = BOUND_ULP * float(np.finfo(problem.design.dtype).eps) * abs(before)
        for _ in range(MAX_DOUBLINGS):
            D = -point.G / (self._curvature + problem.l2)
            V = point.V + D
            Z = problem.design.margins(V)
            # The quadratic bound at the step is half the slope below the start.
            if problem.value(V, Z) <= before + 0.5 * float(np.vdot(point.G, D)) + slack:
                break
            self._curvature *= 2
        return V, Z
