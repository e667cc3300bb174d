"""Line search on cached margins: trial steps cost O(k n) and never touch X."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.problem import Point, Problem

# A step is taken when the slope there is at most this part of the slope at zero.
SLOPE_FRACTION = 0.1
MAX_TRIALS = 30
# From this trial on every other one halves the bracket: far out on an exponential Newton's
# steps are all of one length.
BISECT_FROM = 5
# One trial may lengthen or shorten the step by this factor at most.
LONGEST_GROWTH = 10.0


class Line:
    """The objective along V + t D, through the margins Z + t Zp.

    Parameters
    ----------
    problem : Problem
    point : Point
    D : ndarray of shape (k, p)
        The direction; its margins take one pass over X.
    """

    def __init__(self, problem: Problem, point: Point, D: NDArray):
        self.problem, self.point, self.D = problem, point, D
        self.Zp = problem.design.margins(D)
        penalised = problem.l2 * D
        self._linear = float(np.vdot(penalised, point.V))
        self._quadratic = float(np.vdot(penalised, D))
        self.slope_at_zero = float(np.vdot(point.G, D))

    def at(self, t: float) -> tuple[float, float, NDArray, NDArray]:
        """Return slope, curvature, margins and probabilities at step t."""
        Z = self.problem.design.moved(self.point.Z, self.Zp, t)
        P = self.problem.loss.probabilities(Z)
        slope, curvature = self.problem.loss.along(P, self.Zp)
        slope += self._linear + t * self._quadratic
        return slope, curvature + self._quadratic, Z, P


def exact_search(line: Line, fraction: float = SLOPE_FRACTION):
    """Return (step, margins, probabilities) near the minimum along a line, or None.

    One-dimensional Newton iteration from step 1, kept inside the bracket known from the
    signs of the slopes. Only slopes are compared, never values: near the optimum values
    lose half the digits, which would end the search at the square root of the precision
    (the "approximate Wolfe" test of Hager and Zhang, SIAM J. Optim. 16, 2005). As the
    objective is convex, a negative slope at the step means that it went down.

    Returns None when the direction does not descend, to rounding.
    """
    if not line.slope_at_zero < 0:
        return None
    enough = fraction * -line.slope_at_zero
    low, high, t = 0.0, np.inf, 1.0
    for trial in range(MAX_TRIALS):
        slope, curvature, Z, P = line.at(t)
        if abs(slope) <= enough:
            return t, Z, P
        if slope < 0:
            low = t
        else:
            high = t
        halve = trial >= BISECT_FROM and trial % 2 == 1
        newton = t - slope / curvature if curvature > 0 and not halve else np.inf
        t = _inside(newton, low, high, t)
        if np.isfinite(high) and high - low <= 1e-14 * high:
            break
    slope, _, Z, P = line.at(low)
    return (low, Z, P) if low > 0 else None


def _inside(trial: float, low: float, high: float, t: float) -> float:
    """Return the trial step if it lies well inside the bracket, else one that does."""
    trial = min(max(trial, t / LONGEST_GROWTH), t * LONGEST_GROWTH)
    if low < trial < high:
        return trial
    return 0.5 * (low + high) if np.isfinite(high) else t * LONGEST_GROWTH
