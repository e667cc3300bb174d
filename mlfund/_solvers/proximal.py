"""l1 and elastic-net penalties: accelerated proximal steps, then Newton on the support.

Accelerated proximal gradient steps find which weights are zero; a Newton step restricted
to the other weights, whose signs are then known, finishes in a few products. The two
alternate until the smallest subgradient is within the tolerance.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.problem import Point, Problem
from mlfund._solvers.stopping import Outcome, Stopping

# Proximal steps between two Newton steps on the support.
STEPS_BETWEEN = 10
POWER_ITERATIONS = 12
CG_ITERATIONS = 100
# The largest eigenvalue from few power iterations is a little low.
EIGENVALUE_MARGIN = 1.1


def soft_threshold(V: NDArray, amount: NDArray) -> NDArray:
    """Return V moved towards zero by `amount`, the proximal operator of the l1 norm."""
    return np.sign(V) * np.maximum(np.abs(V) - amount, 0.0)


def least_subgradient(G: NDArray, V: NDArray, l1: NDArray) -> NDArray:
    """Return the subgradient of smallest size, given the gradient G of the smooth part."""
    at_zero = np.sign(G) * np.maximum(np.abs(G) - l1, 0.0)
    return np.where(V == 0, at_zero, G + l1 * np.sign(V))


class ProximalSteps:
    """FISTA with gradient restart, in a diagonal metric, on cached margins.

    The metric is bound * lambda_max(X'WX) + l2_j for coordinate j, with lambda_max from
    power iteration; extrapolated margins are combinations of known ones, so a step takes
    two passes over X.

    References
    ----------
    Beck and Teboulle, "A fast iterative shrinkage-thresholding algorithm", SIAM J. Imaging
    Sci. 2 (2009). O'Donoghue and Candes, "Adaptive restart for accelerated gradient
    schemes", Found. Comput. Math. 15 (2015).
    """

    def __init__(self, problem: Problem):
        self.problem = problem
        self._curvature = problem.loss.curvature_bound * largest_eigenvalue(problem.design)
        self._curvature *= EIGENVALUE_MARGIN
        self._taken = 0
        self.restart(None)

    def restart(self, point: Point | None) -> None:
        """Start again from `point` without momentum."""
        self._last = point
        self._momentum = 1.0

    def step(self, point: Point) -> Point:
        """Return the next point."""
        problem, last = self.problem, self._last or point
        momentum = 0.5 * (1 + np.sqrt(1 + 4 * self._momentum**2))
        beta = (self._momentum - 1) / momentum
        ahead = point
        if beta > 0:
            V = point.V + beta * (point.V - last.V)
            Z = problem.design.moved(point.Z, point.Z - last.Z, beta)
            ahead = problem.point(V, Z)
        metric = self._curvature + problem.l2
        V = soft_threshold(ahead.V - ahead.G / metric, problem.l1 / metric)
        uphill = float(np.sum(metric * (ahead.V - V) * (V - point.V))) > 0
        self._last, self._momentum = point, 1.0 if uphill else momentum
        new = problem.point(V)
        self._taken += 1
        if self._taken % STEPS_BETWEEN:
            return new
        better = support_newton(problem, new)
        if better is None:
            return new
        self.restart(better)
        return better


def largest_eigenvalue(design) -> float:
    """Return the largest eigenvalue of X'WX in standardised columns, by power iteration."""
    v = np.random.RandomState(0).standard_normal((1, design.p))
    size = 1.0
    for _ in range(POWER_ITERATIONS):
        v /= max(float(np.linalg.norm(v)), np.finfo(float).tiny)
        z = design.margins(v)
        v = design.pull_back(z * design.row_weights)
        size = float(np.linalg.norm(v))
    return max(size, np.finfo(float).tiny)


def support_newton(problem: Problem, point: Point) -> Point | None:
    """Return a Newton step among the non-zero weights, or None if it does not help.

    The linear system is solved by conjugate gradients with a diagonal preconditioner.
    Weights that would change their sign are set to zero.
    """
    free = (point.V != 0) | (np.broadcast_to(problem.l1, point.V.shape) == 0)
    subgradient = np.where(free, least_subgradient(point.G, point.V, problem.l1), 0.0)
    if not subgradient.any():
        return None
    D = _conjugate_gradients(problem, point, -subgradient, free)
    before = problem.value_at(point)
    slack = 1e-14 * abs(before)
    size = np.abs(least_subgradient(point.G, point.V, problem.l1)).max()
    for t in (1.0, 0.3, 0.1):
        V = point.V + t * D
        crossed = (np.sign(V) != np.sign(point.V)) & (point.V != 0) & (problem.l1 > 0)
        V[crossed] = 0.0
        Z = problem.design.margins(V)
        after = problem.value(V, Z)
        if after < before - slack:
            return problem.point(V, Z)
        if after <= before + slack:
            new = problem.point(V, Z)
            if np.abs(least_subgradient(new.G, new.V, problem.l1)).max() < 0.5 * size:
                return new
    return None


def _conjugate_gradients(problem: Problem, point: Point, target: NDArray, free: NDArray):
    """Return an approximate solution of H D = target among the free coordinates."""
    h = problem.loss.mean_curvature(point.P, slice(None)) * problem.design.row_weights
    diagonal = problem.design.squared_sums(h) + problem.l2
    diagonal = np.maximum(diagonal, 1e-10 * max(float(diagonal.max()), 1e-300))
    D = np.zeros_like(target)
    residual = target.copy()
    conditioned = residual / diagonal
    direction = conditioned.copy()
    rz = float(np.vdot(residual, conditioned))
    first = rz
    enough = min(0.1, np.sqrt(np.abs(target).max())) ** 2
    for _ in range(CG_ITERATIONS):
        product = np.where(free, problem.hessian_product(point, direction), 0.0)
        curvature = float(np.vdot(direction, product))
        if curvature <= 1e-14 * rz:
            break
        step = rz / curvature
        D += step * direction
        residual -= step * product
        conditioned = residual / diagonal
        rz, previous = float(np.vdot(residual, conditioned)), rz
        if rz <= enough * first:
            break
        direction = conditioned + (rz / previous) * direction
    return D if D.any() else target / diagonal


def minimise_nonsmooth(
    problem: Problem,
    start: NDArray,
    steps,
    stopping: Stopping,
    *,
    after_iteration: Callable[[Point], bool] | None = None,
    n_iter: int = 0,
) -> Outcome:
    """Minimise a problem with an l1 part.

    Parameters
    ----------
    steps : ProximalSteps, ProximalNewton or NesterovSteps
        Anything with `step(point)`, which returns the next point or None.
    problem, start, stopping, after_iteration, n_iter
        As in `descent.minimise`.
    """

    def subgradient(point: Point) -> NDArray:
        return least_subgradient(point.G, point.V, problem.l1)

    with np.errstate(over="ignore", under="ignore"):
        point, done_before = problem.point(start), n_iter
        curve = [problem.value_at(point)]
        while (status := stopping.status(subgradient(point), n_iter)) is None:
            new = steps.step(point)
            if new is None:
                status = "rounding"
                break
            point = new
            n_iter += 1
            curve.append(problem.value_at(point))
            if after_iteration is not None and after_iteration(point):
                status = "stopped"
                break
        if status == "converged" and n_iter > done_before:
            # One more step wins digits: within the tolerance the support is nearly known.
            point = steps.step(point) or point
            curve[-1] = problem.value_at(point)
        size = stopping.measure(subgradient(point))
    return Outcome(point.V, point.Z, status, n_iter, size, curve)
