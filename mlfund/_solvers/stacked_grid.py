"""The models of a grid: in stacks where that can be, else one by one along the path of C."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from mlfund._solvers.choice import NEWTON, choose
from mlfund._solvers.linear import LARGEST_PENALTY, Fit, Penalty, solve
from mlfund._solvers.losses import BinaryLoss, MultinomialLoss
from mlfund._solvers.stacked_data import FoldedRows, GridFit, Terms
from mlfund._solvers.stacked_descent import CALM, MAX_ITER, STALLED, Stack
from mlfund._solvers.stacked_problem import StackedProblem
from mlfund._solvers.stacked_rows import FoldedDesign
from mlfund._solvers.stacked_stages import balanced, descend
from mlfund._solvers.threads import blas_threads, threads_for

# Under so many products of entries of X and models, float32 saves less than it costs.
FLOAT32_WORK = 2e7
# Of `max_iter`, one in so many iterations are the stack's where Newton's method is at hand.
STACK_PART = 2
# Weights of the models solved together: 32 MB each for weights, gradients, memory.
STACK_ENTRIES = 2**22


@dataclasses.dataclass
class Grid:
    """One call of `solve_grid`."""

    rows: FoldedRows
    design: FoldedDesign
    Cs: NDArray
    total: NDArray
    fit: GridFit
    terms: Terms

    def solve_ratio(self, r: int, ratio: float) -> str | None:
        """Fit all models of one l1 ratio; return the algorithm when none were stacked."""
        by_strength = np.argsort(self.Cs, kind="stable")
        usable = self.stackable(by_strength, ratio)
        chosen = by_strength[usable]
        at_once = max(STACK_ENTRIES // self._entries, 1)
        for start in range(0, len(chosen), at_once):
            self._solve_stack(r, chosen[start : start + at_once])
        name = self._solve_paths(r, ratio, by_strength[~usable])
        return None if len(chosen) else name

    @property
    def _entries(self) -> int:
        """Weights of the models of one strength."""
        return len(self.total) * self.rows.k * self.design.p

    def stackable(self, strengths: NDArray, ratio: float) -> NDArray:
        """Return which strengths are fitted together, a mask."""
        stacked = self.terms.solver is None and self._entries <= STACK_ENTRIES
        l2 = 1.0 / self.Cs[strengths, None] / self.total
        with np.errstate(over="ignore", invalid="ignore"):
            largest = l2 * self.design.spread.max(axis=1) ** 2
        usable = (np.isfinite(largest) & (largest < LARGEST_PENALTY)).all(axis=1)
        return usable & stacked & ((ratio == 0) | np.isinf(self.Cs[strengths]))

    def _solve_stack(self, r: int, strengths: NDArray) -> None:
        """Fit the models of some strengths, ascending, together."""
        work = float(len(self.design.order)) * self._entries * len(strengths)
        single = work > FLOAT32_WORK or self.rows.X.dtype == np.float32
        problem = self.problem(strengths, np.float32 if single else np.float64)
        newton = self._newton
        share = max(self.terms.max_iter // STACK_PART, 1) if newton else self.terms.max_iter
        with quiet_passes(problem):
            stack = descend(problem, self.terms.tol, share, self.terms.rng)
        self.take(problem, stack, r, strengths)

    @property
    def _newton(self) -> bool:
        """Whether Newton's method ends in a few steps what hardly any penalty holds.

        A shared curvature is of no help there.
        """
        shape = len(self.design.order), self.design.p, self.rows.k
        return choose(*shape, l1=False) == NEWTON

    def problem(self, strengths: NDArray, dtype) -> StackedProblem:
        """Return the models of some strengths, ascending, in all folds."""
        rows = self.rows
        largest = None if rows.weights is None else rows.weights.max()
        return StackedProblem(
            self.design,
            rows.code,
            rows.n_classes,
            None if largest is None else rows.weights / largest,
            1.0 / self.Cs[strengths, None] / self.total,
            self.total if largest is None else self.total / largest,
            self.terms.of_intercept,
            dtype,
            blas_threads(),
        )

    def take(self, problem: StackedProblem, stack: Stack, r: int, strengths: NDArray) -> None:
        """Write down what a stack found; end by Newton's method what it could not."""
        design, fit, newton = self.design, self.fit, self._newton
        W, b = design.to_original(balanced(stack.V), problem.fold)
        where = (problem.fold, r, strengths[problem.strength])
        fit.W[where], fit.b[where] = W, b
        fit.n_iter[where], fit.gradient[where] = stack.n_iter, stack.gradient
        fit.converged[where] = stack.status != MAX_ITER
        stalled, unfinished = stack.status == STALLED, np.isin(stack.status, (CALM, MAX_ITER))
        anew = newton & unfinished & (stack.n_iter < self.terms.max_iter)
        for m in np.flatnonzero(stalled | anew).tolist():
            fold, c = int(problem.fold[m]), int(strengths[problem.strength[m]])
            # From weights that are calm already Newton's method would take no step.
            usable = not anew[m] and np.isfinite(W[m]).all() and np.isfinite(b[m]).all()
            self.solve_one(fold, r, c, 0.0, (W[m], b[m]) if usable else None)

    def _solve_paths(self, r: int, ratio: float, strengths: NDArray) -> str | None:
        """Fit models one by one, each from the smaller C before it; return the algorithm."""
        solver = None
        for fold in range(len(self.total) if len(strengths) else 0):
            start = None
            for c in strengths.tolist():
                W, b, solver = self.solve_one(fold, r, c, ratio, start)
                start = W, b
        return solver

    def solve_one(self, fold: int, r: int, c: int, ratio: float, start):
        """Fit one model by the single solver; return weights, intercepts, algorithm."""
        X, loss = self._fold_rows(fold)
        fit, strength = self.fit, 1.0 / self.Cs[c] / self.total[fold]
        if start is not None and fit.scale is not None:
            start = (start[0] * fit.scale[fold], start[1] + start[0] @ fit.mean[fold])
        found: Fit = solve(
            X,
            loss,
            Penalty(strength * (1.0 - ratio), strength * ratio, self.terms.of_intercept),
            intercept=self.design.intercept,
            tol=self.terms.tol,
            max_iter=max(self.terms.max_iter - int(fit.n_iter[fold, r, c]), 1),
            rng=self.terms.rng,
            solver=self.terms.solver,
            start=start,
        )
        W, b = found.W, zero_sum(found.b, self.terms)
        if fit.scale is not None:
            W = W / fit.scale[fold]
            b = b - W @ fit.mean[fold]
        where = (fold, r, c)
        fit.W[where], fit.b[where] = W, b
        fit.n_iter[where] += found.n_iter
        fit.converged[where] = found.status != "max_iter"
        fit.gradient[where] = found.gradient
        return W, b, found.solver

    def _fold_rows(self, fold: int):
        """Return X and the loss of one fold's training rows."""
        rows, fit = self.rows, self.fit
        weights = rows.times[fold].astype(np.float64)
        if rows.weights is not None:
            weights = weights * rows.weights
        index = np.flatnonzero(weights)
        X = rows.X[index]
        if fit.scale is not None:
            if sp.issparse(X):
                X = sp.csr_array(X.multiply(1.0 / fit.scale[fold]))
            else:
                X = (X - fit.mean[fold]) / fit.scale[fold]
        relative = (weights[index] / weights[index].sum()).astype(X.dtype)
        code = rows.code[index]
        if rows.n_classes == 2:
            return X, BinaryLoss(code.astype(X.dtype), relative)
        return X, MultinomialLoss(code, rows.n_classes, relative, X.dtype)


@contextlib.contextmanager
def quiet_passes(problem: StackedProblem) -> Iterator[None]:
    """Let the passes have the threads, and margins overflow."""
    # The passes have their own threads; all other products are small.
    one_thread = threads_for(0.0) if problem.compiled else contextlib.nullcontext()
    with one_thread, np.errstate(over="ignore", under="ignore", invalid="ignore"):
        yield


def zero_sum(b: NDArray, terms: Terms) -> NDArray:
    """Return free intercepts of several classes with sum zero, as scikit-learn gives them.

    The softmax does not see what they have in common.
    """
    return b - b.mean() if len(b) > 1 and terms.of_intercept is None else b
