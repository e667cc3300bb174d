"""Where to go from a point: Newton-Cholesky, and L-BFGS in a metric."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.metrics import factorise, solve_factorised
from mlfund._solvers.problem import Point, Problem

# Standardised rows up to this many entries are kept between Newton steps (16 MB).
KEPT_ENTRIES = 2_000_000
# From this iteration on L-BFGS keeps its pairs when the metric changes.
REMEMBERED_FROM = 8


class NewtonCholesky:
    """The Newton direction from the full Hessian, (k p) x (k p); for few columns."""

    whole_from_start = True

    def __init__(self, problem: Problem):
        self.problem = problem
        design = problem.design
        small = design.n * design.p <= KEPT_ENTRIES
        self._kept = [(slice(0, design.n), design.rows(slice(None)))] if small else None

    def propose(self, point: Point, remaining: float = np.inf) -> NDArray:
        """Return the direction, (k, p)."""
        H = self.hessian(point)
        factor = factorise(H, np.tile(self.problem.l2, self.problem.shape[0]))
        D = -solve_factorised(*factor, point.G.ravel()).reshape(self.problem.shape)
        if len(D) > 1:
            # The softmax does not see what the classes have in common: where no penalty does,
            # the curvature is zero, and rounding is divided by next to nothing.
            D -= np.where(self.problem.l2 > 0, 0.0, D.mean(axis=0))
        return D

    def hessian(self, point: Point) -> NDArray:
        """Return the Hessian of the loss, (k p, k p), without penalty."""
        return self._binary(point) if self.problem.shape[0] == 1 else self._multinomial(point)

    def repropose(self, point: Point) -> NDArray:
        """Return the last direction of a fit, from new curvature: the old wins fewer digits."""
        return self.propose(point)

    def rebind(self, problem: Problem) -> None:
        """Go on with the same problem in another precision."""
        self.problem, self._kept = problem, None

    def update(self, old: Point, new: Point) -> None:
        """Forget: each direction stands alone."""

    def restart(self) -> bool:
        """Return whether another try from the same point could help."""
        return False

    def _blocks(self):
        return self.problem.design.blocks() if self._kept is None else self._kept

    def _binary(self, point: Point) -> NDArray:
        h = self.problem.loss.curvature(point.P)
        H = 0.0
        for index, rows in self._blocks():
            H = H + self.problem.design.gram(rows, h[index])
        return H

    def _multinomial(self, point: Point) -> NDArray:
        k, p = self.problem.shape
        loss = self.problem.loss
        H = np.zeros((k, p, k, p))
        for index, rows in self._blocks():
            for a in range(k):
                for b in range(a, k):
                    h = loss.pair_curvature(point.P, index, a, b)
                    H[a, :, b] += self.problem.design.gram(rows, h)
        for a in range(k):
            for b in range(a):
                H[a, :, b] = H[b, :, a].T
        return H.reshape(k * p, k * p)


class LBFGS:
    """Limited-memory BFGS whose initial inverse Hessian is a metric.

    Parameters
    ----------
    metric : SampledHessian or DiagonalHessian
    memory : int
        Pairs of steps and gradient changes that are kept.
    refresh_at : tuple of int
        Iterations at which the metric takes the present curvature. At the first ones the
        memory is then cleared: the curvature that its pairs saw is not that of here.

    References
    ----------
    Nocedal, "Updating quasi-Newton matrices with limited storage", Math. Comp. 35 (1980).
    """

    whole_from_start = False

    def __init__(self, metric, *, memory: int = 10, refresh_at: tuple[int, ...] = (0, 3)):
        self.metric = metric
        self.refresh_at = refresh_at
        self._pairs: deque = deque(maxlen=memory)
        self._iteration = 0
        self._due = False

    def propose(self, point: Point, remaining: float = np.inf) -> NDArray:
        """Return the direction, (k, p); new curvature waits if few iterations remain."""
        self._due = self._due or self._iteration in self.refresh_at
        if self._due and (self._iteration < REMEMBERED_FROM or remaining >= self.metric.serves):
            self.metric.refresh(point)
            self._due = False
            if self._iteration < REMEMBERED_FROM:
                self._pairs.clear()
        self._iteration += 1
        return self.repropose(point)

    def repropose(self, point: Point) -> NDArray:
        """Return the direction with the curvature that is at hand, without a pass over X."""
        return -self._two_loops(point.G)

    def rebind(self, problem: Problem) -> None:
        """Go on with the same problem in another precision; what was learned stays."""
        self.metric.rebind(problem)

    def update(self, old: Point, new: Point) -> None:
        """Remember the step and the change of the gradient, if they are usable."""
        s, y = new.V - old.V, new.G - old.G
        sy = float(np.vdot(s, y))
        if sy > 1e-12 * np.linalg.norm(s) * np.linalg.norm(y):
            self._pairs.append((s, y, 1.0 / sy))

    def restart(self) -> bool:
        """Drop the memory; return whether there was any."""
        had_pairs = bool(self._pairs)
        self._pairs.clear()
        return had_pairs

    def _two_loops(self, G: NDArray) -> NDArray:
        q = G.copy()
        alphas = []
        for s, y, rho in reversed(self._pairs):
            alpha = rho * float(np.vdot(s, q))
            q -= alpha * y
            alphas.append(alpha)
        q = self.metric.solve(q)
        if self._pairs:
            s, y, rho = self._pairs[-1]
            # The metric knows the shape; the last pair knows the size.
            q *= 1.0 / (rho * float(np.vdot(y, self.metric.solve(y))))
        for (s, y, rho), alpha in zip(self._pairs, reversed(alphas), strict=True):
            q += s * (alpha - rho * float(np.vdot(y, q)))
        return q
