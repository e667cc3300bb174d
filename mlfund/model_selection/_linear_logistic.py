"""Logistic regressions of a search: all strengths and splits as one program."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from mlfund._solvers.linear import Fit
from mlfund._solvers.stacked import grid_of
from mlfund._solvers.stacked_data import GridFit, Terms
from mlfund._solvers.stacked_descent import DECREMENT_PART
from mlfund._solvers.stacked_finish import finish
from mlfund._solvers.stacked_grid import L1_UNKNOWNS, Grid
from mlfund.estimators._linear_arguments import SGD, Objective, accelerator, check_arguments
from mlfund.estimators._linear_data import check_classes
from mlfund.estimators.linear import LogisticRegression
from mlfund.model_selection._contract import SearchRows
from mlfund.model_selection._families import UnstackableError
from mlfund.model_selection._linear_classes import Part, parts_of_equal_classes
from mlfund.model_selection._linear_models import LinearClassifiers, Stack
from mlfund.model_selection._linear_pieces import ARRAYS, Piece, pieces
from mlfund.model_selection._linear_rows import CheckedRows, check_rows, quietly, recorded
from mlfund.model_selection._prefix_key import content_key

# The `tol` to which near ties are trained on.
FINEST = 1e-8
# Of a memory limit, one in so many bytes may be kept for that.
KEPT_PART = 8

# What an estimator minimises, and what its parameters are warned of.
_Arguments = tuple[Objective, list[warnings.WarningMessage]]


def refusal(estimator: LogisticRegression, rows: SearchRows) -> str | None:
    """Return why a logistic regression cannot be stacked, or None."""
    try:
        objective = _objective(estimator)
        check_random_state(estimator.random_state)
    except ValueError as error:
        return f"its parameters are refused: {error}"
    if estimator.solver == SGD:
        return "solver='sgd' is fitted by itself"
    if objective.algorithm is not None:
        return f"solver={estimator.solver!r} asks for one algorithm, and the stack has its own"
    if estimator.max_iter == 0:
        return "max_iter=0 leaves the weights at their start"
    if np.isinf(objective.C):
        return "without penalty it may have no optimum, or many"
    if estimator.verbose:
        return "verbose prints a line for each iteration"
    foreign = sorted(set(rows.fit_params) - {"sample_weight"})
    return f"LogisticRegression.fit does not take {foreign[0]!r}" if foreign else None


def group_key(estimator: LogisticRegression) -> Hashable:
    """Return what must be equal among the logistic regressions of one stack."""
    return (
        estimator.tol,
        estimator.max_iter,
        bool(estimator.fit_intercept),
        estimator.solver == "liblinear",
        _objective(estimator).of_intercept,
        content_key(estimator.class_weight),
        str(estimator.device),
    )


def looseness(estimator: LogisticRegression) -> float | None:
    """Return how far a mean log-loss may lie from that of the optimum; None is not at all.

    A model is done when a step promises its mean loss no more than a part of `tol`. By
    Cauchy and Schwarz the log-loss of rows like those trained on, of a calibrated model,
    then lies within the root of twice that much of what it is at the optimum.
    """
    return None if estimator.tol <= FINEST else float(np.sqrt(2 * DECREMENT_PART * estimator.tol))


@dataclasses.dataclass(frozen=True)
class _Solved:
    """A piece that was solved for some splits, and what trains its models on.

    `grid` holds the rows in its order; where it is None it is made anew. `arguments` has for
    each estimator what it minimises, and what its parameters are warned of.
    """

    piece: Piece
    part: Part
    fit: GridFit
    grid: Grid | None
    checked: CheckedRows
    estimators: Sequence[LogisticRegression]
    arguments: Sequence[_Arguments]

    def finish(self, numbers: Sequence[int]) -> Iterator[LinearClassifiers]:
        """Train some of all estimators on, by their numbers, and yield them once more."""
        start = time.perf_counter()
        piece = self.piece.of(numbers)
        if not piece.candidates:
            return
        grid = self.grid
        if grid is None:
            grid = _grid(self.piece, self.part, self.estimators[0], self.fit)
        of_ratio, at = np.array(piece.of_ratio), np.array(piece.at)
        for r in np.unique(of_ratio).tolist():
            finish(grid, r, np.unique(at[of_ratio == r]), FINEST)
        yield from self.models(piece, time.perf_counter() - start)

    def models(self, piece: Piece, seconds: float) -> Iterator[LinearClassifiers]:
        """Yield the models of a piece, or of a part of it, split by split."""
        fit, affine = self.fit, self.part.folded.affine
        for fold, split in enumerate(self.part.splits.tolist()):
            stack = _stack(fit, fold, piece, affine, self.checked)
            models = LinearClassifiers(
                self.checked.rows,
                self.checked.rows.numbers[split],
                piece.candidates,
                self.part.classes,
                seconds=seconds / len(self.part.splits),
                estimators=self.estimators,
                objectives=[self.arguments[number][0] for number in piece.candidates],
                stack=stack,
                weights=self.part.weights_of(fold, len(self.checked.y)),
            )
            models.warnings = self._warnings(models, piece, fold)
            yield models

    def _warnings(
        self, models: LinearClassifiers, piece: Piece, fold: int
    ) -> list[warnings.WarningMessage]:
        """Return what the single fits would have warned of."""
        caught: list[warnings.WarningMessage] = []
        fit = self.fit
        for position, number in enumerate(piece.candidates):
            objective, of_arguments = self.arguments[number]
            caught += of_arguments
            where = fold, piece.of_ratio[position], piece.at[position]
            if fit.converged[where]:
                continue
            stopped = Fit(
                models.stack.coef[position],
                models.stack.intercept[position],
                fit.solver,
                "max_iter",
                models.stack.n_iter[position],
                float(fit.gradient[where]),
                separated=False,
            )
            caught += recorded(self.estimators[number]._warn, stopped, objective)[1]
        return caught


def train(
    estimators: Sequence[LogisticRegression],
    rows: SearchRows,
    *,
    memory_limit: int | None,
    report: Callable[[int, int], None],
    undecided: Callable[[], Sequence[int]] | None = None,
) -> Iterator[LinearClassifiers]:
    """Train all estimators on all splits; see `Family.train`."""
    first = estimators[0]
    checked = check_rows(first, rows, _validated)
    parts = list(parts_of_equal_classes(checked, first.class_weight))
    widest = max(part.folded.k for part in parts)
    if quietly(lambda: accelerator(first.device, checked.X, widest, first.solver)) is not None:
        raise UnstackableError("its device trains one model after the other")
    arguments = [recorded(check_arguments, estimator) for estimator in estimators]
    wanted = [(objective.C, objective.l1_ratio) for objective, _ in arguments]
    total = alive = len(estimators) * len(rows.splits)
    # The weights of all models, which finishing some of them starts from.
    weights = 8 * total * widest * (checked.X.shape[1] + 1)
    kept: list[_Solved] = []
    if undecided is not None and memory_limit is not None:
        undecided = undecided if weights < memory_limit // KEPT_PART else None
        memory_limit -= weights * (undecided is not None)
    report(alive, total)
    for part in parts:
        entries = part.folded.k * (checked.X.shape[1] + 1)
        if memory_limit is not None and entries <= L1_UNKNOWNS and any(r for _, r in wanted):
            # The Hessian of each model.
            entries += entries**2 // ARRAYS
        sizes = entries, checked.dense_entries
        cut = list(pieces(wanted, len(part.splits), *sizes, memory_limit))
        for piece in cut:
            start = time.perf_counter()
            some = part.of(piece.splits, checked)
            grid = _grid(piece, some, first)
            grid.solve()
            # Of many pieces the weights alone wait to be finished.
            kept_grid = grid if len(cut) == 1 else None
            solved = _Solved(piece, some, grid.fit, kept_grid, checked, estimators, arguments)
            yield from solved.models(piece, time.perf_counter() - start)
            if undecided is not None:
                kept.append(solved)
            del grid, kept_grid, solved
            alive -= len(piece.candidates) * len(some.splits)
            report(alive, total)
    while undecided is not None and (numbers := undecided()):
        for solved in kept:
            yield from solved.finish(numbers)


def _validated(estimator: LogisticRegression, X: Any, y: Any) -> tuple[Any, Any]:
    precise = estimator.solver == "liblinear"
    types = np.float64 if precise else [np.float64, np.float32]
    X, y = validate_data(estimator, X, y, accept_sparse="csr", dtype=types)
    check_classes(type(estimator).__name__, y, estimator.solver)
    return X, y


def _objective(estimator: LogisticRegression) -> Objective:
    return recorded(check_arguments, estimator)[0]


def _grid(piece: Piece, part: Part, first: LogisticRegression, fit: GridFit | None = None) -> Grid:
    """Return the grid of a piece, to be solved; or to be finished, from what was found."""
    terms = Terms(
        intercept=bool(first.fit_intercept),
        tol=first.tol,
        max_iter=first.max_iter,
        rng=check_random_state(0 if first.random_state is None else first.random_state),
        of_intercept=_objective(first).of_intercept,
        standardise=False,
        solver=None,
    )
    return grid_of(part.folded, np.array(piece.strengths), np.array(piece.ratios), terms, fit)


def _stack(
    fit: GridFit,
    fold: int,
    piece: Piece,
    affine: tuple[NDArray, NDArray] | None,
    checked: CheckedRows,
) -> Stack:
    """Return the models of one fold in the columns that were penalised."""
    where = fold, piece.of_ratio, piece.at
    W, b = fit.W[where], fit.b[where]
    if affine is not None:
        affine = affine[0][fold], affine[1][fold]
        W, b = W * affine[1], b + W @ affine[0]
    dtype, n_iter = checked.X.dtype, fit.n_iter[where].tolist()
    solvers = [fit.solver] * len(n_iter)
    return Stack(W.astype(dtype), b.astype(dtype), n_iter, solvers, affine, checked.names)
