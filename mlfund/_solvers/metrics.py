"""What stands for the inverse Hessian in a quasi-Newton method."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, lapack

from mlfund._solvers.problem import Point, Problem

# Entries of the first sample as one dense array: 80 MB in float64.
LARGEST_SAMPLE = 10_000_000
ROWS_AT_ONCE = 8192
SAMPLE_GROWTH = 8
# Part of the mean chance of being drawn that every row gets beside its curvature.
UNIFORM_PART = 0.1
# Square roots of pivots, of a unit diagonal, below which the rounding of float32 products
# is felt.
SINGLE_PIVOT = 0.004
# Of a unit diagonal: what hides that rounding.
SINGLE_RIDGE = 1e-6
# Refreshes after which a fit is long enough for float64.
DOUBLE_FROM = 3
# Relative to the largest curvature of a column.
SMALLEST_CURVATURE = 1e-10
# Where no column has any, as where all rows are saturated: steps by the inverse of less overflow.
NO_CURVATURE = 1e-100
# Of a unit diagonal. Rounding in a direction that the data leave open is divided by this,
# and Newton's convergence along collinear columns is limited by it.
SMALLEST_RIDGE = 1e-12


class SampledHessian:
    """The Hessian on a sample of rows, inverted once; shared by the classes.

    H = sum_s c_s h_s x_s x_s' + diag(l2), with h the curvature of the loss (for several
    classes its mean over classes) and c the row weights divided by the expected draws.

    The first sample is uniform; later ones draw rows by their curvature: near the optimum
    most rows are decided and have none. From the third one on the sample grows: a fit
    that takes so long has columns that few rows fill (rare categories), of which a small
    sample knows nothing.

    Parameters
    ----------
    problem : Problem
    rng : numpy.random.RandomState
        Draws the rows, with replacement, unless all are taken.
    n_rows : int, optional
        Rows of the first two samples; by default max(4096, 10 p), as memory allows.
    """

    # Samples of one size, and the growth of each one after them.
    steady = 2
    growth = SAMPLE_GROWTH
    # Iterations that must remain for late new curvature to be worth its time.
    serves = 0.0

    def __init__(self, problem: Problem, rng, n_rows: int | None = None):
        self.problem = problem
        self._rng = rng
        p = problem.design.p
        self._n_rows = n_rows or min(max(4096, 10 * p), max(LARGEST_SAMPLE // p, 256))
        self._rows_of = problem.design
        self._refreshed = 0

    def rebind(self, problem: Problem) -> None:
        """Go on with the same problem in another precision.

        The inverse stays, and further ones are taken from the rows at hand: a metric needs
        no more digits than float32 has, whose matrices cost a quarter.
        """
        self.problem = problem

    def refresh(self, point: Point) -> None:
        """Take the curvature at `point`."""
        if self._refreshed >= self.steady:
            self._n_rows *= self.growth
        self._take(point)
        self._refreshed += 1

    def solve(self, G: NDArray) -> NDArray:
        """Return the inverse Hessian times each row of G (k, p)."""
        return G @ self._inverse

    def _take(self, point: Point) -> None:
        def curvature(index):
            return self.problem.loss.mean_curvature(point.P, index)

        (self._inverse,) = self._inverses_for([curvature], point)

    def _inverses_for(self, curvatures, point: Point) -> list[NDArray]:
        """Return the inverse Hessians with `curvature(index)` on the rows of one sample.

        Where the rounding of a matrix from float32 rows would count it is taken anew in
        float64; one of several, which would take the time of many iterations, gets a ridge
        instead, until a fit proves to be long.
        """
        sample, inverses = self._sample(point), []
        Hessians, in_single = self._grams(curvatures, sample)
        for curvature, H in zip(curvatures, Hessians, strict=True):
            factor, unit = factorise(H, self.problem.l2)
            pivots = factor.ravel()[:: len(factor) + 1]
            if in_single and pivots.min() < SINGLE_PIVOT:
                if len(curvatures) > 1 and self._refreshed < DOUBLE_FROM:
                    factor, unit = factorise(H, self.problem.l2, SINGLE_RIDGE)
                else:
                    (again,), _ = self._grams([curvature], sample, double=True)
                    factor, unit = factorise(again, self.problem.l2)
            inverses.append(inverse_factorised(factor, unit))
        return inverses

    def _grams(self, curvatures, sample, *, double: bool = False) -> tuple[list[NDArray], bool]:
        """Return the Hessians of a sample, and whether its rows are float32."""
        design = self._rows_of
        Hessians = [np.zeros((design.p, design.p)) for _ in curvatures]
        in_single = False
        for index, weights in sample:
            rows = design.rows(index)
            in_single = rows.itemsize == 4
            rows = design.in_double(rows) if double else rows
            for H, curvature in zip(Hessians, curvatures, strict=True):
                H += design.gram(rows, curvature(index) * weights)
        return Hessians, in_single

    def _sample(self, point: Point):
        """Return pairs (index, weights) of sampled rows, or of all."""
        design = self.problem.design
        if 2 * self._n_rows >= design.n:
            starts = range(0, design.n, ROWS_AT_ONCE)
            every = [slice(start, min(start + ROWS_AT_ONCE, design.n)) for start in starts]
            return [(index, design.weights_of(index)) for index in every]
        index, weights = self._draw(point)
        parts = [slice(start, start + ROWS_AT_ONCE) for start in range(0, len(index), ROWS_AT_ONCE)]
        return [(index[part], weights[part]) for part in parts]

    def _draw(self, point: Point) -> tuple[NDArray, NDArray]:
        """Return rows, in order, and their weights, which estimate sums over all rows."""
        design, m = self.problem.design, self._n_rows
        if self._refreshed == 0:
            index = np.sort(self._rng.randint(design.n, size=m))
            weights = design.weights_of(index)
            return index, weights / weights.sum()
        h = self.problem.loss.mean_curvature(point.P, slice(None))
        chance = design.to_host(design.row_weights * h)
        # Rows without curvature keep some chance: the curvature moves on.
        chance += UNIFORM_PART * chance.mean() or 1.0
        cumulated = np.cumsum(chance)
        # Systematic draws: one in each of m equal parts of the total.
        ticks = (np.arange(m) + self._rng.uniform()) * (cumulated[-1] / m)
        index = np.minimum(np.searchsorted(cumulated, ticks), design.n - 1)
        of_draws = design.from_host(cumulated[-1] / (m * chance[index]))
        return index, design.weights_of(index) * of_draws


class DiagonalHessian:
    """The diagonal of the Hessian over all rows; for wide or very sparse data."""

    serves = 0.0

    def __init__(self, problem: Problem):
        self.problem = problem

    def rebind(self, problem: Problem) -> None:
        """Go on with the same problem in another precision."""
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
    return inverse_factorised(*factorise(H, l2))


def inverse_factorised(factor: NDArray, unit: NDArray) -> NDArray:
    """Return the inverse of a factorised matrix; a third of the work of solving for it."""
    lower, _ = lapack.dpotri(factor, lower=1)
    inverse = np.tril(lower)
    inverse += np.tril(lower, -1).T
    inverse *= unit
    inverse *= unit[:, None]
    return inverse


def solve_factorised(factor: NDArray, unit: NDArray, right: NDArray) -> NDArray:
    """Return the inverse of a factorised matrix times `right`, (p,) or (p, m)."""
    unit = unit if right.ndim == 1 else unit[:, None]
    # LAPACK itself: scipy.linalg's checks take longer than the work at ten columns.
    solution, _ = lapack.dpotrs(factor, right * unit, lower=1)
    return solution * unit


def factorise(H: NDArray, l2: NDArray, ridge: float = SMALLEST_RIDGE):
    """Return the lower Cholesky factor of the correlation form of H + diag(l2), and its units.

    With u = 1 / sqrt(diagonal) the matrix u_i H_ij u_j has a unit diagonal, whatever the
    scales of the penalties; to that `ridge` is added, and more of it
    until the factorisation succeeds.
    """
    H = H.copy()
    diagonal = H.ravel()[:: len(H) + 1]
    # A column without curvature or penalty takes a part of the curvature of the others;
    # the penalties, which may be of any size, tell nothing about that.
    least = max(SMALLEST_CURVATURE * float(diagonal.max()), NO_CURVATURE)
    diagonal += l2
    unit = 1.0 / np.sqrt(np.maximum(diagonal, least))
    H *= unit
    H *= unit[:, None]
    scaled_diagonal = H.ravel()[:: len(H) + 1]
    np.maximum(scaled_diagonal, 1.0, out=scaled_diagonal)
    added = 0.0
    while True:
        scaled_diagonal += ridge - added
        added = ridge
        factor, failed_at = lapack.dpotrf(H, lower=1, clean=0)
        if not failed_at:
            return factor, unit
        if ridge > 1.0:
            raise LinAlgError("the Hessian is not finite; rescale the columns of X.")
        ridge *= 100
