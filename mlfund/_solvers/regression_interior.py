"""Losses with kinks by a primal-dual interior-point method, for columns not few among the rows.

The optimum of sum_i w_i rho(x_i'v - y_i) plus penalties is a saddle point in the weights v
and the slopes a_i in [low, high]. With the residuals split into positive parts u and m, the
conditions at the optimum are

    X'W a + l2 v + l1 b = 0,   X v - y = u - m + width a,
    u (high - a) = 0,          m (a - low) = 0,

with the width zero but for Huber's loss, and likewise for the weights themselves with
slopes b in [-1, 1] where there is an l1 penalty. Newton's method on them, with the
products held at a mu that goes to zero, takes some 20 iterations, whatever the shape; each
costs one p x p matrix.

References
----------
Mehrotra, "On the implementation of a primal-dual interior point method", SIAM J. Optim. 2
(1992). Portnoy and Koenker, "The Gaussian hare and the Laplacian tortoise", Stat. Sci. 12
(1997).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.regression_homotopy import Path
from mlfund._solvers.regression_kinks import NEGLIGIBLE, KinkedProblem

# Of the way to the boundary.
STEP_FRACTION = 0.995
# Where the variables start, in units of the mean residual.
FIRST_PART = 0.1
# Iterations without smaller products after which rounding is the cause.
PATIENCE = 10
# Products of this size, relative to the objective, are rounding.
ROUNDING = 1e-15
# Of the tolerance, with an l1 penalty.
SPARSE_PART = 1e-3


class _Kinks:
    """Kinked terms, of the rows or of the weights: values e, slopes a, parts u and m."""

    def __init__(self, e: NDArray, low: float, high: float, weights, width: float = 0.0):
        self.weights, self.low, self.high, self.width = weights, low, high, width
        part = FIRST_PART * (float(np.abs(e).mean()) if e.any() else 1.0)
        self.u, self.m = np.maximum(e, 0.0) + part, np.maximum(-e, 0.0) + part
        middle, half = 0.5 * (low + high), 0.5 * (high - low)
        self.a = middle + 0.9 * half * np.clip(e / part, -1.0, 1.0)
        # Variables of their own: as differences they would lose their digits near zero.
        self.s, self.t = self.a - low, high - self.a

    def products(self) -> float:
        """Return the weighted sum of the products that vanish at the optimum."""
        return float(np.sum(self.weights * (self.u * self.t + self.m * self.s)))

    def linearise(self, e: NDArray) -> None:
        """Prepare the Newton step at values e."""
        self.theta = 1.0 / (self.u / self.t + self.m / self.s + self.width)
        self.missing = e - self.u + self.m - self.width * self.a

    def aim(self, of_u, of_m) -> NDArray:
        """Return the constant part of the change of slopes, for these products wanted."""
        self.to_u, self.to_m = of_u / self.t - self.u, of_m / self.s - self.m
        return self.theta * (self.missing - self.to_u + self.to_m)

    def gap(self, e: NDArray) -> float:
        """Return what the values lose against the slopes, at least 0."""
        slopes = np.clip(e / self.width, self.low, self.high) if self.width else None
        if slopes is None:
            rows = np.maximum(-self.s * e, self.t * e)
        else:
            rows = (slopes - self.a) * (e - 0.5 * self.width * (slopes + self.a))
        return float(np.sum(rows * self.weights))

    def respond(self, linear: NDArray, constant: NDArray) -> None:
        """Set the step of slopes and parts: theta times that of the values, and a constant."""
        self.da = linear + constant
        self.du = self.to_u + self.u / self.t * self.da
        self.dm = self.to_m - self.m / self.s * self.da

    def longest(self) -> tuple[float, float]:
        """Return the steps at which the first part, and the first slope, hits its bound."""
        parts = min(_ratio(self.u, self.du), _ratio(self.m, self.dm))
        return parts, min(_ratio(self.s, self.da), _ratio(self.t, -self.da))

    def after(self, of_parts: float, of_slopes: float) -> float:
        """Return the sum of products after a step."""
        t, s = self.t - of_slopes * self.da, self.s + of_slopes * self.da
        u, m = self.u + of_parts * self.du, self.m + of_parts * self.dm
        return float(np.sum(self.weights * (u * t + m * s)))

    def move(self, of_parts: float, of_slopes: float) -> None:
        """Take the step."""
        self.u = self.u + of_parts * self.du
        self.m = self.m + of_parts * self.dm
        self.s = self.s + of_slopes * self.da
        self.t = self.t - of_slopes * self.da
        self.a = self.a + of_slopes * self.da


def _ratio(value: NDArray, change: NDArray) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(change < 0, -value / change, np.inf)
    return float(room.min(initial=np.inf))


class InteriorPoint:
    """The method; parameters as in `regression_homotopy.Homotopy`."""

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

    def follow(self, v: NDArray) -> Path:
        """Return the optimum, from the start v (p,)."""
        problem, width = self.problem, self.last_width
        penalised = np.flatnonzero(problem.l1)
        e = problem.design.margins(v[None])[0] - problem.y
        rows = _Kinks(e, problem.low, problem.high, problem.weights, width)
        kinks = _Kinks(v[penalised], -1.0, 1.0, problem.l1[penalised])
        # Any v is feasible, and any slopes are: the best of both need not belong together.
        best_v, gap, least, since = v, np.inf, np.inf, 0
        curve = [problem.value(e, v, width)]
        value = curve[0]
        while True:
            if curve[-1] < value:
                value, best_v = curve[-1], v
            products = rows.products() + kinks.products()
            g, gap_here = self._bound(rows, kinks, e, v, penalised)
            gap = min(gap, gap_here)
            since = 0 if products < least else since + 1
            least = min(least, products)
            status = self._status(gap, value, least, since, len(curve) - 1)
            if status is not None:
                curve[-1] = value
                return Path(best_v, status, len(curve) - 1, gap / problem.size(value), curve)
            dv, dz, steps = self._step(rows, kinks, e, v, penalised, g, products)
            rows.move(*steps)
            kinks.move(*steps)
            v, e = v + steps[0] * dv, e + steps[0] * dz
            curve.append(problem.value(e, v, width))
            if self.after_iteration is not None and self.after_iteration(v):
                return Path(v, "stopped", len(curve) - 1, gap / problem.size(value), curve)

    def _bound(self, rows, kinks, e, v, penalised) -> tuple[NDArray, float]:
        """Return the gradient at the slopes, and a bound on what is missing to the optimum."""
        problem = self.problem
        g = problem.design.pull_back((rows.a * problem.weights)[None])[0] + problem.l2 * v
        g[penalised] += kinks.weights * kinks.a
        return g, rows.gap(e) + kinks.gap(v[penalised]) + problem.infeasibility(g, v)

    def _status(self, gap: float, value: float, products: float, since: int, n_iter: int):
        """Return why to end, or None to go on."""
        size = self.problem.size(value)
        # Near the optimum a step more wins two digits, which tell the zeros of an l1 penalty.
        part = SPARSE_PART if self.problem.l1.any() else 1.0
        if gap <= part * self.tol * size:
            return "converged"
        if since > PATIENCE or products <= ROUNDING * size:
            status = "rounding"
        elif n_iter >= self.max_iter:
            status = "max_iter"
        else:
            return None
        negligible = status == "rounding" and gap <= NEGLIGIBLE
        return "converged" if negligible or gap <= self.tol * size else status

    def _step(self, rows, kinks, e, v, penalised, g, products):
        """Return the step of the weights and margins, and its lengths, by Mehrotra's rule."""
        problem = self.problem
        rows.linearise(e)
        kinks.linearise(v[penalised])
        diagonal = problem.l2.copy()
        diagonal[penalised] += kinks.weights * kinks.theta
        system = problem.system(None, rows.theta, diagonal)
        roots = np.sqrt(rows.theta / rows.weights)

        def solve(of_u, of_m, kinks_u, kinks_m):
            constant, at_kinks = rows.aim(of_u, of_m), kinks.aim(kinks_u, kinks_m)
            right = g + problem.design.pull_back((constant * problem.weights)[None])[0]
            right[penalised] += kinks.weights * at_kinks
            dv, inner = system.solve_with_rows(-right)
            dz = problem.design.margins(dv[None])[0]
            rows.respond(rows.theta * dz if inner is None else roots * inner, constant)
            kinks.respond(kinks.theta * dv[penalised], at_kinks)
            return dv, dz, self._lengths(rows, kinks)

        _, _, steps = solve(0.0, 0.0, 0.0, 0.0)
        left = (rows.after(*steps) + kinks.after(*steps)) / products
        total = 2.0 * (np.sum(rows.weights * np.ones(len(e))) + np.sum(kinks.weights))
        mu = min(left, 1.0) ** 3 * products / total
        # The second-order terms of a step that cannot be taken whole mislead (Salahi, Peng,
        # Terlaky, SIAM J. Optim. 18, 2007).
        trust = steps[0] * steps[1]
        return solve(
            mu + trust * rows.du * rows.da,
            mu - trust * rows.dm * rows.da,
            mu + trust * kinks.du * kinks.da,
            mu - trust * kinks.dm * kinks.da,
        )

    def _lengths(self, rows: _Kinks, kinks: _Kinks) -> tuple[float, float]:
        """Return the steps of parts and of slopes that stay inside their bounds."""
        parts, slopes = (
            min(1.0, STEP_FRACTION * min(pair))
            for pair in zip(rows.longest(), kinks.longest(), strict=True)
        )
        # The weights of a quadratic penalty join both sides of the conditions.
        return (min(parts, slopes),) * 2 if self.problem.l2.any() else (parts, slopes)
