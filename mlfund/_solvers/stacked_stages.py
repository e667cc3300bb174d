"""The stages of a stacked descent: a sample, a pilot on it, the descent on all rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.stacked_descent import ROUNDING, Stack, minimise_stack
from mlfund._solvers.stacked_metrics import JOINT_UNKNOWNS, Sample, SharedMetric
from mlfund._solvers.stacked_problem import StackedProblem
from mlfund._solvers.stacked_together import descend_together

# The curvature may cost about as much as this many passes of the whole stack.
CURVATURE_PASSES = 1
# Steps of the pilot, and those of them that take the curvature anew: where the Hessian is
# the Newton one, and where several classes share a mean one.
PILOT_STEPS = {"newton": (4, (0,)), "shared": (12, (0, 2, 6))}
# Steps of the descent that take the curvature anew.
REFRESH_AT = (6, 15, 30, 50, 80, 160)
DIAGONAL_REFRESH_AT = (0, 4, 12, 30, 80)
# Steps that the folds of a strength take together, at most: with a diagonal metric, a dense.
FOLDS_TOGETHER = (30, 1)


def descend(problem: StackedProblem, tol: float, max_iter: int, rng) -> Stack:
    """Solve all models of a stack: pilot, folds together, each alone, the rest in float64."""
    models = np.arange(len(problem.fold))
    sample = Sample(problem, rng)
    metric = SharedMetric(problem, sample, _affordable_hessians(problem, sample))
    K = int(problem.strength[-1]) + 1
    V = np.zeros((K, problem.k, problem.design.p))
    refresh_at = DIAGONAL_REFRESH_AT
    if sample.dense:
        V = _pilot(problem, sample, metric, tol)
        refresh_at = REFRESH_AT
    else:
        metric.refresh(V, np.arange(K))
    steps, start = 0, None
    if not problem.design.tied:
        steps = min(FOLDS_TOGETHER[sample.dense], max_iter - 1)
        V, steps, start = descend_together(problem, V, metric, tol, steps)
    stack = Stack(V[problem.strength])
    stack.n_iter[:] = steps
    terms = {"tol": tol, "max_iter": max_iter}
    minimise_stack(problem, stack, metric, models, refresh_at=refresh_at, start=start, **terms)
    unfinished = np.flatnonzero(stack.status == ROUNDING)
    if len(unfinished) and problem.dtype == np.float32:
        problem.design.release(np.float32)
        exact = problem.astype(np.float64)
        minimise_stack(exact, stack, metric, unfinished, refresh_at=REFRESH_AT, **terms)
    problem.design.release(np.float64)
    return stack


def _pilot(problem: StackedProblem, sample: Sample, metric: SharedMetric, tol: float) -> NDArray:
    """Return a start for each strength, (K, k, p), from the sample; leave the metric there."""
    design = problem.design.sampled(sample.rows)
    K = int(problem.strength[-1]) + 1
    weights = None if problem.weights is None else problem.weights[sample.index]
    total = len(sample.index) if weights is None else weights.sum()
    l2 = problem.l2.mean(axis=1, keepdims=True)
    pilot = StackedProblem(
        design,
        problem.code[sample.index],
        problem.n_classes,
        weights,
        l2,
        np.array([max(total, np.finfo(float).tiny)]),
        problem.of_intercept,
        sample.rows.dtype,
        problem.threads,
    )
    stack = Stack(np.zeros((K, problem.k, problem.design.p)))
    pilot.seen_as = np.full(K, -1)
    steps, refresh_at = PILOT_STEPS["newton" if problem.k == 1 or metric.joint else "shared"]
    strengths = np.arange(K)
    loose = max(tol, 1e-5)
    minimise_stack(
        pilot, stack, metric, strengths, tol=loose, max_iter=steps, refresh_at=refresh_at
    )
    stack.V[~np.isfinite(stack.V).all(axis=(1, 2))] = 0.0
    metric.refresh(stack.V, strengths)
    return stack.V


def _affordable_hessians(problem: StackedProblem, sample: Sample) -> int:
    """Return how many strengths have their own curvature measured."""
    K = int(problem.strength[-1]) + 1
    n, p = len(problem.design.order), problem.design.p
    pairs = problem.k * (problem.k + 1) / 2 if problem.k * p <= JOINT_UNKNOWNS else 1
    one = 2.0 * len(sample.index) * p * p * pairs
    one_pass = 4.0 * n * p * problem.k * len(problem.fold)
    return int(np.clip(CURVATURE_PASSES * one_pass / (3 * one), min(K, 3), K))


def balanced(V: NDArray) -> NDArray:
    """Take out what all classes' weights have in common, which the softmax does not see."""
    return V if V.shape[1] == 1 else V - V.mean(axis=1, keepdims=True)
