import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import KFold, ShuffleSplit

from mlfund._solvers import kernels, stacked_regression
from mlfund._solvers.regression import Options, solve_regression
from mlfund._solvers.regression_targets import RegressionTask
from mlfund._solvers.stacked_data import training_times
from mlfund._solvers.stacked_regression import solve_regressions
from mlfund._solvers.stacked_regression_moments import RegressionRows, fold_moments

PENALTIES = [(0.0, 0.0), (1e-3, 0.0), (10.0, 0.0), (0.0, 0.02), (0.3, 0.3), (0.0, 1.0)]


def options(**changes):
    given = {"intercept": True, "tol": 1e-10, "max_iter": 2000, "rng": np.random.RandomState(0)}
    return Options(**{**given, **changes})


def problem(seed=0, *, n=120, d=6, k=1, splitter=None, weighted=False, sparse=False):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) * 10.0 ** rng.uniform(-2, 2, d)
    X += rng.normal(size=d) * np.abs(X).mean(axis=0)
    if sparse:
        X = np.where(rng.random(size=X.shape) < 0.3, X, 0.0)
    spread = np.where(X.std(axis=0) > 0, X.std(axis=0), 1.0)
    y = (X / spread @ rng.normal(size=(d, k)) + rng.normal(size=(n, k))).T * 5 + 100
    weights = rng.integers(0, 3, n) * 1.0 if weighted else None
    trains = [train for train, _ in (splitter or KFold(4)).split(X)]
    return RegressionRows(
        sp.csr_array(X) if sparse else X,
        np.ascontiguousarray(y),
        weights,
        training_times(trains, n),
    )


def scaled(rows):
    """The same rows behind a scaler of each fold."""
    X = rows.X.toarray() if sp.issparse(rows.X) else rows.X
    parts = [X[times > 0] for times in rows.times]
    centre = np.stack([part.mean(axis=0) for part in parts]) * (not sp.issparse(rows.X))
    return dataclasses.replace(
        rows, affine=(centre, np.stack([part.std(axis=0) for part in parts]))
    )


def assert_single_fits(rows, tasks, opts, *, atol=1e-7):
    """The predictions of all rows, in units of the targets' spread."""
    n_folds = 0
    for fold, fits in enumerate(solve_regressions(rows, tasks, opts)):
        X, y, weights = rows.training(fold)
        n_folds += 1
        for fit, task in zip(fits, tasks, strict=True):
            single = solve_regression(X, y, task, weights, opts)
            assert fit.status == single.status
            np.testing.assert_allclose(fit.loss_curve[-1], single.loss_curve[-1], rtol=1e-6)
            difference = X @ (fit.W - single.W).T + (fit.b - single.b)
            assert np.abs(difference / y.std()).max() < atol, task
    assert n_folds == len(rows.times)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_squared_error_of_all_penalties(affine, intercept, sparse, weighted):
    rows = problem(k=2, sparse=sparse, weighted=weighted)
    rows = scaled(rows) if affine else rows
    tasks = [RegressionTask("squared_error", l2, l1) for l2, l1 in PENALTIES]
    assert_single_fits(rows, tasks, options(intercept=intercept))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_any_splits(seed, affine):
    rng = np.random.default_rng(seed)
    rows = problem(seed, n=60, splitter=ShuffleSplit(3, train_size=0.6, random_state=seed))
    rows = dataclasses.replace(rows, times=rng.integers(0, 3, rows.times.shape))
    tasks = [RegressionTask("squared_error", l2, l1) for l2, l1 in ((0.1, 0.0), (0.05, 0.2))]
    assert_single_fits(scaled(rows) if affine else rows, tasks, options())


@pytest.mark.parametrize("loss", ["huber", "poisson", "kinked"])
def test_other_losses_go_along_the_path(loss):
    rows = problem(n=80, d=3, splitter=KFold(2))
    rows = dataclasses.replace(rows, X=rows.X / np.abs(rows.X).max(axis=0))
    if loss == "poisson":
        rows = dataclasses.replace(rows, y=np.round(np.abs(rows.y) / 20))
    tasks = [RegressionTask(loss, l2, l1) for l2, l1 in ((0.01, 0.0), (1.0, 0.0), (0.1, 0.1))]
    assert_single_fits(scaled(rows), tasks, options(tol=1e-9), atol=1e-5)


def test_many_columns_go_along_the_path(monkeypatch):
    monkeypatch.setattr(stacked_regression, "FEW_COLUMNS", 0)
    rows = problem(n=24, d=30, splitter=KFold(3))
    tasks = [RegressionTask("squared_error", 0.0, l1) for l1 in (0.1, 2.0, 1.0)]
    assert_single_fits(rows, tasks, options(tol=1e-9))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_more_columns_than_rows(monkeypatch, sparse, intercept, weighted):
    monkeypatch.setattr(stacked_regression, "FEW_COLUMNS", 0)
    rows = problem(n=24, d=60, k=2, splitter=KFold(3), sparse=sparse, weighted=weighted)
    tasks = [RegressionTask("squared_error", l2, 0.0) for l2 in (1e-3, 10.0, 0.1)]
    assert_single_fits(rows, tasks, options(tol=1e-8, intercept=intercept))
    seen = []
    monkeypatch.setattr(
        stacked_regression, "solve_regression", lambda *args, **_: seen.append(args)
    )
    list(solve_regressions(rows, tasks, options(tol=1e-8, intercept=intercept)))
    assert not seen


def test_without_compiled_kernels(monkeypatch):
    monkeypatch.setattr(kernels, "available", lambda: False)
    tasks = [RegressionTask("squared_error", 0.0, l1) for l1 in (2.0, 0.1, 1.0)]
    for sparse in (False, True):
        assert_single_fits(problem(sparse=sparse), tasks, options())


def test_exact_targets_are_finished_by_single_fits():
    rows = problem()
    rows = dataclasses.replace(rows, y=(rows.X @ np.arange(6.0))[None])
    tasks = [RegressionTask("squared_error", 0.0, 0.0)]
    for fits in solve_regressions(rows, tasks, options(tol=1e-9)):
        np.testing.assert_allclose(fits[0].W[0], np.arange(6.0), atol=1e-6)


def test_constant_columns_get_no_weight():
    rows = problem()
    rows.X[:, 2] = 0.1
    rows.X[:30, 3] = 7.0
    rows.X[30:, 3] = 0.3  # constant where fold 0 trains
    tasks = [RegressionTask("squared_error", 0.0, l1) for l1 in (0.0, 0.1)]
    for fold, fits in enumerate(solve_regressions(rows, tasks, options())):
        for fit in fits:
            assert fit.W[0, 2] == 0
            assert (fit.W[0, 3] == 0) == (fold == 0)


def test_rows_held_out_leave_no_trace():
    rows = problem()
    near = fold_moments(rows)
    far = dataclasses.replace(rows, X=rows.X.copy(), y=rows.y.copy())
    held = rows.times[1] == 0
    far.X[held] += 1e9
    far.y[:, held] -= 1e9
    moments = fold_moments(far)
    scale = np.multiply.outer(moments.unit, moments.unit)
    np.testing.assert_allclose(
        moments.H[1] * scale, near.H[1] * np.multiply.outer(near.unit, near.unit), rtol=1e-9
    )
    np.testing.assert_allclose(moments.y_square[1], near.y_square[1], rtol=1e-12)


def test_folds_in_several_passes():
    rows = problem()
    tasks = [RegressionTask("squared_error", 0.1, 0.0)]
    together = list(solve_regressions(rows, tasks, options()))
    apart = list(solve_regressions(rows, tasks, options(), moment_bytes=1))
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_allclose(one[0].W, other[0].W, rtol=1e-12)


def test_single_precision_rows_are_summed_in_double():
    rows = problem()
    rough = dataclasses.replace(rows, X=rows.X.astype(np.float32))
    exact = dataclasses.replace(rows, X=rough.X.astype(np.float64))
    tasks = [RegressionTask("squared_error", 0.1, 0.1)]
    for one, other in zip(
        solve_regressions(rough, tasks, options()),
        solve_regressions(exact, tasks, options()),
        strict=True,
    ):
        np.testing.assert_allclose(one[0].W, other[0].W, rtol=1e-10)
