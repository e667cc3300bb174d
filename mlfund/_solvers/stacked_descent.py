"""L-BFGS for a stack of models: each has its own memory, step and end; all share the passes."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.proximal import least_subgradient
from mlfund._solvers.stacked_problem import Places, StackedProblem
from mlfund._solvers.stopping import FLOOR_ULP

# A unit step is kept when the slope at its end is at most this part of the first slope.
OVERSHOOT = 0.5
MAX_TRIALS = 12
# Of `tol`: the change of the mean loss that a step still promises when a model is done.
DECREMENT_PART = 1e-4
# Steps with a gradient of at most `tol` after which a model leaves as calm: where hardly any
# penalty holds separable rows, each step promises as much as the last one.
MOST_CALM = 16
# Steps without a smaller gradient after which a model leaves the stack: near the floor of
# the arithmetic for rounding, elsewhere as one that needs a closer search.
FLOOR_PATIENCE, NEAR_FLOOR = 6, 30
PATIENCE = 100
# Bytes of the memory of all models; beyond, each remembers fewer steps.
MEMORY_BYTES = 5e8

# CALM: the gradient is as small as asked for, and a step still promises much.
RUNNING, CONVERGED, CALM, ROUNDING, MAX_ITER, STALLED = range(6)


class StackedLBFGS:
    """Limited-memory BFGS, row by row over the models.

    Parameters
    ----------
    metric : SharedMetric
    size : int
        Entries of all models' weights.
    """

    def __init__(self, metric, size: int):
        self.metric = metric
        memory = int(np.clip(MEMORY_BYTES / (16 * max(size, 1)), 2, 10))
        self._pairs: deque = deque(maxlen=memory)
        self._size: NDArray | None = None

    def directions(self, G: NDArray, places: Places) -> NDArray:
        """Return the descent directions for gradients G (m, k, p)."""
        D = self._directions(G, places)
        rising = ~(_dots(G, D) < 0)
        if rising.any():
            self.forget(rising)
            D[rising] = -self.metric.solve(G, places)[rising]
        return D

    def _directions(self, G: NDArray, places: Places) -> NDArray:
        Q, alphas = G.copy(), []
        for S, Y, rho in reversed(self._pairs):
            alpha = rho * _dots(S, Q)
            Q -= alpha[:, None, None] * Y
            alphas.append(alpha)
        Q = self.metric.solve(Q, places)
        if self._size is not None:
            Q *= self._size[:, None, None]
        for (S, Y, rho), alpha in zip(self._pairs, reversed(alphas), strict=True):
            Q += S * (alpha - rho * _dots(Y, Q))[:, None, None]
        return -Q

    def update(self, S: NDArray, Y: NDArray, places: Places) -> None:
        """Remember steps S and changes Y of the gradient, where they are usable."""
        sy = _dots(S, Y)
        usable = sy > 1e-12 * np.sqrt(_dots(S, S) * _dots(Y, Y))
        if not usable.any():
            return
        rho = np.where(usable, 1.0 / np.where(usable, sy, 1.0), 0.0)
        self._pairs.append((S, Y, rho))
        yHy = _dots(Y, self.metric.solve(Y, places))
        # The metric knows the shape; the last pair knows the size.
        size = np.where(usable & (yHy > 0), sy / np.where(yHy > 0, yHy, 1.0), 1.0)
        if self._size is not None:
            size = np.where(usable, size, self._size)
        self._size = size

    def forget(self, models: NDArray | None = None) -> None:
        """Clear the memory of all models, or of some (a mask)."""
        if models is None:
            self._pairs.clear()
            self._size = None
            return
        for _, _, rho in self._pairs:
            rho[models] = 0.0
        if self._size is not None:
            self._size[models] = 1.0

    def keep(self, models: NDArray) -> None:
        """Keep the memory of some models only (a mask)."""
        kept = [tuple(part[models] for part in pair) for pair in self._pairs]
        self._pairs.clear()
        self._pairs.extend(kept)
        if self._size is not None:
            self._size = self._size[models]


class SmoothSteps:
    """Steps of L-BFGS in a metric that takes the curvature anew now and then.

    Parameters
    ----------
    problem : StackedProblem
    metric : SharedMetric
    lbfgs : StackedLBFGS
        For the models that the descent begins with.
    refresh_at : tuple of int
        Steps at which the metric takes the present curvature.
    """

    l1 = None

    def __init__(self, problem: StackedProblem, metric, lbfgs: StackedLBFGS, refresh_at):
        self.problem, self.metric, self._lbfgs = problem, metric, lbfgs
        self._refresh_at, self._taken = refresh_at, 0

    def refresh(self, V: NDArray, models: NDArray) -> None:
        """Take the curvature at the mean of the folds of each strength, where it is time."""
        if self._taken not in self._refresh_at:
            return
        strengths = self.problem.places(models).strength
        present, start, count = np.unique(strengths, return_index=True, return_counts=True)
        mean = np.add.reduceat(V, start, axis=0) / count[:, None, None]
        self.metric.refresh(mean, present)
        self._lbfgs.forget()

    def directions(self, V: NDArray, G: NDArray, models: NDArray, tol: NDArray) -> NDArray:
        """Return the steps from V with gradients G, (m, k, p); `tol` is for others."""
        return self._lbfgs.directions(G, self.problem.places(models))

    def learn(self, S: NDArray, Y: NDArray, models: NDArray) -> None:
        """Take note of steps S and the changes Y of the gradients."""
        self._lbfgs.update(S, Y, self.problem.places(models))
        self._taken += 1

    def keep(self, left: NDArray) -> None:
        """Go on with some of the models (a mask)."""
        self._lbfgs.keep(left)


class Stack:
    """The state of all models of a problem, those at work and those done.

    Attributes
    ----------
    V : ndarray of shape (M, k, p)
    status, n_iter : ndarray of int of shape (M,)
        One of RUNNING, CONVERGED, CALM, ROUNDING, MAX_ITER, STALLED; steps taken.
    gradient : ndarray of shape (M,)
        Largest entry of the gradient, as measured for `tol`.
    """

    def __init__(self, V: NDArray):
        self.V = V
        self.status = np.full(len(V), RUNNING)
        self.n_iter = np.zeros(len(V), dtype=int)
        self.gradient = np.full(len(V), np.inf)


def minimise_stack(
    problem: StackedProblem,
    stack: Stack,
    steps,
    models: NDArray,
    *,
    tol: float,
    max_iter: int,
    most_calm: int = MOST_CALM,
) -> None:
    """Minimise some models of a problem, in place, from the weights in `stack`.

    Each iteration costs one pass over the rows for the models still at work: unit steps are
    checked by the slope at their end, and only models that overshoot are tried again.

    Parameters
    ----------
    problem : StackedProblem
    stack : Stack
    steps : SmoothSteps or ProximalSteps
    models : ndarray of int
        Which models, sorted.
    tol, max_iter : float, int
        As in `Stopping`, for each model.
    most_calm : int
        Steps with a gradient of at most `tol` after which a model leaves as calm.
    """
    V = stack.V[models]
    G = problem.gradients(V, models)
    progress, begun = _Progress(len(models), problem.dtype, tol, most_calm), False
    while True:
        size, standardised, largest = _measure(problem, steps, V, G, models)
        progress.note(size, standardised)
        # At the start there may be no curvature yet.
        if not begun or not (size <= tol).all():
            steps.refresh(V, models)
        begun = True
        D = steps.directions(V, G, models, largest)
        promised = -first_slopes(V, G, D, _of_models(steps.l1, models))
        status = progress.status(promised, stack.n_iter[models] >= max_iter)
        done = status != RUNNING
        if done.any():
            _settle(stack, models, V, D, size, status, done)
            left = ~done
            models, V, G, D = models[left], V[left], G[left], D[left]
            progress.keep(left)
            steps.keep(left)
        if not len(models):
            return
        new_V, new_G = advance(problem, models, V, G, D, _of_models(steps.l1, models))
        steps.learn(new_V - V, new_G - G, models)
        V, G = new_V, new_G
        stack.n_iter[models] += 1


class _Progress:
    """Which of the models at work have come to an end, and to which one."""

    def __init__(self, m: int, dtype, tol: float, most_calm: int):
        self._tol, self._most_calm = tol, most_calm
        self._floor = FLOOR_ULP * float(np.finfo(dtype).eps)
        self._best = np.full(m, np.inf)
        self._since_best, self._calm = np.zeros((2, m), dtype=int)

    def note(self, size: NDArray, standardised: NDArray) -> None:
        """Take the sizes of the present gradients, as `StackedProblem.measure` has them."""
        self._size, self._standardised = size, standardised
        self._since_best = np.where(standardised < self._best, 0, self._since_best + 1)
        self._best = np.minimum(standardised, self._best)
        self._calm = self._calm + (size <= self._tol)

    def status(self, promised: NDArray, exhausted: NDArray) -> NDArray:
        """Return the status of each model, (m,).

        Parameters
        ----------
        promised : ndarray of shape (m,)
            By which the next steps would lower the objectives, to first order.
        exhausted : ndarray of bool of shape (m,)
            Whether no iterations are left.
        """
        small, status = self._size <= self._tol, np.full(len(promised), RUNNING)
        status[exhausted] = MAX_ITER
        stuck = (promised == 0) | (self._since_best >= PATIENCE)
        status[stuck | ~np.isfinite(self._size)] = STALLED
        near = (self._since_best >= FLOOR_PATIENCE) & (self._best <= NEAR_FLOOR * self._floor)
        status[near | (self._standardised <= self._floor)] = ROUNDING
        ended = (status == MAX_ITER) | (status == STALLED) | (self._calm >= self._most_calm)
        status[small & ended] = CALM
        # A small gradient alone says little where the curvature is smaller still.
        status[small & (promised <= DECREMENT_PART * self._tol)] = CONVERGED
        return status

    def keep(self, left: NDArray) -> None:
        """Go on with some of the models (a mask)."""
        self._best, self._since_best = self._best[left], self._since_best[left]
        self._calm = self._calm[left]


def _measure(problem, steps, V, G, models) -> tuple[NDArray, NDArray, NDArray]:
    """Return the sizes of the gradients that `problem.measure` does, and their largest entries."""
    if steps.l1 is not None:
        G = least_subgradient(G, V, steps.l1[models])
    return *problem.measure(G, models), np.abs(G).max(axis=(1, 2))


def _of_models(l1: NDArray | None, models: NDArray) -> NDArray | None:
    return None if l1 is None else l1[models]


def _settle(stack, models, V, D, size, status, done) -> None:
    """Write finished models back; the last gradient of converged ones is spent on a step."""
    index = models[done]
    stack.V[index], stack.status[index] = V[done], status[done]
    stack.gradient[index] = size[done]
    spent = done & (status == CONVERGED) & (stack.n_iter[models] > 0)
    if spent.any():
        stack.V[models[spent]] += D[spent]


def advance(problem, models, V, G, D, l1: NDArray | None = None) -> tuple[NDArray, NDArray]:
    """Return the weights after steps D, or parts of them, and their gradients.

    Parameters
    ----------
    problem : StackedProblem
    models : ndarray of int of shape (m,)
    V, G, D : ndarray of shape (m, k, p)
        Weights, gradients of the smooth part there, steps.
    l1 : ndarray of shape (m, k, p), optional
        Penalties of the weights' sizes.
    """
    slope = first_slopes(V, G, D, l1)
    new_V = V + D
    new_G = problem.gradients(new_V, models)
    end, t = last_slopes(new_V, new_G, D, l1), np.ones(len(models))
    for _ in range(MAX_TRIALS):
        again = np.flatnonzero(~(end <= OVERSHOOT * -slope) & (slope < 0))
        if not len(again):
            break
        # As the objective is convex, the slope is zero between the start and here.
        part = slope[again] / (slope[again] - end[again])
        t[again] *= np.clip(np.where(np.isfinite(part), part, 0.1), 0.05, 0.9)
        new_V[again] = V[again] + t[again, None, None] * D[again]
        new_G[again] = problem.gradients(new_V[again], models[again])
        of_again = _of_models(l1, again)
        end[again] = last_slopes(new_V[again], new_G[again], D[again], of_again)
    return new_V, new_G


def first_slopes(V: NDArray, G: NDArray, D: NDArray, l1: NDArray | None) -> NDArray:
    """Return the slopes of the objectives, (m,), where steps D leave V."""
    slopes = _dots(G, D)
    if l1 is not None:
        slopes += _dots(l1, np.where(V == 0, np.abs(D), np.sign(V) * D))
    return slopes


def last_slopes(V: NDArray, G: NDArray, D: NDArray, l1: NDArray | None) -> NDArray:
    """Return the slopes, (m,), where steps along D arrive at V."""
    slopes = _dots(G, D)
    if l1 is not None:
        slopes += _dots(l1, np.where(V == 0, -np.abs(D), np.sign(V) * D))
    return slopes


def _dots(A: NDArray, B: NDArray) -> NDArray:
    """Return the inner products of the models' arrays, (m,)."""
    return np.einsum("mkp,mkp->m", A, B)
