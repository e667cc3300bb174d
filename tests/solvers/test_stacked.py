"""The stacked solver against scikit-learn, model by model."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    KFold,
    LeaveOneOut,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from mlfund._solvers import kernels, stacked_descent, stacked_grid, stacked_metrics
from mlfund._solvers.stacked import solve_grid
from mlfund._solvers.stacked_data import FoldedRows, training_times
from mlfund._solvers.stacked_metrics import Sample, SharedMetric, nearest_of
from mlfund._solvers.stacked_problem import StackedProblem
from mlfund._solvers.stacked_rows import FoldedDesign, sort_into_segments

CS = np.array([10.0, 0.01, 1.0])


def data(n=120, d=4, k=2, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, d)) * np.logspace(-1, 1, d) + rng.standard_normal(d)
    raw = StandardScaler().fit_transform(X) @ rng.standard_normal((d, k))
    code = (raw + 2 * rng.standard_normal((n, k))).argmax(axis=1)
    code[: 3 * k] = np.tile(np.arange(k), 3)
    return X, code


def fit(X, code, k, trains, *, weights=None, ratios=(0.0,), Cs=CS, tol=1e-10, **terms):
    n = X.shape[0]
    rows = FoldedRows(X, code, k, weights, training_times(trains, n))
    defaults = {"intercept": True, "max_iter": 2000, "rng": np.random.RandomState(0)}
    return solve_grid(rows, np.asarray(Cs), np.array(ratios), tol=tol, **{**defaults, **terms})


def reference(X, code, train, C, *, weights=None, intercept=True):
    model = LogisticRegression(
        C=C, tol=1e-12, max_iter=5000, solver="newton-cholesky", fit_intercept=intercept
    )
    return model.fit(X[train], code[train], None if weights is None else weights[train])


def check(found, X, code, trains, atol=1e-6, Cs=CS, **terms):
    for f, train in enumerate(trains):
        for c, C in enumerate(Cs):
            exact = reference(X, code, train, C, **terms)
            unit = np.abs(exact.coef_).max()
            np.testing.assert_allclose(found.W[f, 0, c], exact.coef_, rtol=0, atol=atol * unit)
            if terms.get("intercept", True):
                unit = max(np.abs(exact.intercept_).max(), 1)
                np.testing.assert_allclose(
                    found.b[f, 0, c], exact.intercept_, rtol=0, atol=10 * atol * unit
                )


SPLITTERS = [
    StratifiedKFold(4),
    KFold(3, shuffle=True, random_state=0),
    ShuffleSplit(3, test_size=0.4, random_state=0),
    RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
    TimeSeriesSplit(3),
]


@pytest.mark.parametrize("splitter", SPLITTERS, ids=lambda cv: type(cv).__name__)
@pytest.mark.parametrize("k", [2, 3])
def test_every_model_is_scikit_learns(splitter, k):
    X, code = data(k=k)
    trains = [train for train, _ in splitter.split(X, code)]
    found = fit(X, code, k, trains)
    assert found.solver == "stacked"
    assert found.converged.all()
    check(found, X, code, trains)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("intercept", [True, False])
def test_weights_and_intercept(k, intercept):
    X, code = data(k=k)
    weights = np.random.RandomState(1).uniform(0, 2, len(X))
    weights[::7] = 0
    trains = [train for train, _ in StratifiedKFold(3).split(X, code)]
    found = fit(X, code, k, trains, weights=weights, intercept=intercept)
    check(found, X, code, trains, weights=weights, intercept=intercept)
    if not intercept:
        assert not found.b.any()


@pytest.mark.parametrize("k", [2, 3])
def test_without_compiled_loops(k, monkeypatch):
    monkeypatch.setattr(kernels, "register_bytes", lambda: 0)
    X, code = data(k=k)
    weights = np.random.RandomState(1).uniform(0, 2, len(X))
    for splitter in (StratifiedKFold(3), ShuffleSplit(3, random_state=0)):
        trains = [train for train, _ in splitter.split(X, code)]
        found = fit(X, code, k, trains, weights=weights, standardise=True)
        for f, train in enumerate(trains):
            scaler = StandardScaler().fit(X[train])
            np.testing.assert_allclose(found.scale[f], scaler.scale_, rtol=1e-9)
            exact = reference(scaler.transform(X), code, train, CS[2], weights=weights)
            np.testing.assert_allclose(found.W[f, 0, 2] * scaler.scale_, exact.coef_, atol=1e-6)


def test_rows_taken_twice_are_weights():
    X, code = data()
    rng = np.random.RandomState(0)
    trains = [rng.randint(len(X), size=len(X)) for _ in range(3)]
    check(fit(X, code, 2, trains), X, code, trains)


def test_leave_one_out():
    X, code = data(30)
    trains = [train for train, _ in LeaveOneOut().split(X)]
    check(fit(X, code, 2, trains, Cs=[1.0]), X, code, trains, Cs=[1.0])


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(
    "splitter", [StratifiedKFold(3), ShuffleSplit(3, random_state=0)], ids=["disjoint", "shuffled"]
)
def test_scaler_inside_the_folds_is_a_pipeline(k, intercept, splitter):
    X, code = data(k=k)
    trains = [train for train, _ in splitter.split(X, code)]
    found = fit(X, code, k, trains, standardise=True, intercept=intercept)
    for f, train in enumerate(trains):
        for c, C in enumerate(CS):
            model = LogisticRegression(
                C=C, tol=1e-12, solver="newton-cholesky", max_iter=999, fit_intercept=intercept
            )
            pipeline = make_pipeline(StandardScaler(), model).fit(X[train], code[train])
            np.testing.assert_allclose(found.mean[f], pipeline[0].mean_, atol=1e-9)
            np.testing.assert_allclose(found.scale[f], pipeline[0].scale_, rtol=1e-9)
            W = found.W[f, 0, c]
            np.testing.assert_allclose(W * found.scale[f], model.coef_, atol=1e-6)
            raw = X @ W.T + found.b[f, 0, c]
            expected = np.reshape(pipeline.decision_function(X), raw.shape)
            np.testing.assert_allclose(raw, expected, atol=1e-5)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("ratio", [0.0, 0.5])
@pytest.mark.parametrize("scaler", [MinMaxScaler(), MaxAbsScaler(), RobustScaler()])
def test_given_scales_are_a_pipeline(k, intercept, ratio, scaler):
    """Also for a constant column, which some scalers leave other than zero."""
    X, code = data(k=k)
    X = np.column_stack([X, np.full(len(X), 5.0)])
    trains = [train for train, _ in StratifiedKFold(3).split(X, code)]
    fitted = [clone(scaler).fit(X[train]) for train in trains]
    centre = np.stack([of_fold.inverse_transform(np.zeros((1, 5)))[0] for of_fold in fitted])
    scale = np.stack([of_fold.inverse_transform(np.ones((1, 5)))[0] for of_fold in fitted])
    scale -= centre
    terms = {"intercept": intercept, "ratios": [ratio], "Cs": [0.5, 3.0], "tol": 1e-9}
    found = fit(X, code, k, trains, affine=(centre, scale), **terms)
    assert ratio > 0 or found.solver == "stacked"
    np.testing.assert_allclose(found.scale, scale)
    for f, train in enumerate(trains):
        scaled = fitted[f].transform(X)
        alone = fit(scaled, code, k, [train], **terms)
        for c in range(2):
            raw = X @ found.W[f, 0, c].T + found.b[f, 0, c]
            expected = scaled @ alone.W[0, 0, c].T + alone.b[0, 0, c]
            np.testing.assert_allclose(raw, expected, atol=1e-5)


@pytest.mark.parametrize("k", [2, 3])
def test_columns_that_one_fold_scales_otherwise(k):
    """A column that is constant in a fold has a scale there that no other fold has."""
    X, code = data(240, 30, k=k)
    rare = np.random.RandomState(0).permutation(240)[:12]
    X = np.column_stack([X, np.zeros((240, 12))])
    X[rare, 30 + np.arange(12)] = 1.0
    trains = [train for train, _ in StratifiedKFold(4).split(X, code)]
    found = fit(X, code, k, trains, standardise=True, Cs=[0.1, 1.0], tol=1e-5)
    assert found.converged.all()
    assert found.n_iter.max() <= 60
    for f, train in enumerate(trains):
        scaler = StandardScaler().fit(X[train])
        np.testing.assert_array_equal(found.scale[f, 30:] == 1, scaler.var_[30:] == 0)
        exact = reference(scaler.transform(X), code, train, 1.0)
        np.testing.assert_allclose(found.W[f, 0, 1] * scaler.scale_, exact.coef_, atol=1e-3)


def test_sparse_rows_take_scales_and_no_centre():
    X, code = data(200, 3)
    X[np.abs(X) < 0.5] = 0
    trains = [train for train, _ in KFold(3).split(X)]
    scale = np.stack([np.abs(X[train]).max(axis=0) for train in trains])
    dense = fit(X, code, 2, trains, affine=(np.zeros_like(scale), scale))
    sparse = fit(sp.csr_array(X), code, 2, trains, affine=(np.zeros_like(scale), scale))
    np.testing.assert_allclose(sparse.W, dense.W, atol=1e-8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlfund._solvers.stacked.DENSE_ENTRIES", 0)
        patch.setattr("mlfund._solvers.stacked.DENSE_PART", 1)
        sparse = fit(sp.csr_array(X), code, 2, trains, affine=(np.zeros_like(scale), scale))
        np.testing.assert_allclose(sparse.W, dense.W, atol=1e-8)
        with pytest.raises(ValueError, match="sparse X cannot be centred"):
            fit(sp.csr_array(X), code, 2, trains, affine=(scale, scale))


def test_scaler_with_a_constant_column_and_sparse_rows():
    X, code = data(2000, 3)
    X = np.column_stack([X, np.full(len(X), 5.0)])
    X[np.abs(X) < 0.5] = 0
    trains = [train for train, _ in KFold(3).split(X)]
    dense = fit(X, code, 2, trains, standardise=True)
    assert not dense.W[..., 3].any()
    assert (dense.scale[:, 3] == 1).all()
    sparse = fit(sp.csr_array(X), code, 2, trains, standardise=True)
    np.testing.assert_allclose(sparse.W, dense.W, atol=1e-8)


@pytest.mark.parametrize("k", [2, 3])
def test_sparse_rows_in_a_diagonal_metric(k, monkeypatch):
    monkeypatch.setattr("mlfund._solvers.stacked.DENSE_ENTRIES", 0)
    X, code = data(300, 8, k=k)
    X[np.random.RandomState(0).uniform(size=X.shape) < 0.8] = 0
    trains = [train for train, _ in StratifiedKFold(3).split(X, code)]
    found = fit(sp.csr_array(X), code, k, trains)
    assert found.solver == "stacked"
    check(found, X, code, trains)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("ratio", [0.4, 1.0])
def test_l1_is_scikit_learns(k, ratio):
    X, code = data(80, k=k)
    trains = [train for train, _ in StratifiedKFold(2).split(X, code)]
    found = fit(X, code, k, trains, ratios=(0.0, ratio), Cs=[0.1, 2.0])
    check(found, X, code, trains, Cs=[0.1, 2.0])
    exact = LogisticRegression(C=0.1, l1_ratio=ratio, solver="saga", tol=1e-9, max_iter=100_000)
    exact.fit(X[trains[1]], code[trains[1]])
    np.testing.assert_allclose(found.W[1, 1, 0], exact.coef_, atol=2e-4)


@pytest.mark.parametrize("k", [2, 3])
def test_float32_is_finished_in_float64(k, monkeypatch):
    monkeypatch.setattr(stacked_grid, "FLOAT32_WORK", 0)
    X, code = data(k=k)
    trains = [train for train, _ in StratifiedKFold(3).split(X, code)]
    check(fit(X, code, k, trains, tol=1e-10), X, code, trains, atol=1e-6)
    loose = fit(X, code, k, trains, tol=1e-4)
    assert loose.gradient.max() <= 1e-4
    check(loose, X, code, trains, atol=0.05)


def test_no_penalty_and_penalties_beyond_floating_point():
    X, code = data()
    trains = [train for train, _ in StratifiedKFold(3).split(X, code)]
    found = fit(X, code, 2, trains, Cs=[np.inf, 1e-300, 1.0])
    check(found, X, code, trains, Cs=[np.inf], atol=1e-5)
    assert np.abs(found.W[:, 0, 1]).max() < 1e-100
    np.testing.assert_allclose(
        found.W[0, 0, 2], reference(X, code, trains[0], 1.0).coef_, atol=1e-6
    )


def test_shared_hessians_change_the_path_and_not_the_end(monkeypatch):
    X, code = data(400, 6)
    trains = [train for train, _ in StratifiedKFold(3).split(X, code)]
    Cs = np.logspace(-3, 3, 7)
    monkeypatch.setattr(stacked_metrics, "INVERSE_ENTRIES", 150)
    monkeypatch.setattr("mlfund._solvers.stacked_stages.CURVATURE_PASSES", 0)
    check(fit(X, code, 2, trains, Cs=Cs), X, code, trains, Cs=Cs)


def test_stack_in_parts_and_no_stack_at_all(monkeypatch):
    X, code = data(k=3)
    trains = [train for train, _ in StratifiedKFold(3).split(X, code)]
    whole = fit(X, code, 3, trains)
    monkeypatch.setattr(stacked_grid, "STACK_ENTRIES", 60)
    parts = fit(X, code, 3, trains)
    assert parts.solver == "stacked"
    np.testing.assert_allclose(parts.W, whole.W, atol=1e-7)
    monkeypatch.setattr(stacked_grid, "STACK_ENTRIES", 1)
    alone = fit(X, code, 3, trains)
    assert alone.solver != "stacked"
    np.testing.assert_allclose(alone.W, whole.W, atol=1e-6)


def test_stalled_models_go_to_the_single_solver(monkeypatch):
    X, code = data()
    trains = [train for train, _ in StratifiedKFold(3).split(X, code)]
    monkeypatch.setattr(stacked_descent, "PATIENCE", 0)
    for standardise in (False, True):
        found = fit(X, code, 2, trains, standardise=standardise)
        assert found.converged.all()
        if standardise:
            pipeline = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-10))
            pipeline.fit(X[trains[0]], code[trains[0]])
            ours = found.W[0, 0, 2] * found.scale[0]
            np.testing.assert_allclose(ours, pipeline[1].coef_, atol=1e-5)
        else:
            check(found, X, code, trains)


def test_default_tolerance_is_no_looser_than_newtons():
    """A weakly determined fit: small gradients are left long before the loss is at its end."""
    X, code = load_breast_cancer(return_X_y=True)
    folds = list(StratifiedKFold(5).split(X, code))
    trains, Cs = [train for train, _ in folds], [0.01, 1.0]
    found = fit(X, code, 2, trains, standardise=True, Cs=Cs, tol=1e-4)
    for f, (train, test) in enumerate(folds):
        for c, C in enumerate(Cs):
            scaler = StandardScaler().fit(X[train])
            exact = reference(scaler.transform(X), code, train, C)
            raw = X @ found.W[f, 0, c].T + found.b[f, 0, c]
            ours = log_loss(code[test], expit(raw[test, 0]))
            theirs = log_loss(code[test], exact.predict_proba(scaler.transform(X[test])))
            np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_curvature_where_margins_overflow_is_silent_on_threads_too():
    X, code = data(300, 3)
    times = training_times([np.arange(0, 200), np.arange(100, 300)], 300)
    design = FoldedDesign(X, times, intercept=True, free=True, standardise=False)
    l2 = np.array([[0.1, 0.1], [0.01, 0.01]])
    problem = StackedProblem(design, code, 2, None, l2, np.full(2, 200.0), None, np.float32)
    problem.threads = 2
    metric = SharedMetric(problem, Sample(problem, np.random.RandomState(0)), 2)
    metric.refresh(np.full((2, 1, design.p), 1e4), np.arange(2))
    G = np.ones((4, 1, design.p))
    assert np.isfinite(metric.solve(G, problem.places(np.arange(4)))).all()


def test_steps_that_overshoot_are_shortened():
    """Far, separable data: the pilot's unit steps would run away without the slope test."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((200, 3)) * 1e3
    code = (X[:, 0] > 0).astype(int)
    trains = [train for train, _ in StratifiedKFold(4).split(X, code)]
    found = fit(X, code, 2, trains, Cs=[1e-4, 1e4], tol=1e-8)
    assert np.isfinite(found.W).all()
    for f, train in enumerate(trains):
        margins = X[train] @ found.W[f, 0, 0].T + found.b[f, 0, 0]
        assert ((margins[:, 0] > 0) == code[train]).mean() > 0.97


def test_max_iter_is_told():
    X, code = data(400, 8)
    trains = [train for train, _ in StratifiedKFold(3).split(X, code)]
    found = fit(X, code, 2, trains, max_iter=1, tol=1e-14)
    assert not found.converged.any()
    assert (found.n_iter == 1).all()
    assert (found.gradient > 1e-14).all()


def test_weights_of_zero_in_a_whole_fold_are_refused():
    X, code = data()
    weights = np.zeros(len(X))
    weights[:40] = 1
    trains = [train for train, _ in KFold(3).split(X)]
    with pytest.raises(ValueError, match="all training rows of fold 0 have weight zero"):
        fit(X, code, 2, trains, weights=weights)


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
def test_absent_class_is_fitted_in_the_limit(ratio, standardise):
    """The other classes' weights are those of a softmax without the absent class."""
    X, code = data(150, 3, k=3)
    order = np.argsort(code, kind="stable")
    X, code = X[order], code[order]
    train = np.flatnonzero(code > 0)
    rest = np.arange(0, 150, 2)
    found = fit(
        X, code, 3, [train, rest], ratios=(ratio,), Cs=[0.5], tol=1e-8, standardise=standardise
    )
    W, b = found.W[0, 0, 0], found.b[0, 0, 0]
    np.testing.assert_array_equal(W[0], 0)
    P = np.exp(X[train] @ W.T + b)
    P /= P.sum(axis=1, keepdims=True)
    assert P[:, 0].max() <= 1e-8
    assert (X @ W.T + b).argmax(axis=1).min() > 0
    if standardise:
        return
    # optimality: residual gradient of the two others equals the penalty's
    R = P[:, 1:] - np.eye(3)[code[train]][:, 1:]
    gradient = 0.5 * R.T @ X[train] + (1 - ratio) * W[1:]
    moving = W[1:] != 0
    np.testing.assert_allclose((gradient + ratio * np.sign(W[1:]))[moving], 0, atol=1e-4)
    np.testing.assert_allclose(R.sum(axis=0), 0, atol=1e-4)


def test_one_class_alone():
    X, code = data(60)
    order = np.argsort(code, kind="stable")
    X, code = X[order], code[order]
    trains = [np.flatnonzero(code == 0), np.flatnonzero(code == 1)]
    found = fit(X, code, 2, trains, Cs=[1e-3, 1e3], tol=1e-6, standardise=True)
    assert not found.W.any()
    np.testing.assert_allclose(found.b[:, 0, :, 0], [[np.log(1e-6)] * 2, [-np.log(1e-6)] * 2])
    np.testing.assert_allclose(found.mean[0], X[trains[0]].mean(axis=0))


# --- laws --------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    F=st.integers(1, 5),
    n=st.integers(1, 400),
    most=st.integers(1, 3),
    seed=st.integers(0, 2**31 - 1),
)
def test_segments_hold_each_row_with_its_folds(F, n, most, seed):
    times = np.random.RandomState(seed).randint(0, most + 1, (F, n))
    if not times.any():
        return
    order, segments = sort_into_segments(times)
    assert sorted(order) == np.flatnonzero(times.any(axis=0)).tolist()
    again = np.zeros_like(times)
    for segment in segments:
        part = np.zeros((F, segment.rows.stop - segment.rows.start), dtype=int)
        part[segment.folds] = 1 if segment.times is None else segment.times
        again[:, order[segment.rows]] = part
    np.testing.assert_array_equal(again, times)


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("k", [2, 3])
def test_gradient_is_the_derivative(k, standardise):
    X, code = data(90, 3, k=k)
    times = training_times([np.arange(0, 60), np.arange(30, 90)], 90)
    design = FoldedDesign(X, times, intercept=True, free=True, standardise=standardise)
    l2 = np.array([[0.1, 0.2], [0.0, 0.5]])
    problem = StackedProblem(design, code, k, None, l2, np.full(2, 60.0), None, np.float64)
    models = np.arange(4)
    V = np.random.RandomState(0).standard_normal((4, problem.k, design.p))

    def value(m, V):
        W, b = design.to_original(V[m][None], problem.fold[[m]])
        Z = X @ W[0].T + b[0]
        if k == 2:
            Z = np.column_stack([np.zeros(90), Z])
        loss = np.log(np.exp(Z).sum(axis=1)) - Z[np.arange(90), code]
        part = times[problem.fold[m]] @ loss / 60.0
        return part + 0.5 * np.sum(problem.penalty[m] * V[m] ** 2)

    G = problem.gradients(V, models)
    step = 1e-6
    for m in range(4):
        for i, j in np.ndindex(*V.shape[1:]):
            up, down = V.copy(), V.copy()
            up[m, i, j] += step
            down[m, i, j] -= step
            slope = (value(m, up) - value(m, down)) / (2 * step)
            np.testing.assert_allclose(G[m, i, j], slope, atol=1e-7)


def test_fits_repeat_bit_for_bit():
    X, code = data(9000, 5)
    trains = [train for train, _ in StratifiedKFold(3).split(X, code)]
    one, two = (fit(X, code, 2, trains, tol=1e-4) for _ in range(2))
    np.testing.assert_array_equal(one.W, two.W)


@given(K=st.integers(1, 30), count=st.integers(1, 30))
def test_nearest_strengths_are_their_own_nearest(K, count):
    nearest = nearest_of(K, count)
    assert len(np.unique(nearest)) == min(K, count)
    np.testing.assert_array_equal(nearest[nearest], nearest)
    assert (np.diff(nearest) >= 0).all()


@pytest.mark.parametrize("k", [2, 3])
def test_columns_that_tell_hardly_anything_are_at_their_optimum_at_once(k):
    """At zero all gradients are below the tolerance, before any curvature is known."""
    X = np.tile([-1.0, 1.0], 30 * k)[:, None]
    code = np.repeat(np.arange(k), 60)
    found = fit(X, code, k, [np.arange(60 * k)] * 2, Cs=[0.1, 1.0], tol=1e-2)
    assert found.converged.all()
    np.testing.assert_allclose(found.W, 0, atol=1e-12)
