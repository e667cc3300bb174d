"""The stages of a stacked descent: a sample, a pilot on it, the descent on all rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.stacked_descent import (
    ROUNDING,
    SmoothSteps,
    Stack,
    StackedLBFGS,
    minimise_stack,
)
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
    joint = problem.k * problem.design.p <= JOINT_UNKNOWNS
    metric = SharedMetric(problem, sample, affordable_hessians(problem, sample, joint=joint))
    K = int(problem.strength[-1]) + 1
    V = np.zeros((K, problem.k, problem.design.p))
    refresh_at = DIAGONAL_REFRESH_AT
    if sample.dense:
        V = _pilot(problem, sample, metric, tol)
        refresh_at = REFRESH_AT
    else:
        metric.refresh(V, np.arange(K))
    done, gradients = 0, None
    if problem.design.tied:
        lbfgs = StackedLBFGS(metric, V[problem.strength].size)
    else:
        most = min(FOLDS_TOGETHER[sample.dense], max_iter - 1)
        V, done, (gradients, lbfgs) = descend_together(problem, V, metric, tol, most)
    stack = Stack(V[problem.strength])
    stack.n_iter[:] = done
    terms = {"tol": tol, "max_iter": max_iter}
    steps = SmoothSteps(problem, metric, lbfgs, refresh_at)
    minimise_stack(problem, stack, steps, models, gradients=gradients, **terms)
    unfinished = np.flatnonzero(stack.status == ROUNDING)
    if len(unfinished) and problem.dtype == np.float32:
        problem.design.release(np.float32)
        exact = problem.astype(np.float64)
        lbfgs = StackedLBFGS(metric, stack.V[unfinished].size)
        steps = SmoothSteps(exact, metric, lbfgs, REFRESH_AT)
        minimise_stack(exact, stack, steps, unfinished, **terms)
    problem.design.release(np.float64)
    return stack


def _pilot(problem: StackedProblem, sample: Sample, metric: SharedMetric, tol: float) -> NDArray:
    """Return a start for each strength, (K, k, p), from the sample; leave the metric there."""
    pilot = sampled_problem(problem, sample)
    K = len(pilot.fold)
    stack = Stack(np.zeros((K, pilot.k, pilot.design.p)))
    pilot.seen_as = np.full(K, -1)
    steps, refresh_at = PILOT_STEPS["newton" if problem.k == 1 or metric.joint else "shared"]
    strengths = np.arange(K)
    descent = SmoothSteps(pilot, metric, StackedLBFGS(metric, stack.V.size), refresh_at)
    minimise_stack(pilot, stack, descent, strengths, tol=max(tol, 1e-5), max_iter=steps)
    stack.V[~np.isfinite(stack.V).all(axis=(1, 2))] = 0.0
    metric.refresh(stack.V, strengths)
    return stack.V


def sampled_problem(problem: StackedProblem, sample: Sample) -> StackedProblem:
    """Return the problem of one fold on the rows of a sample, a model for each strength."""
    design = problem.design.sampled(sample.rows)
    weights = None if problem.weights is None else problem.weights[sample.index]
    total = len(sample.index) if weights is None else weights.sum()
    return StackedProblem(
        design,
        problem.code[sample.index],
        problem.n_classes,
        weights,
        problem.l2.mean(axis=1, keepdims=True),
        np.array([max(total, np.finfo(float).tiny)]),
        problem.of_intercept,
        sample.rows.dtype,
        problem.threads,
    )


def affordable_hessians(problem: StackedProblem, sample: Sample, *, joint: bool) -> int:
    """Return how many strengths have their own curvature measured.

    `joint` tells whether several classes take it together.
    """
    K = int(problem.strength[-1]) + 1
    n, p = len(problem.design.order), problem.design.p
    pairs = problem.k * (problem.k + 1) / 2 if joint else 1
    one = 2.0 * len(sample.index) * p * p * pairs
    one_pass = 4.0 * n * p * problem.k * len(problem.fold)
    return int(np.clip(CURVATURE_PASSES * one_pass / (3 * one), min(K, 3), K))


def balanced(V: NDArray) -> NDArray:
    """Take out what all classes' weights have in common, which the softmax does not see."""
    return V if V.shape[1] == 1 else V - V.mean(axis=1, keepdims=True)
