"""Linear regressors of a search: all strengths and splits as one program."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import r2_score
from sklearn.utils import check_random_state

from mlfund._solvers.regression import Options, RegressionFit
from mlfund._solvers.stacked_regression import MOMENT_BYTES, solve_regressions
from mlfund._solvers.stacked_regression_moments import RegressionRows
from mlfund.estimators._linear_regressor_arguments import (
    algorithm_of,
    check_arguments,
    device_of,
    loss_of,
    task_of,
)
from mlfund.estimators._linear_regressor_warnings import warn_of
from mlfund.estimators.linear_regressor import LinearRegressor
from mlfund.model_selection._contract import SearchRows
from mlfund.model_selection._families import UnstackableError
from mlfund.model_selection._linear_models import LinearValues, Stack
from mlfund.model_selection._linear_rows import CheckedRows, check_rows, recorded

# Losses with kinks, whose fits end no sooner for starting from a neighbour.
KINKED = ("absolute_error", "quantile")


def refusal(estimator: LinearRegressor, rows: SearchRows) -> str | None:
    """Return why a linear regressor cannot be stacked, or None."""
    if estimator.solver != "auto":
        return f"solver={estimator.solver!r} asks for one algorithm, and the stack has its own"
    try:
        check_arguments(estimator)
        loss, _ = loss_of(estimator)
        algorithm_of(estimator, loss)
        check_random_state(estimator.random_state)
    except ValueError as error:
        return f"its parameters are refused: {error}"
    if loss in KINKED:
        return f"fits with loss={loss!r} have nothing to share"
    if estimator.verbose:
        return "verbose prints a line for each iteration"
    foreign = sorted(set(rows.fit_params) - {"sample_weight"})
    return f"LinearRegressor.fit does not take {foreign[0]!r}" if foreign else None


def group_key(estimator: LinearRegressor) -> Hashable:
    """Return what must be equal among the linear regressors of one stack."""
    name, options = loss_of(estimator)
    return (
        name,
        tuple(options.items()),
        estimator.tol,
        estimator.max_iter,
        bool(estimator.fit_intercept),
        str(estimator.device),
    )


def train(
    estimators: Sequence[LinearRegressor],
    rows: SearchRows,
    *,
    memory_limit: int | None,
    report: Callable[[int, int], None],
) -> Iterator[LinearValues]:
    """Train all estimators on all splits; see `Family.train`."""
    first = estimators[0]
    checked = check_rows(first, rows, _validated)
    folded = _folded(first, checked)
    options = Options(
        intercept=bool(first.fit_intercept),
        tol=first.tol,
        max_iter=first.max_iter,
        rng=check_random_state(0 if first.random_state is None else first.random_state),
    )
    tasks = [task_of(estimator) for estimator in estimators]
    # the systems that are solved with them take as much again
    n_bytes = MOMENT_BYTES if memory_limit is None else memory_limit // 2
    total = len(estimators) * len(rows.splits)
    report(total, total)
    start = time.perf_counter()
    for split, fits in enumerate(solve_regressions(folded, tasks, options, moment_bytes=n_bytes)):
        models = _models(fits, split, estimators, checked, folded)
        models.seconds = time.perf_counter() - start
        yield models
        report(total - len(estimators) * (split + 1), total)
        start = time.perf_counter()


def _validated(estimator: LinearRegressor, X: Any, y: Any) -> tuple[Any, Any]:
    X, y = estimator._checked(X, y)
    device_of(estimator, X, 1)
    if loss_of(estimator)[0] == "poisson" and y.min() < 0:
        raise ValueError("loss='poisson' needs targets of at least 0")
    return X, y


def _folded(estimator: LinearRegressor, checked: CheckedRows) -> RegressionRows:
    X, y = checked.X, checked.y
    targets = np.ascontiguousarray(y.reshape(len(y), -1).T)
    affine = checked.affine_of(np.arange(len(checked.times)))
    folded = RegressionRows(X, targets, checked.weights, checked.times, affine)
    if loss_of(estimator)[0] == "poisson":
        for fold in range(len(checked.times)):
            if not (targets @ folded.weights_of(fold)).all():
                raise UnstackableError("a split has no training row with a target above 0")
    return folded


def _models(
    fits: Sequence[RegressionFit],
    split: int,
    estimators: Sequence[LinearRegressor],
    checked: CheckedRows,
    folded: RegressionRows,
) -> LinearValues:
    dtype = checked.X.dtype
    poisson = loss_of(estimators[0])[0] == "poisson"
    return LinearValues(
        checked.rows,
        checked.rows.numbers[split],
        list(range(len(fits))),
        flat=checked.y.ndim == 1,
        warnings=_warnings(fits, split, estimators, folded),
        # The share of the deviance explained is a metric, but not one for several targets.
        default_metric=None if poisson else r2_score,
        estimators=estimators,
        stack=Stack(
            np.stack([fit.W for fit in fits]).astype(dtype),
            np.stack([fit.b for fit in fits]).astype(dtype),
            [max(fit.n_iter, 1) for fit in fits],
            [fit.solver for fit in fits],
            folded.affine_of(split),
            checked.names,
        ),
        curves=[fit.loss_curve for fit in fits],
        exponential=poisson,
    )


def _warnings(
    fits: Sequence[RegressionFit],
    split: int,
    estimators: Sequence[LinearRegressor],
    folded: RegressionRows,
) -> list[warnings.WarningMessage]:
    """Return what the single fits would have warned of."""
    caught: list[warnings.WarningMessage] = []
    ended = [at for at, fit in enumerate(fits) if fit.status != "converged"]
    X = folded.training(split)[0] if ended else None
    for at in ended:
        caught += recorded(warn_of, estimators[at], fits[at], X, stacklevel=2)[1]
    return caught
