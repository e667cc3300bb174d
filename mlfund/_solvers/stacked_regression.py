"""Linear regressions for all folds and strengths of a search.

Squared error needs no more of the rows than their products, which one pass gives for all
folds; all strengths of a fold are solved on those. Other losses go along the path of each
fold, from strong to weak penalties, each from its neighbour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from mlfund._solvers.regression import (
    CHOLESKY,
    LARGEST_FACTOR,
    Options,
    RegressionFit,
    is_direct,
    solve_regression,
)
from mlfund._solvers.regression_targets import RegressionTask
from mlfund._solvers.stacked_regression_moments import RegressionRows, fold_moments
from mlfund._solvers.stacked_regression_squared import FoldSystem
from mlfund._solvers.stacked_regression_wide import RowProducts

# Columns up to which their products are taken: 32 MB a fold.
LARGEST_MOMENTS = 2000
# Columns up to which that pays also with fewer rows than columns.
FEW_COLUMNS = 300
# Bytes of the products of all folds that are summed in one pass.
MOMENT_BYTES = 2**29


def solve_regressions(
    rows: RegressionRows,
    tasks: Sequence[RegressionTask],
    options: Options,
    *,
    moment_bytes: int = MOMENT_BYTES,
) -> Iterator[list[RegressionFit]]:
    """Fit linear regressions for all folds and tasks.

    Parameters
    ----------
    rows : RegressionRows
    tasks : sequence of RegressionTask
        With the same loss; l2 and l1 may differ.
    options : Options
    moment_bytes : int
        Memory for the products of the columns, at least those of one fold.

    Yields
    ------
    list of RegressionFit
        Of one fold after the other: the fits of all tasks, in the columns of the fold.
    """
    F, d = len(rows.times), rows.X.shape[1]
    at_once = F
    if by_moments(rows, tasks[0].loss, options):
        at_once = int(np.clip(moment_bytes // (8 * d * max(d, 1)), 1, F))
    for start in range(0, F, at_once):
        yield from _solve_folds(rows.of_folds(slice(start, start + at_once)), tasks, options)


def by_moments(rows: RegressionRows, loss: str, options: Options) -> bool:
    """Whether the products of the columns are all that the fits need, and cheap enough."""
    n, d = rows.X.shape
    few = d <= FEW_COLUMNS or d <= min(n, LARGEST_MOMENTS)
    return loss == "squared_error" and options.solver in (None, CHOLESKY) and few


def _solve_folds(
    rows: RegressionRows, tasks: Sequence[RegressionTask], options: Options
) -> Iterator[list[RegressionFit]]:
    moments = None
    if by_moments(rows, tasks[0].loss, options):
        moments = fold_moments(rows)
    for fold in range(len(rows.times)):
        fits: dict[int, RegressionFit] = {}
        if moments is not None:
            affine = rows.affine_of(fold)
            system = FoldSystem(moments, fold, affine, intercept=options.intercept)
            fits = system.solve(tasks, options.tol)
        if len(fits) < len(tasks):
            missing = [number for number in range(len(tasks)) if number not in fits]
            path = _solve_path(rows, fold, [tasks[number] for number in missing], options)
            fits.update(zip(missing, path, strict=True))
        yield [fits[number] for number in range(len(tasks))]


def _solve_path(
    rows: RegressionRows, fold: int, tasks: Sequence[RegressionTask], options: Options
) -> list[RegressionFit]:
    """Fit the tasks of one fold by themselves, each from the stronger penalty before it."""
    X, y, weights = rows.training(fold)
    wide = _row_products(X, y, weights, tasks, options)
    fits: dict[int, RegressionFit] = {}
    before: tuple[float, tuple[NDArray, NDArray]] | None = None
    for number in sorted(range(len(tasks)), key=lambda at: _place(tasks[at])):
        task, start, fit = tasks[number], None, None
        if wide is not None and task.l2 and not task.l1:
            fit = wide.fit(task, options.tol)
        if fit is None:
            ratio = _place(task)[0]
            if before is not None and before[0] == ratio and not is_direct(X, task, options):
                start = before[1]
            fit = solve_regression(X, y, task, weights, options, start=start)
            before = ratio, (fit.W, fit.b)
        fits[number] = fit
    return [fits[number] for number in range(len(tasks))]


def _row_products(
    X: NDArray | sp.csr_array,
    y: NDArray,
    weights: NDArray,
    tasks: Sequence[RegressionTask],
    options: Options,
) -> RowProducts | None:
    """Return the products of the rows where all tasks together repay them, else None."""
    m, d = X.shape
    ridges = sum(1 for task in tasks if task.l2 and not task.l1)
    squared = tasks[0].loss == "squared_error" and options.solver in (None, CHOLESKY)
    if not squared or d <= m or m > LARGEST_FACTOR or ridges < 2:
        return None
    return RowProducts(X, y, weights, intercept=options.intercept)


def _place(task: RegressionTask) -> tuple[float, float]:
    """Return what orders tasks: by the part of the penalty that is l1, then strong to weak."""
    strength = task.l2 + task.l1
    return (round(task.l1 / strength, 9) if strength else 0.0), -strength
