"""The one meaning of "converged", shared by all solvers."""

from __future__ import annotations

import dataclasses
from collections import deque

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.problem import Problem

# Rounding of the gradient of the mean loss in standardised columns, in ulp.
FLOOR_ULP = 16
# Near the floor, iterations without a smaller gradient after which rounding is the cause.
PATIENCE = 20
NEAR_FLOOR = 1e3
# Iterations over which the pace of a descent is told.
PACE_ITERATIONS = 16
# Offsets of columns, in their spreads, that excuse larger gradients.
FURTHEST_OFFSET = 1e6


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a solver ends with.

    Attributes
    ----------
    V : ndarray of shape (k, p)
        The best weights met.
    Z : ndarray of shape (k, n)
        Their margins.
    status : {"converged", "rounding", "single", "max_iter", "stopped"}
        "rounding" means that the arithmetic allows no smaller gradient, "single" that only
        float32 was there for it, "stopped" that `after_iteration` asked for it.
    n_iter : int
        Iterations done.
    gradient : float
        The largest entry of the gradient that the stopping rule compares with `tol`.
    loss_curve : list of float
        The objective at the start and after each iteration, the last at `V`.
    """

    V: NDArray
    Z: NDArray
    status: str
    n_iter: int
    gradient: float
    loss_curve: list[float] = dataclasses.field(default_factory=list)


class Stopping:
    """Stop when no entry of the gradient of the mean objective exceeds `tol`.

    The rule is scikit-learn's, on the columns of X, and in addition the same rule on the
    standardised columns: a column in tiny units has a tiny gradient anywhere, which says
    nothing. Where a penalty holds a coordinate harder than the data do, its gradient is
    measured in the units of the penalty.

    Parameters
    ----------
    problem : Problem
    tol : float
        Largest entry allowed.
    max_iter : int
        Largest number of iterations.
    patience : int
        Iterations without a smaller gradient, near the floor of the arithmetic, that are
        taken for rounding.

    Attributes
    ----------
    best : float
        The largest entry of the smallest gradient so far, in standardised columns.
    """

    def __init__(self, problem: Problem, tol: float, max_iter: int, patience: int = PATIENCE):
        self.problem = problem
        self.tol = tol
        self.max_iter = max_iter
        self.patience = patience
        self._units = 1.0 / np.sqrt(1.0 + problem.l2)
        self._floor = FLOOR_ULP * float(np.finfo(problem.design.dtype).eps)
        # Columns far from zero lose digits when they are centred.
        design = problem.design
        offset = float((np.abs(design.centre) / design.scale).max(initial=1.0))
        self._near_floor = NEAR_FLOOR * self._floor * min(offset, FURTHEST_OFFSET)
        self.best = np.inf
        self._since_best = 0
        self._seen: deque[float] = deque(maxlen=PACE_ITERATIONS + 1)

    @property
    def improved(self) -> bool:
        """Whether the gradient last looked at was the smallest so far, in standardised columns."""
        return self._since_best == 0

    def measure(self, G: NDArray) -> float:
        """Return the number that is compared with `tol`."""
        return max(self._sizes(G))

    def _sizes(self, G: NDArray) -> tuple[float, float]:
        """Return the largest entries in the columns of X and in standardised columns."""
        original = self.problem.design.gradient_to_original(G)
        return float(np.abs(original).max()), float(np.abs(G * self._units).max())

    def status(self, G: NDArray, n_iter: int) -> str | None:
        """Return why to stop, or None to go on."""
        of_columns, standardised = self._sizes(G)
        size = max(of_columns, standardised)
        self._seen.append(size)
        if size <= self.tol:
            return "converged"
        if not np.isfinite(size):
            raise FloatingPointError(
                "the gradient is not finite: X has values too large to be multiplied by its "
                "weights; rescale the columns of X (for example with StandardScaler)."
            )
        self._since_best = 0 if standardised < self.best else self._since_best + 1
        self.best = min(standardised, self.best)
        if self.best <= self._floor:
            return "rounding"
        if self._since_best >= self.patience and self.best <= self._near_floor:
            return "rounding"
        return "max_iter" if n_iter >= self.max_iter else None

    def remaining(self) -> float:
        """Return about how many iterations are left at the present pace; inf if that is unknown."""
        if len(self._seen) <= PACE_ITERATIONS or self.tol == 0:
            return np.inf
        pace = np.log(self._seen[0] / self._seen[-1]) / PACE_ITERATIONS
        return float(np.log(self._seen[-1] / self.tol) / pace) if pace > 0 else np.inf
