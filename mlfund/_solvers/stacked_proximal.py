"""l1 and elastic-net penalties for a whole stack: proximal quasi-Newton, a Hessian a model.

A sample of rows gives the models of a strength their Hessian, and each, from its own training
rows in it, a start. Each iteration
minimises the quadratic models of all fits by coordinate descent (`_proximal_models.c`) and
takes one pass over the rows for the gradients where that leads; what the gradients tell of
the curvature goes into each model's own Hessian (BFGS), so that fold and sample part.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers import kernels
from mlfund._solvers.stacked_descent import ROUNDING, Stack, first_slopes, minimise_stack
from mlfund._solvers.stacked_metrics import Sample, nearest_of, sampled_hessian
from mlfund._solvers.stacked_problem import StackedProblem
from mlfund._solvers.stacked_stages import affordable_hessians, sampled_problem

# Sweeps of coordinate descent on a quadratic model, and the part of the present gradient up
# to which it is solved.
SWEEPS = 200
MODEL_PRECISION = 0.1
# Added to the diagonal of a Hessian, relative to the largest entry: a column that the sample
# does not see still needs a finite step.
RIDGE = 1e-10
# Steps of the pilot, and its tolerance at least.
PILOT_STEPS, PILOT_TOL = 8, 1e-4
# Steps on all rows, in float32 and in float64 each: most models need three to ten, and what
# needs more has curvature of which the sample knows little.
MOST_STEPS = 25
# Steps with a gradient of at most `tol` after which a model is left as it is.
MOST_CALM = 4
# Models whose quadratic models are minimised by one call, on one of the threads.
MODELS_AT_ONCE = 8


class ProximalSteps:
    """Steps to the minima of quadratic models with l1 penalties.

    Parameters
    ----------
    hessians : ndarray of shape (M, k p, k p)
        Of the smooth part of each model's objective; they are kept up to date in place.
    l1 : ndarray of shape (M, k, p)
    threads : int

    References
    ----------
    Lee, Sun, Saunders, "Proximal Newton-type methods for minimizing composite functions",
    SIAM J. Optim. 24 (2014).
    """

    def __init__(self, hessians: NDArray, l1: NDArray, threads: int):
        self.l1 = l1
        self._hessians, self._flat, self._threads = hessians, l1.reshape(len(l1), -1), threads

    def refresh(self, V: NDArray, models: NDArray) -> None:
        """Do nothing: the Hessians learn from every step."""

    def keep(self, left: NDArray) -> None:
        """Do nothing: Hessians of models that are done stay where they are."""

    def directions(self, V: NDArray, G: NDArray, models: NDArray, size: NDArray) -> NDArray:
        """Return the steps, (m, k, p), from V with gradients G of the smooth part.

        They are zero where the quadratic model shows no way down.

        Parameters
        ----------
        V, G : ndarray of shape (m, k, p)
        models : ndarray of int of shape (m,)
        size : ndarray of shape (m,)
            Of the subgradients at V.
        """
        v, q, tol = _flat(V).copy(), _flat(G).copy(), MODEL_PRECISION * size

        def minimise(part: slice) -> None:
            arrays = (self._flat, v[part], q[part], tol[part])
            self._call("many_model_sweeps", models[part], arrays, SWEEPS)

        self._on_threads(minimise, len(models))
        D = v.reshape(V.shape) - V
        # Rounding may have left a Hessian that bends down.
        D[~(first_slopes(V, G, D, self.l1[models]) < 0)] = 0.0
        return D

    def learn(self, S: NDArray, Y: NDArray, models: NDArray) -> None:
        """Take note of steps S and the changes Y of the gradients, (m, k, p)."""
        steps, changes = _flat(S), _flat(Y)

        def update(part: slice) -> None:
            product = np.empty(steps.shape[1])
            self._call("learn_curvature", models[part], (steps[part], changes[part], product))

        self._on_threads(update, len(models))

    def _call(self, name: str, models: NDArray, arrays: tuple[NDArray, ...], *numbers: int) -> None:
        address, hessians = kernels.address, self._hessians
        kernels.call(
            name,
            None,
            len(models),
            hessians.shape[1],
            address(models, models.shape, np.int64),
            address(hessians, hessians.shape),
            *(address(array, array.shape) for array in arrays),
            *numbers,
        )

    def _on_threads(self, function: Callable[[slice], None], m: int) -> None:
        parts = [slice(i, min(i + MODELS_AT_ONCE, m)) for i in range(0, m, MODELS_AT_ONCE)]
        if self._threads == 1 or len(parts) == 1:
            for part in parts:
                function(part)
            return
        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(function, parts))


def _flat(V: NDArray) -> NDArray:
    return np.ascontiguousarray(V).reshape(len(V), -1)


def descend_l1(problem: StackedProblem, l1: NDArray, tol: float, max_iter: int, rng) -> Stack:
    """Solve all models of a stack with l1 penalties: a pilot on a sample, then all rows.

    Parameters
    ----------
    problem : StackedProblem
        With the smooth part of the penalties.
    l1 : ndarray of shape (K, F)
        Strength of |v|_1 in the columns that each fold penalises, beside the mean loss.
    tol, max_iter : float, int
        As in `Stopping`, for each model.
    rng : numpy.random.RandomState

    Returns
    -------
    Stack
        Models that did not end in `MOST_STEPS` have the status MAX_ITER.
    """
    sample = Sample(problem, rng)
    stack, models = Stack(_pilot(problem, l1, sample, tol)), np.arange(len(problem.fold))
    steps = _steps(problem, l1, sample, _mean_of_folds(stack.V, l1))
    terms = {"tol": tol, "most_calm": MOST_CALM}
    minimise_stack(problem, stack, steps, models, max_iter=min(max_iter, MOST_STEPS), **terms)
    unfinished = np.flatnonzero(stack.status == ROUNDING)
    if len(unfinished) and problem.dtype == np.float32:
        exact, most = problem.astype(np.float64), min(max_iter, 2 * MOST_STEPS)
        minimise_stack(exact, stack, steps, unfinished, max_iter=most, **terms)
    return stack


def descend_on(
    problem: StackedProblem, l1: NDArray, stack: Stack, tol: float, max_iter: int, rng
) -> None:
    """Go on, in place, from the weights of all models; the rest is as for `descend_l1`."""
    steps = _steps(problem, l1, Sample(problem, rng), _mean_of_folds(stack.V, l1))
    most = min(max_iter, int(stack.n_iter.max()) + MOST_STEPS)
    models = np.arange(len(stack.V))
    minimise_stack(problem, stack, steps, models, tol=tol, max_iter=most, most_calm=MOST_CALM)


def _mean_of_folds(V: NDArray, l1: NDArray) -> NDArray:
    """Return the mean weights of each strength, (K, k, p), of those of all models."""
    return V.reshape(*l1.shape, *V.shape[1:]).mean(axis=1)


def _steps(problem: StackedProblem, l1: NDArray, sample: Sample, V: NDArray) -> ProximalSteps:
    """Return the steps of all models, with curvature at one V (K, k, p) for each strength."""
    measured = nearest_of(len(V), affordable_hessians(problem, sample, joint=True))
    of_strength = {c: _hessian(sample, V[c]) for c in np.unique(measured).tolist()}
    hessians = np.stack([of_strength[c] for c in measured[problem.strength].tolist()])
    _add_penalty(hessians, problem)
    return ProximalSteps(hessians, _l1_of(problem, l1), problem.threads)


def _pilot(problem: StackedProblem, l1: NDArray, sample: Sample, tol: float) -> NDArray:
    """Return a start for each model, (M, k, p), from its training rows in the sample."""
    pilot = sampled_problem(problem, sample)
    models, tol = np.arange(len(pilot.fold)), max(tol, PILOT_TOL)
    stack = Stack(np.zeros((len(models), pilot.k, pilot.design.p)))
    # At zero the data look alike to all models.
    hessians = np.repeat(_hessian(sample, stack.V[0])[None], len(models), axis=0)
    _add_penalty(hessians, pilot)
    steps = ProximalSteps(hessians, _l1_of(pilot, l1), pilot.threads)
    minimise_stack(pilot, stack, steps, models, tol=tol, max_iter=PILOT_STEPS, most_calm=1)
    stack.V[~np.isfinite(stack.V).all(axis=(1, 2))] = 0.0
    return stack.V


def _hessian(sample: Sample, V: NDArray) -> NDArray:
    H = sampled_hessian(sample, V, joint=True)
    diagonal = np.einsum("ii->i", H)
    diagonal += RIDGE * max(float(diagonal.max()), RIDGE)
    return H


def _add_penalty(hessians: NDArray, problem: StackedProblem) -> None:
    diagonals = np.einsum("mii->mi", hessians)
    diagonals += np.tile(problem.penalty, problem.k)


def _l1_of(problem: StackedProblem, l1: NDArray) -> NDArray:
    """Return the penalties of the sizes of all weights upon A, (M, k, p)."""
    units = np.sqrt(problem.units)[problem.fold]
    return np.repeat((l1.ravel()[:, None] * units)[:, None], problem.k, axis=1)
