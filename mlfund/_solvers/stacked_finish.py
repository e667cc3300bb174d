"""Some models of a grid trained on: in float64, and nearer to the optimum than the others."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.stacked_descent import SmoothSteps, Stack, StackedLBFGS, minimise_stack
from mlfund._solvers.stacked_grid import Grid, quiet_passes
from mlfund._solvers.stacked_metrics import Sample, SharedMetric
from mlfund._solvers.stacked_problem import StackedProblem
from mlfund._solvers.stacked_proximal import descend_on
from mlfund._solvers.stacked_stages import REFRESH_AT


def finish(grid: Grid, r: int, strengths: NDArray, tol: float) -> None:
    """Train the models of some strengths on, in all folds, from where they are.

    Their weights take the place of the former ones in `grid.fit`.

    Parameters
    ----------
    grid : Grid
        With all models fitted.
    r : int
        Place in `grid.ratios`.
    strengths : ndarray of int
        Places in `grid.Cs`.
    tol : float
        Tighter than before. The models may take as many iterations as they had at first.
    """
    ratio = float(grid.ratios[r])
    strengths = strengths[np.argsort(grid.Cs[strengths], kind="stable")]
    most = grid.terms.max_iter + int(grid.fit.n_iter[:, r, strengths].max())
    terms = dataclasses.replace(grid.terms, tol=tol, max_iter=most)
    finer = dataclasses.replace(grid, terms=terms)
    together = grid.stackable(strengths, ratio)
    if together.any():
        _finish_stack(finer, r, strengths[together])
    with_l1 = ~together & grid.stackable_with_l1(strengths)
    for part in grid.parts_with_l1(int(with_l1.sum())):
        _finish_l1(finer, r, strengths[with_l1][part])
    for c in strengths[~together & ~with_l1].tolist():
        for fold in range(len(grid.total)):
            start = grid.fit.W[fold, r, c], grid.fit.b[fold, r, c]
            finer.solve_one(fold, r, c, ratio, start)


def _finish_stack(grid: Grid, r: int, strengths: NDArray) -> None:
    problem, terms = grid.problem(strengths, np.float64), grid.terms
    stack = _present(grid, problem, r, strengths)
    with quiet_passes(problem):
        metric = SharedMetric(problem, Sample(problem, terms.rng), len(strengths))
        of_strength = stack.V.reshape(len(strengths), -1, *stack.V.shape[1:])
        metric.refresh(of_strength.mean(axis=1), np.arange(len(strengths)))
        lbfgs = StackedLBFGS(metric, stack.V.size)
        minimise_stack(
            problem,
            stack,
            SmoothSteps(problem, metric, lbfgs, REFRESH_AT),
            np.arange(len(stack.V)),
            tol=terms.tol,
            max_iter=terms.max_iter,
        )
    grid.design.release(np.float64)
    grid.take(problem, stack, r, strengths)


def _finish_l1(grid: Grid, r: int, strengths: NDArray) -> None:
    ratio, terms = float(grid.ratios[r]), grid.terms
    problem = grid.problem(strengths, np.float64, 1.0 - ratio)
    stack = _present(grid, problem, r, strengths)
    l1 = ratio / grid.Cs[strengths, None] / grid.total
    with quiet_passes(problem):
        descend_on(problem, l1, stack, terms.tol, terms.max_iter, terms.rng)
    grid.take_l1(problem, stack, np.full(len(strengths), r), strengths)


def _present(grid: Grid, problem: StackedProblem, r: int, strengths: NDArray) -> Stack:
    """Return the stack of some models as they are."""
    where = (problem.fold, r, strengths[problem.strength])
    stack = Stack(_weights_upon(problem, grid.fit.W[where], grid.fit.b[where]))
    stack.n_iter[:] = grid.fit.n_iter[where]
    return stack


def _weights_upon(problem: StackedProblem, W: NDArray, b: NDArray) -> NDArray:
    """Return weights (m, k, d) and intercepts (m, k) of X as weights of the solver, (m, k, p)."""
    design = problem.design
    V = np.zeros((*W.shape[:2], design.p))
    V[..., : design.d] = W * design.scale
    if design.p > design.d:
        V[..., design.d] = b + W @ design.centre
        if design.tied:
            V[..., design.d] += np.einsum(
                "mkj,mj->mk", V[..., : design.d], design.mean[problem.fold]
            )
    return V
