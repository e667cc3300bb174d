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

# The curvature may cost about as much as this many passes of the whole stack.
CURVATURE_PASSES = 1
# Steps of the pilot, and those of them that take the curvature anew: where the Hessian is
# the Newton one, and where several classes share a mean one.
PILOT_STEPS = {"newton": (4, (0,)), "shared": (12, (0, 2, 6))}
# Steps of the descent that take the curvature anew.
REFRESH_AT = (6, 15, 30, 50, 80, 160)
DIAGONAL_REFRESH_AT = (0, 4, 12, 30, 80)


def descend(problem: StackedProblem, tol: float, max_iter: int, rng) -> Stack:
    """Solve all models of a stack: a pilot on a sample, all rows, the rest in float64.

    Each model starts from zero and sees its own training rows alone: hardly any penalty and
    separable rows leave a model near its start, which must know nothing of rows held out.
    """
    models = np.arange(len(problem.fold))
    sample = Sample(problem, rng)
    joint = problem.k * problem.design.p <= JOINT_UNKNOWNS
    metric = SharedMetric(problem, sample, affordable_hessians(problem, sample, joint=joint))
    stack = Stack(np.zeros((len(models), problem.k, problem.design.p)))
    refresh_at = DIAGONAL_REFRESH_AT
    if sample.dense:
        pilot = _pilot(problem, sample, metric, tol, max_iter)
        stack.V = pilot.V
        if len(sample.places) == len(problem.design.order):
            stack.n_iter = pilot.n_iter
        refresh_at = REFRESH_AT
    terms = {"tol": tol, "max_iter": max_iter}
    steps = SmoothSteps(problem, metric, StackedLBFGS(metric, stack.V.size), refresh_at)
    minimise_stack(problem, stack, steps, models, **terms)
    unfinished = np.flatnonzero(stack.status == ROUNDING)
    if len(unfinished) and problem.dtype == np.float32:
        problem.design.release(np.float32)
        exact = problem.astype(np.float64)
        lbfgs = StackedLBFGS(metric, stack.V[unfinished].size)
        steps = SmoothSteps(exact, metric, lbfgs, REFRESH_AT)
        minimise_stack(exact, stack, steps, unfinished, **terms)
    problem.design.release(np.float64)
    return stack


def _pilot(
    problem: StackedProblem, sample: Sample, metric: SharedMetric, tol: float, max_iter: int
) -> Stack:
    """Return a start for each model, from the sample; leave the metric there."""
    pilot = sampled_problem(problem, sample)
    models = np.arange(len(pilot.fold))
    stack = Stack(np.zeros((len(models), pilot.k, pilot.design.p)))
    steps, refresh_at = PILOT_STEPS["newton" if problem.k == 1 or metric.joint else "shared"]
    descent = SmoothSteps(pilot, metric, StackedLBFGS(metric, stack.V.size), refresh_at)
    most = min(steps, max_iter)
    minimise_stack(pilot, stack, descent, models, tol=max(tol, 1e-5), max_iter=most)
    stack.V[~np.isfinite(stack.V).all(axis=(1, 2))] = 0.0
    # Weights of columns that folds scale otherwise start from zero.
    stack.V *= metric.alike
    K, F = problem.l2.shape
    metric.refresh(stack.V.reshape(K, F, *stack.V.shape[1:]).mean(axis=1), np.arange(K))
    return stack


def sampled_problem(problem: StackedProblem, sample: Sample) -> StackedProblem:
    """Return the same models, of the same folds, on the rows of a sample."""
    weights = np.ones(problem.design.n) if problem.weights is None else problem.weights
    return StackedProblem(
        design := problem.design.sampled(sample.places, problem.dtype),
        problem.code[sample.index],
        problem.n_classes,
        None if problem.weights is None else problem.weights[sample.index],
        problem.l2,
        design.weight_sums(weights[sample.index]),
        problem.of_intercept,
        problem.dtype,
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
