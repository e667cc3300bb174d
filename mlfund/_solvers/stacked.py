"""A whole grid of logistic regressions, strengths times folds, in a few passes over X.

A sample of rows gives each strength a start and an inverse Hessian, which all folds share;
then all models descend together. What the stack cannot finish, and penalties with an l1
part, go one by one through the single solver, each from its neighbour on the path.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from mlfund._solvers.linear import LARGEST_PENALTY, Fit, Penalty, solve
from mlfund._solvers.losses import BinaryLoss, MultinomialLoss
from mlfund._solvers.stacked_descent import (
    MAX_ITER,
    ROUNDING,
    STALLED,
    Stack,
    minimise_stack,
)
from mlfund._solvers.stacked_metrics import Sample, SharedMetric
from mlfund._solvers.stacked_problem import StackedProblem
from mlfund._solvers.stacked_rows import FoldedDesign

# Under so many products of entries of X and models, float32 saves less than it costs.
FLOAT32_WORK = 2e7
# Weights of the models solved together: 32 MB each for weights, gradients, memory.
STACK_ENTRIES = 2**22
# Sparse X is made dense up to so many entries, or from such a density on.
DENSE_ENTRIES, DENSE_PART = 2_000_000, 0.3
# The curvature may cost as much as this many passes of the whole stack.
CURVATURE_PASSES = 5
PILOT_STEPS = {"newton": (3, (0, 1, 2)), "shared": (12, (0, 2, 6))}
REFRESH_AT = (8, 20, 40, 80, 160)
DIAGONAL_REFRESH_AT = (0, 4, 12, 30, 80)


@dataclasses.dataclass(frozen=True)
class FoldedRows:
    """The rows of a cross-validation.

    Attributes
    ----------
    X : ndarray or CSR of shape (n, d), float32 or float64
    code : ndarray of int of shape (n,)
        Class of each row.
    n_classes : int
    weights : ndarray of shape (n,), or None
        Row weights, not negative.
    times : ndarray of shape (F, n)
        How often each fold trains on each row: any splitter's answer, or weights.
    """

    X: NDArray | sp.csr_array
    code: NDArray
    n_classes: int
    weights: NDArray | None
    times: NDArray

    @property
    def k(self) -> int:
        """Margins a row."""
        return 1 if self.n_classes == 2 else self.n_classes


@dataclasses.dataclass
class GridFit:
    """The models of a grid, in the columns of X.

    Attributes
    ----------
    W : ndarray of shape (F, R, K, k, d)
        For fold, l1 ratio and strength.
    b : ndarray of shape (F, R, K, k)
    n_iter : ndarray of int of shape (F, R, K)
    converged : ndarray of bool of shape (F, R, K)
        False where `max_iter` came first.
    gradient : ndarray of shape (F, R, K)
        Largest entry of the gradient.
    solver : str
        "stacked", or the algorithm that fitted all models one by one.
    mean, scale : ndarray of shape (F, d), or None
        What each fold standardised by: W and b act on X as it is; the weights of the
        standardised columns, which were penalised, are W * scale.
    """

    W: NDArray
    b: NDArray
    n_iter: NDArray
    converged: NDArray
    gradient: NDArray
    solver: str = "stacked"
    mean: NDArray | None = None
    scale: NDArray | None = None


def training_times(trains: list[NDArray], n: int) -> NDArray:
    """Return how often each fold trains on each of n rows, for the folds' row numbers.

    Examples
    --------
    >>> import numpy as np
    >>> training_times([np.array([0, 1]), np.array([2, 2])], 3)
    array([[1, 1, 0],
           [0, 0, 2]])
    """
    return np.stack([np.bincount(train, minlength=n) for train in trains])


def solve_grid(
    rows: FoldedRows,
    Cs: NDArray,
    l1_ratios: NDArray,
    *,
    intercept: bool,
    tol: float,
    max_iter: int,
    rng,
    of_intercept: float | None = None,
    standardise: bool = False,
    solver: str | None = None,
) -> GridFit:
    """Fit logistic regressions for all folds, strengths and l1 ratios.

    Each model minimises C sum_i s_i loss_i + r |w|_1 + (1 - r)/2 |w|^2 over the rows that
    its fold trains on.

    Parameters
    ----------
    rows : FoldedRows
    Cs : ndarray of shape (K,)
        Inverse strengths, above 0; inf is no penalty.
    l1_ratios : ndarray of shape (R,)
        From 0 to 1.
    intercept, tol, max_iter, rng, solver
        As in `linear.solve`; a solver asked for by name fits the models one by one.
    of_intercept : float, optional
        As in `linear.Penalty`.
    standardise : bool
        Whether each fold standardises the columns by its own training rows first, as
        StandardScaler in a pipeline does (for sparse X without centring).

    Returns
    -------
    GridFit

    Raises
    ------
    ValueError
        If all training rows of a fold have weight zero.
    """
    total = fold_weight_sums(rows)
    F, R, K = len(rows.times), len(l1_ratios), len(Cs)
    k, d = rows.k, rows.X.shape[1]
    fit = GridFit(
        W=np.zeros((F, R, K, k, d)),
        b=np.zeros((F, R, K, k)),
        n_iter=np.zeros((F, R, K), dtype=np.int32),
        converged=np.ones((F, R, K), dtype=bool),
        gradient=np.zeros((F, R, K)),
    )
    rows = dataclasses.replace(rows, X=_fitting_form(rows.X))
    design = FoldedDesign(
        rows.X,
        rows.times,
        intercept=intercept,
        centred=intercept and of_intercept is None,
        standardise=standardise,
    )
    if standardise:
        fit.scale = design.scale * design.spread
        fit.mean = design.centre + design.scale * design.mean
    grid = _Grid(rows, design, Cs, total, fit, tol, max_iter, rng, of_intercept, solver)
    alone = [grid.solve_ratio(r, float(ratio)) for r, ratio in enumerate(l1_ratios)]
    if all(alone):
        fit.solver = alone[0]
    return fit


def fold_weight_sums(rows: FoldedRows) -> NDArray:
    """Return the sum of the weights that each fold trains on, (F,)."""
    weights = np.ones(rows.X.shape[0]) if rows.weights is None else rows.weights
    total = rows.times @ weights
    if not (total > 0).all():
        fold = int(np.argmin(total))
        raise ValueError(
            f"all training rows of fold {fold} have weight zero; "
            "give some of them weight or choose another cv."
        )
    return total


def _fitting_form(X):
    """Return X dense where that is small or sparse only in name; CSR in canonical form."""
    if not sp.issparse(X):
        return X
    entries = X.shape[0] * X.shape[1]
    if entries <= DENSE_ENTRIES or X.nnz > DENSE_PART * entries:
        return X.toarray()
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


@dataclasses.dataclass
class _Grid:
    """One call of `solve_grid`."""

    rows: FoldedRows
    design: FoldedDesign
    Cs: NDArray
    total: NDArray
    fit: GridFit
    tol: float
    max_iter: int
    rng: np.random.RandomState
    of_intercept: float | None
    solver: str | None

    def solve_ratio(self, r: int, ratio: float) -> str | None:
        """Fit all models of one l1 ratio; return the algorithm when none were stacked."""
        by_strength = np.argsort(self.Cs, kind="stable")
        of_strength = len(self.total) * self.rows.k * self.design.p
        stacked = self.solver is None and of_strength <= STACK_ENTRIES
        l2 = 1.0 / self.Cs[by_strength, None] / self.total
        usable = np.isfinite(l2 * self.design.units.max()) & (
            l2 * self.design.units.max() < LARGEST_PENALTY
        )
        usable = usable.all(axis=1) & stacked & ((ratio == 0) | np.isinf(self.Cs[by_strength]))
        chosen = by_strength[usable]
        at_once = max(STACK_ENTRIES // of_strength, 1)
        for start in range(0, len(chosen), at_once):
            self._solve_stack(r, chosen[start : start + at_once])
        name = self._solve_paths(r, ratio, by_strength[~usable])
        return None if len(chosen) else name

    def _solve_stack(self, r: int, strengths: NDArray) -> None:
        """Fit the models of some strengths, ascending, together."""
        rows, design, fit = self.rows, self.design, self.fit
        K, F = len(strengths), len(self.total)
        work = float(len(design.order)) * design.p * K * F * rows.k
        dtype = np.float32 if work > FLOAT32_WORK or rows.X.dtype == np.float32 else np.float64
        largest = None if rows.weights is None else rows.weights.max()
        problem = StackedProblem(
            design,
            rows.code,
            rows.n_classes,
            None if largest is None else rows.weights / largest,
            1.0 / self.Cs[strengths, None] / self.total,
            self.total if largest is None else self.total / largest,
            self.of_intercept,
            dtype,
        )
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            stack = descend(problem, self.tol, self.max_iter, self.rng)
        W, b = design.to_original(balanced(stack.V), problem.fold)
        where = (problem.fold, r, strengths[problem.strength])
        fit.W[where], fit.b[where] = W, b
        fit.n_iter[where], fit.gradient[where] = stack.n_iter, stack.gradient
        fit.converged[where] = stack.status != MAX_ITER
        for m in np.flatnonzero(stack.status == STALLED).tolist():
            fold, c = int(problem.fold[m]), int(strengths[problem.strength[m]])
            start = (W[m], b[m]) if np.isfinite(W[m]).all() and np.isfinite(b[m]).all() else None
            self._solve_one(fold, r, c, 0.0, start)

    def _solve_paths(self, r: int, ratio: float, strengths: NDArray) -> str | None:
        """Fit models one by one, each from the smaller C before it; return the algorithm."""
        solver = None
        for fold in range(len(self.total) if len(strengths) else 0):
            start = None
            for c in strengths.tolist():
                W, b, solver = self._solve_one(fold, r, c, ratio, start)
                start = W, b
        return solver

    def _solve_one(self, fold: int, r: int, c: int, ratio: float, start):
        """Fit one model by the single solver; return weights, intercepts, algorithm."""
        X, loss = self._fold_rows(fold)
        fit, strength = self.fit, 1.0 / self.Cs[c] / self.total[fold]
        if start is not None and fit.scale is not None:
            start = (start[0] * fit.scale[fold], start[1] + start[0] @ fit.mean[fold])
        found: Fit = solve(
            X,
            loss,
            Penalty(strength * (1.0 - ratio), strength * ratio, self.of_intercept),
            intercept=self.design.intercept,
            tol=self.tol,
            max_iter=self.max_iter,
            rng=self.rng,
            solver=self.solver,
            start=start,
        )
        W, b = found.W, found.b
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


def descend(problem: StackedProblem, tol: float, max_iter: int, rng) -> Stack:
    """Solve all models of a stack: pilot, descent, and float64 where float32 ends early."""
    models = np.arange(len(problem.fold))
    sample = Sample(problem, rng)
    metric = SharedMetric(problem, sample, _affordable_hessians(problem, sample))
    stack = Stack(np.zeros((len(models), problem.k, problem.design.p)))
    refresh_at = DIAGONAL_REFRESH_AT
    if sample.dense:
        stack.V[:] = _pilot(problem, sample, metric, tol)[problem.strength]
        refresh_at = REFRESH_AT
    terms = {"tol": tol, "max_iter": max_iter}
    minimise_stack(problem, stack, metric, models, refresh_at=refresh_at, **terms)
    unfinished = np.flatnonzero(stack.status == ROUNDING)
    if len(unfinished) and problem.dtype == np.float32:
        problem.design.release(np.float32)
        exact = problem.astype(np.float64)
        minimise_stack(exact, stack, metric, unfinished, refresh_at=REFRESH_AT, **terms)
    problem.design.release(np.float64)
    return stack


def _pilot(problem: StackedProblem, sample: Sample, metric: SharedMetric, tol: float) -> NDArray:
    """Return a start for each strength, (K, k, p), from the sample; leave the metric there."""
    design = problem.design.sampled(sample.index, sample.rows)
    K = int(problem.strength[-1]) + 1
    weights = None if problem.weights is None else problem.weights
    total = len(sample.index) if weights is None else weights[sample.index].sum()
    l2 = problem.l2.mean(axis=1, keepdims=True)
    pilot = StackedProblem(
        design,
        problem.code,
        problem.n_classes,
        weights,
        l2,
        np.array([max(total, np.finfo(float).tiny)]),
        problem.of_intercept,
        sample.rows.dtype,
    )
    stack = Stack(np.zeros((K, problem.k, problem.design.p)))
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
    pairs = problem.k * (problem.k + 1) / 2 if problem.k * p <= 120 else 1
    one = 2.0 * len(sample.index) * p * p * pairs
    one_pass = 4.0 * n * p * problem.k * len(problem.fold)
    return int(np.clip(CURVATURE_PASSES * one_pass / (3 * one), min(K, 3), K))


def balanced(V: NDArray) -> NDArray:
    """Take out what all classes' weights have in common, which the softmax does not see."""
    return V if V.shape[1] == 1 else V - V.mean(axis=1, keepdims=True)
