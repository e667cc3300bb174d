"""What stands for the inverse Hessian in a quasi-Newton method."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, lapack

from mlfund._solvers.problem import Point, Problem

# Entries of the first sample as one dense array: 80 MB in float64.
LARGEST_SAMPLE = 10_000_000
ROWS_AT_ONCE = 16_384
SAMPLE_GROWTH = 8
# Relative to the largest curvature of a column.
SMALLEST_CURVATURE = 1e-10
# Of a unit diagonal. Rounding in a direction that the data leave open is divided by this,
# and Newton's convergence along collinear columns is limited by it.
SMALLEST_RIDGE = 1e-12


class SampledHessian:
    """The Hessian on a sample of rows, inverted once; shared by the classes.

    H = sum_s c_s h_s x_s x_s' + diag(l2), with h the curvature of the loss (for several
    classes its mean over classes) and c the row weights scaled to the whole sum.

    From the third refresh on the sample grows: a fit that takes so long has columns that
    few rows fill (rare categories), of which a small sample knows nothing.

    Parameters
    ----------
    problem : Problem
    rng : numpy.random.RandomState
        Draws the rows, with replacement, unless all are taken.
    n_rows : int, optional
        Rows of the first two samples; by default max(4096, 10 p), as memory allows.
    """

    def __init__(self, problem: Problem, rng, n_rows: int | None = None):
        self.problem = problem
        self._rng = rng
        p = problem.design.p
        self._n_rows = n_rows or min(max(4096, 10 * p), max(LARGEST_SAMPLE // p, 256))
        self._refreshed = 0
        self._kept = None

    def refresh(self, point: Point) -> None:
        """Take the curvature at `point`."""
        if self._refreshed >= 2:
            self._n_rows *= SAMPLE_GROWTH
            self._kept = None
        self._refreshed += 1
        design = self.problem.design
        H = np.zeros((design.p, design.p))
        total = 0.0
        for index, rows in self._sample():
            weights = design.weights_of(index)
            total += float(weights.sum())
            h = self.problem.loss.mean_curvature(point.P, index) * weights
            H += design.gram(rows, h)
        self._inverse = inverse_of(H / total, self.problem.l2)

    def solve(self, G: NDArray) -> NDArray:
        """Return the inverse Hessian times each row of G (k, p)."""
        return G @ self._inverse

    def _sample(self):
        """Yield (index, standardised rows); a sample of one block is kept."""
        design = self.problem.design
        if 2 * self._n_rows >= design.n:
            return design.blocks()
        if self._kept is None:
            index = np.sort(self._rng.randint(design.n, size=self._n_rows))
            starts = range(0, len(index), ROWS_AT_ONCE)
            parts = (index[start : start + ROWS_AT_ONCE] for start in starts)
            if len(starts) > 1:
                return ((part, design.rows(part)) for part in parts)
            self._kept = [(index, design.rows(index))]
        return self._kept


class DiagonalHessian:
    """The diagonal of the Hessian over all rows; for wide or very sparse data."""

    def __init__(self, problem: Problem):
        self.problem = problem

    def refresh(self, point: Point) -> None:
        """Take the curvature at `point`."""
        design = self.problem.design
        h = self.problem.loss.mean_curvature(point.P, slice(None)) * design.row_weights
        diagonal = design.squared_sums(h) + self.problem.l2
        # A column that the current curvature does not see still needs a finite step.
        floor = 1e-3 * max(float(h.sum()), 1e-10)
        self._inverse = 1.0 / np.maximum(diagonal, floor)

    def solve(self, G: NDArray) -> NDArray:
        """Return the inverse diagonal times each row of G (k, p)."""
        return G * self._inverse


def inverse_of(H: NDArray, l2: NDArray) -> NDArray:
    """Return the inverse of H + diag(l2), of a slightly larger matrix when singular."""
    factor, unit = factorise(H, l2)
    return solve_factorised(factor, unit, np.eye(len(H)))


def solve_factorised(factor: NDArray, unit: NDArray, right: NDArray) -> NDArray:
    """Return the inverse of a factorised matrix times `right`, (p,) or (p, m)."""
    unit = unit if right.ndim == 1 else unit[:, None]
    # LAPACK itself: scipy.linalg's checks take longer than the work at ten columns.
    solution, _ = lapack.dpotrs(factor, right * unit, lower=1)
    return solution * unit


def factorise(H: NDArray, l2: NDArray):
    """Return the lower Cholesky factor of the correlation form of H + diag(l2), and its units.

    With u = 1 / sqrt(diagonal) the matrix u_i H_ij u_j has a unit diagonal, whatever the
    scales of the penalties; to that a ridge is added, upwards from a small one,
    until the factorisation succeeds.
    """
    H = H.copy()
    diagonal = H.ravel()[:: len(H) + 1]
    # A column without curvature or penalty takes a part of the curvature of the others;
    # the penalties, which may be of any size, tell nothing about that.
    least = max(SMALLEST_CURVATURE * float(diagonal.max()), np.finfo(float).tiny)
    diagonal += l2
    unit = 1.0 / np.sqrt(np.maximum(diagonal, least))
    H *= unit
    H *= unit[:, None]
    scaled_diagonal = H.ravel()[:: len(H) + 1]
    np.maximum(scaled_diagonal, 1.0, out=scaled_diagonal)
    ridge, added = SMALLEST_RIDGE, 0.0
    while True:
        scaled_diagonal += ridge - added
        added = ridge
        factor, failed_at = lapack.dpotrf(H, lower=1, clean=0)
        if not failed_at:
            return factor, unit
        if ridge > 1.0:
            raise LinAlgError("the Hessian is not finite; rescale the columns of X.")
        ridge *= 100
