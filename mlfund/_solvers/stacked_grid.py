"""The models of a grid: in stacks where that can be, else one by one along the path of C."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from mlfund._solvers import kernels
from mlfund._solvers import stacked_span as span
from mlfund._solvers.choice import NEWTON, choose
from mlfund._solvers.linear import LARGEST_PENALTY, Fit, Penalty, solve
from mlfund._solvers.losses import BinaryLoss, MultinomialLoss
from mlfund._solvers.stacked_data import FoldedRows, GridFit, Terms, empty_fit, fold_weight_sums
from mlfund._solvers.stacked_descent import CALM, MAX_ITER, STALLED, Stack
from mlfund._solvers.stacked_problem import StackedProblem
from mlfund._solvers.stacked_proximal import descend_l1
from mlfund._solvers.stacked_rows import FoldedDesign
from mlfund._solvers.stacked_stages import balanced, descend
from mlfund._solvers.threads import blas_threads, threads_for

# Under so many products of entries of X and models, float32 saves less than it costs.
FLOAT32_WORK = 2e7
# Of `max_iter`, one in so many iterations are the stack's where Newton's method is at hand.
STACK_PART = 2
# Weights of the models solved together: 32 MB each for weights, gradients, memory.
STACK_ENTRIES = 2**22
# With an l1 penalty a stack needs so many rows for each column: from 5 on it took 0.03 to
# 0.7 of the time of the path on 30 tables (k from 2 to 10, p from 6 to 501, correlations to
# 0.99, separable ones too), with 3 up to 1.5.
L1_ROWS = 5
# A gradient, from which on what a stack leaves behind is begun anew.
STEEP = 1e-2
# Unknowns of a model, of which a Hessian is kept; entries of all Hessians together: as many as
# X has, or 32 MB.
L1_UNKNOWNS, L1_ENTRIES = 510, 2**22


@dataclasses.dataclass
class Grid:
    """One call of `solve_grid`."""

    rows: FoldedRows
    design: FoldedDesign
    Cs: NDArray
    ratios: NDArray
    total: NDArray
    fit: GridFit
    terms: Terms

    def solve(self) -> None:
        """Fit all models; `fit.solver` becomes the algorithm when none were stacked."""
        if not self.ratios.any() and span.stand_alone(self.rows, self.terms):
            span.solve(self.rows, self.Cs, self.terms, self.fit, _solve_fold)
            return
        by_strength, names = np.argsort(self.Cs, kind="stable"), []
        pairs: list[tuple[int, int]] = []
        for r, ratio in enumerate(self.ratios.tolist()):
            smooth = self.stackable(by_strength, ratio)
            self._solve_smooth(r, by_strength[smooth])
            with_l1 = ~smooth & self.stackable_with_l1(by_strength)
            pairs += [(r, c) for c in by_strength[with_l1].tolist()]
            names.append(self._solve_paths(r, ratio, by_strength[~smooth & ~with_l1]))
        self._solve_l1(np.array(pairs, dtype=int).reshape(-1, 2))
        if all(names) and not pairs:
            self.fit.solver = str(names[0])
        self.design.release(np.float32)

    @property
    def _entries(self) -> int:
        """Weights of the models of one strength."""
        return len(self.total) * self.rows.k * self.design.p

    def stackable(self, strengths: NDArray, ratio: float) -> NDArray:
        """Return which strengths are fitted together without l1 penalty, a mask."""
        return self._holdable(strengths) & ((ratio == 0) | np.isinf(self.Cs[strengths]))

    def stackable_with_l1(self, strengths: NDArray) -> NDArray:
        """Return which strengths are fitted together with an l1 penalty, a mask."""
        design = self.design
        pays = self.rows.k * design.p <= L1_UNKNOWNS and len(design.order) >= L1_ROWS * design.p
        pays = pays and kernels.takes_dense(design.X)
        return self._holdable(strengths) & np.isfinite(self.Cs[strengths]) & pays

    def _holdable(self, strengths: NDArray) -> NDArray:
        """Return which strengths a stack can hold, in memory and in numbers, a mask."""
        stacked = self.terms.solver is None and self._entries <= STACK_ENTRIES
        l2 = 1.0 / self.Cs[strengths, None] / self.total
        with np.errstate(over="ignore", invalid="ignore"):
            largest = l2 * self.design.spread.max(axis=1) ** 2
        usable = (np.isfinite(largest) & (largest < LARGEST_PENALTY)).all(axis=1)
        return usable & stacked

    def _solve_smooth(self, r: int, chosen: NDArray) -> None:
        """Fit the models of some strengths, ascending, together."""
        at_once, newton = max(STACK_ENTRIES // self._entries, 1), self._newton
        share = max(self.terms.max_iter // STACK_PART, 1) if newton else self.terms.max_iter
        for start in range(0, len(chosen), at_once):
            strengths = chosen[start : start + at_once]
            problem = self.problem(strengths, self._dtype(len(strengths)))
            with quiet_passes(problem):
                stack = descend(problem, self.terms.tol, share, self.terms.rng)
            self.take(problem, stack, r, strengths)

    def _solve_l1(self, pairs: NDArray) -> None:
        """Fit the models of some pairs (r, c) of l1 ratio and strength together."""
        terms = self.terms
        for some in self.parts_with_l1(len(pairs)):
            of_ratio, strengths = pairs[some].T
            part = self.ratios[of_ratio, None]
            problem = self.problem(strengths, self._dtype(len(strengths)), 1.0 - part)
            l1 = part / self.Cs[strengths, None] / self.total
            with quiet_passes(problem):
                stack = descend_l1(problem, l1, terms.tol, terms.max_iter, terms.rng)
            self.take_l1(problem, stack, of_ratio, strengths)

    def parts_with_l1(self, count: int) -> Iterator[slice]:
        """Yield parts of `count` strengths whose Hessians are held at once."""
        hessians = len(self.total) * (self.rows.k * self.design.p) ** 2
        at_once = max(max(self.rows.X.size, L1_ENTRIES) // hessians, 1)
        for start in range(0, count, at_once):
            yield slice(start, start + at_once)

    def _dtype(self, n_strengths: int) -> type:
        """Return the type in which a stack is multiplied first."""
        work = float(len(self.design.order)) * self._entries * n_strengths
        single = work > FLOAT32_WORK or self.rows.X.dtype == np.float32
        return np.float32 if single else np.float64

    @property
    def _newton(self) -> bool:
        """Whether Newton's method ends in a few steps what hardly any penalty holds.

        A shared curvature is of no help there.
        """
        shape = len(self.design.order), self.design.p, self.rows.k
        return choose(*shape, l1=False) == NEWTON

    def problem(self, strengths: NDArray, dtype, part=1.0) -> StackedProblem:
        """Return the models of some strengths, in all folds; the l2 part of their penalties."""
        rows = self.rows
        largest = None if rows.weights is None else rows.weights.max()
        return StackedProblem(
            self.design,
            rows.code,
            rows.n_classes,
            None if largest is None else rows.weights / largest,
            part / self.Cs[strengths, None] / self.total,
            self.total if largest is None else self.total / largest,
            self.terms.of_intercept,
            dtype,
            blas_threads(),
        )

    def take(self, problem: StackedProblem, stack: Stack, r: int, strengths: NDArray) -> None:
        """Write down what a stack found; end by Newton's method what it could not."""
        newton, of_strength = self._newton, strengths[problem.strength]
        W, b = self._write(stack, (problem.fold, r, of_strength), balanced(stack.V))
        stalled, unfinished = stack.status == STALLED, np.isin(stack.status, (CALM, MAX_ITER))
        anew = newton & unfinished & (stack.n_iter < self.terms.max_iter)
        for m in np.flatnonzero(stalled | anew).tolist():
            fold, c = int(problem.fold[m]), int(of_strength[m])
            # From weights that are calm already Newton's method would take no step.
            usable = not anew[m] and np.isfinite(W[m]).all() and np.isfinite(b[m]).all()
            near = usable and stack.gradient[m] <= STEEP
            self.solve_one(fold, r, c, 0.0, (W[m], b[m]) if near else None)

    def take_l1(self, problem: StackedProblem, stack: Stack, of_ratio, strengths) -> None:
        """Write down what a stack with l1 penalties found; end one by one what it did not."""
        where = problem.fold, of_ratio[problem.strength], strengths[problem.strength]
        W, b = self._write(stack, where, stack.V)
        unfinished = (stack.status == MAX_ITER) & (stack.n_iter < self.terms.max_iter)
        for m in np.flatnonzero(unfinished | (stack.status == STALLED)).tolist():
            fold, r, c = (int(number[m]) for number in where)
            usable = np.isfinite(W[m]).all() and np.isfinite(b[m]).all()
            start = (W[m], b[m]) if usable and stack.gradient[m] <= STEEP else None
            self.solve_one(fold, r, c, float(self.ratios[r]), start)

    def _write(self, stack: Stack, where, V: NDArray) -> tuple[NDArray, NDArray]:
        """Write down the models of a stack; return their weights and intercepts."""
        fit, (W, b) = self.fit, self.design.to_original(V, where[0])
        scaled = b if fit.mean is None else b + np.einsum("mkj,mj->mk", W, fit.mean[where[0]])
        b += zero_sum(scaled, self.terms) - scaled
        fit.W[where], fit.b[where] = W, b
        fit.n_iter[where], fit.gradient[where] = stack.n_iter, stack.gradient
        fit.converged[where] = stack.status != MAX_ITER
        return W, b

    def _solve_paths(self, r: int, ratio: float, strengths: NDArray) -> str | None:
        """Fit models one by one, each from the smaller C before it; return the algorithm."""
        solver = None
        for fold in range(len(self.total) if len(strengths) else 0):
            rows, start = self._fold_rows(fold), None
            for c in strengths.tolist():
                *start, solver = self.solve_one(fold, r, c, ratio, start, rows)
        return solver

    def solve_one(self, fold: int, r: int, c: int, ratio: float, start, rows=None):
        """Fit one model by the single solver; return weights, intercepts, algorithm."""
        X, loss = rows or self._fold_rows(fold)
        fit, strength = self.fit, 1.0 / self.Cs[c] / self.total[fold]
        where = (fold, r, c)
        spent, most = int(fit.n_iter[where]), self.terms.max_iter
        # What is begun anew has all iterations, as the single fit has.
        left = most if start is None else max(most - spent, 1)
        if start is not None and fit.scale is not None:
            start = (start[0] * fit.scale[fold], start[1] + start[0] @ fit.mean[fold])
        found: Fit = solve(
            X,
            loss,
            Penalty(strength * (1.0 - ratio), strength * ratio, self.terms.of_intercept),
            intercept=self.design.intercept,
            tol=self.terms.tol,
            max_iter=left,
            rng=self.terms.rng,
            solver=self.terms.solver,
            start=start,
        )
        W, b = found.W, zero_sum(found.b, self.terms)
        if fit.scale is not None:
            W = W / fit.scale[fold]
            b = b - W @ fit.mean[fold]
        fit.W[where], fit.b[where] = W, b
        fit.n_iter[where] = min(spent + found.n_iter, most)
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


def _solve_fold(rows: FoldedRows, Cs: NDArray, terms: Terms) -> GridFit:
    """Fit the models of one fold without an l1 penalty, in the columns as they are."""
    free = terms.of_intercept is None
    design = FoldedDesign(
        rows.X, rows.times, intercept=terms.intercept, free=free, standardise=False
    )
    fit = empty_fit(rows, 1, len(Cs), terms)
    Grid(rows, design, Cs, np.zeros(1), fold_weight_sums(rows), fit, terms).solve()
    return fit


@contextlib.contextmanager
def quiet_passes(problem: StackedProblem) -> Iterator[None]:
    """Let the passes have the threads, and margins overflow."""
    # The passes have their own threads; all other products are small.
    one_thread = threads_for(0.0) if problem.compiled else contextlib.nullcontext()
    with one_thread, np.errstate(over="ignore", under="ignore", invalid="ignore"):
        yield


def zero_sum(b: NDArray, terms: Terms) -> NDArray:
    """Return free intercepts (..., k) of several classes with sum zero, as scikit-learn gives them.

    The softmax does not see what they have in common.
    """
    if b.shape[-1] == 1 or terms.of_intercept is not None:
        return b
    return b - b.mean(axis=-1, keepdims=True)
