"""Working-set coordinate descent and dual coordinate descent: the optimum, by its conditions."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from mlfund import LogisticRegression
from mlfund._solvers import coordinate, kernels
from mlfund._solvers.directions import LBFGS
from mlfund._solvers.dual import DualEpochs, minimise_with_dual
from mlfund._solvers.metrics import DiagonalHessian
from mlfund._solvers.proximal import least_subgradient, minimise_nonsmooth
from mlfund._solvers.stopping import Stopping
from tests.solvers.problems import problem_for

pytestmark = pytest.mark.skipif(not kernels.available(), reason="installed without a C compiler")


def data(seed, n=80, d=20, density=None, *, doubled=False, scales=0.0):
    """Return X, dense or sparse, with a constant and an empty column, and labels."""
    rng = np.random.RandomState(seed)
    if density is None:
        X = rng.standard_normal((n, d)) + rng.standard_normal(d)
    else:
        X = sp.random_array((n, d), density=density, rng=rng, data_sampler=rng.standard_normal)
        X = X.toarray()
    if d > 4:
        X[:, 1], X[:, 2] = 0.0, 3.0
        if doubled:
            X[:, 4] = X[:, 3]
    X *= 10.0 ** (scales * rng.uniform(-1, 1, d))
    w = rng.standard_normal(d) / np.maximum(X.std(axis=0), 1e-12) * (X.std(axis=0) > 0)
    y = (X @ w + np.sqrt(d) * rng.logistic(size=n) > np.median(X @ w)).astype(int)
    y[:2] = 0, 1
    return (X if density is None else sp.csr_array(X)), y


def objective(model, X, y, weights):
    scores = np.asarray(X @ model.coef_[0].astype(float)) + float(np.ravel(model.intercept_)[0])
    loss = weights @ np.logaddexp(0, np.where(y == 1, -scores, scores))
    w, r = model.coef_[0].astype(float), model.l1_ratio
    if model.solver == "liblinear":
        w = np.append(w, model.intercept_ / model.intercept_scaling)
    return loss + (r * np.abs(w).sum() + (1 - r) / 2 * (w @ w)) / model.C


def worst_violation(model, X, y, weights):
    """The largest violation of the optimality conditions of C * loss + penalty, over C n."""
    A = X.toarray() if sp.issparse(X) else X
    scores = A @ model.coef_[0] + np.ravel(model.intercept_)[0]
    residual = weights * (1 / (1 + np.exp(-scores)) - y) / weights.sum()
    w, strength = model.coef_[0], 1 / model.C / weights.sum()
    G = A.T @ residual + strength * (1 - model.l1_ratio) * w
    least = least_subgradient(G, w, np.full(len(w), strength * model.l1_ratio))
    of_intercept = residual.sum() if model.fit_intercept else 0.0
    return max(np.abs(least).max(), abs(of_intercept))


problems = given(
    seed=st.integers(0, 10_000),
    n=st.integers(10, 120),
    d=st.integers(1, 60),
    density=st.sampled_from([None, 0.05, 0.4]),
    C=st.sampled_from([1e-4, 0.05, 1.0, 100.0, 1e5]),
    ratio=st.sampled_from([0.2, 0.9, 1.0]),
    intercept=st.booleans(),
    weighted=st.booleans(),
    doubled=st.booleans(),
)


def draw_weights(y, seed, *, weighted):
    return np.random.RandomState(seed).uniform(0.1, 3, len(y)) if weighted else np.ones(len(y))


@pytest.mark.parametrize("gram_columns", [coordinate.GRAM_COLUMNS, 0])
def test_ends_where_the_subgradient_vanishes(gram_columns, monkeypatch):
    monkeypatch.setattr(coordinate, "GRAM_COLUMNS", gram_columns)

    @settings(max_examples=60, deadline=None, derandomize=True)
    @problems
    def check(seed, n, d, density, C, ratio, intercept, weighted, doubled):
        X, y = data(seed, n, d, density, doubled=doubled)
        weights = draw_weights(y, seed, weighted=weighted)
        model = LogisticRegression(
            C=C,
            l1_ratio=ratio,
            solver="coordinate",
            tol=1e-7,
            max_iter=2000,
            fit_intercept=intercept,
        ).fit(X, y, sample_weight=weights if weighted else None)
        assert model.solver_ == "coordinate"
        assert worst_violation(model, X, y, weights) < 3e-7

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check()


@settings(max_examples=60, deadline=None, derandomize=True)
@problems
def test_dual_ends_where_the_gradient_vanishes(
    seed, n, d, density, C, ratio, intercept, weighted, doubled
):
    X, y = data(seed, n, d, density, doubled=doubled)
    weights = draw_weights(y, seed, weighted=weighted)
    model = LogisticRegression(
        C=C, solver="dual-coordinate", tol=1e-7, max_iter=5000, fit_intercept=intercept
    ).fit(X, y, sample_weight=weights if weighted else None)
    assert model.solver_ == "dual-coordinate"
    assert worst_violation(model, X, y, weights) < 3e-7


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("intercept", [{"intercept": False}, {}, {"of_intercept": 2.0}])
def test_dual_epochs_alone_reach_the_optimum(sparse, intercept):
    """The objective's own: with a free intercept, a penalised one, and without any."""
    problem = problem_for(2, sparse=sparse, weighted=True, l2=1.0, **intercept)
    epochs = DualEpochs(problem, problem.point(np.zeros(problem.shape)), seed=0)
    V, _ = epochs.run(100)
    assert np.abs(problem.point(V).G).max() < 1e-11


@pytest.mark.parametrize("density", [None, 0.1])
@pytest.mark.parametrize("C", [0.03, 3.0])
@pytest.mark.parametrize(("reference", "ratio"), [("saga", 1.0), ("saga", 0.5), ("liblinear", 1.0)])
def test_no_worse_than_scikit_learn(density, C, reference, ratio):
    X, y = data(1, n=150, d=25, density=density)
    X = sp.csr_array(X / 3) if density else X / 3
    options = {"C": C, "l1_ratio": ratio, "tol": 1e-8, "max_iter": 20_000}
    theirs = SklearnLogisticRegression(solver=reference, **options).fit(X, y)
    ours = LogisticRegression(solver=reference, **options).fit(X, y)
    ones = np.ones(len(y))
    assert objective(ours, X, y, ones) <= objective(theirs, X, y, ones) * (1 + 1e-6)


@pytest.mark.parametrize("solver", ["coordinate", "dual-coordinate"])
@pytest.mark.parametrize("density", [None, 0.2])
def test_columns_of_extreme_scales(solver, density):
    X, y = data(3, n=120, d=12, density=density, scales=6.0)
    ratio = 1.0 if solver == "coordinate" else 0.0
    options = {"C": 1.0, "l1_ratio": ratio, "tol": 1e-9, "max_iter": 20_000}
    ours = LogisticRegression(solver=solver, **options).fit(X, y)
    other = "proximal-newton" if ratio else "newton"
    theirs = LogisticRegression(solver=other, **options).fit(X, y)
    ones = np.ones(len(y))
    assert objective(ours, X, y, ones) <= objective(theirs, X, y, ones) * (1 + 1e-8)


@pytest.mark.parametrize("density", [None, 0.2])
def test_at_lambda_max_only_the_intercept_is_left(density):
    X, y = data(5, density=density)
    largest = np.abs((y - y.mean()) @ X).max()
    model = LogisticRegression(solver="coordinate", l1_ratio=1.0, tol=1e-9)
    model.set_params(C=(1 - 1e-6) / largest).fit(X, y)
    assert not model.coef_.any()
    assert model.intercept_[0] == pytest.approx(np.log(y.mean() / (1 - y.mean())), abs=1e-6)
    assert model.set_params(C=1.02 / largest).fit(X, y).coef_.any()


@pytest.mark.parametrize("solver", ["coordinate", "dual-coordinate"])
@pytest.mark.parametrize("density", [None, 0.2])
def test_penalised_intercept(solver, density):
    problem = problem_for(
        2,
        sparse=density is not None,
        weighted=True,
        of_intercept=2.0,
        l1=0.02 if solver == "coordinate" else 0.0,
    )
    start, stopping = np.zeros(problem.shape), Stopping(problem, 1e-9, 500)
    if solver == "coordinate":
        steps = coordinate.WorkingSetNewton(problem)
        outcome = minimise_nonsmooth(problem, start, steps, stopping)
    else:
        direction = LBFGS(DiagonalHessian(problem))
        outcome = minimise_with_dual(problem, start, direction, stopping, seed=0)
    point = problem.point(outcome.V)
    assert outcome.status == "converged"
    assert np.abs(least_subgradient(point.G, point.V, problem.l1)).max() < 1e-8


@pytest.mark.parametrize("solver", ["coordinate", "dual-coordinate"])
def test_warm_start_repeats_and_needs_little(solver):
    X, y = data(7, n=200, d=40, density=0.2)
    ratio = 1.0 if solver == "coordinate" else 0.0
    model = LogisticRegression(
        solver=solver, l1_ratio=ratio, C=5.0, warm_start=True, tol=1e-6, max_iter=1000
    )
    first = model.fit(X, y).n_iter_[0]
    coef = model.coef_.copy()
    assert model.fit(X, y).n_iter_[0] <= 1 < first
    np.testing.assert_allclose(model.coef_, coef, atol=1e-4)
    moved = model.set_params(C=6.0).fit(X, y).coef_
    cold = model.set_params(warm_start=False).fit(X, y).coef_
    np.testing.assert_allclose(moved, cold, atol=1e-3)
    np.testing.assert_array_equal(model.fit(X, y).coef_, cold)  # the same order again


def test_several_classes_and_no_penalty_go_elsewhere():
    X, y = data(9)
    y[:20] = 2
    multinomial = LogisticRegression(solver="coordinate", l1_ratio=1.0, tol=1e-3).fit(X, y)
    assert multinomial.solver_ == "proximal"
    assert LogisticRegression(solver="dual-coordinate").fit(X, y).solver_ == "plain-lbfgs"
    free = LogisticRegression(C=np.inf, max_iter=5000).fit(X, (y > 0).astype(int))
    assert free.solver_ not in ("coordinate", "dual-coordinate")


@pytest.mark.parametrize(
    ("sparse", "C", "intercept", "expected"),
    [
        (True, 1.0, False, "dual-coordinate"),
        (True, 1.0, True, "plain-lbfgs"),
        (True, 1000.0, True, "dual-coordinate"),
        (True, 1e8, True, "plain-lbfgs"),
        (True, np.inf, True, "plain-lbfgs"),
        (False, 1000.0, False, "plain-lbfgs"),
    ],
)
def test_the_dual_is_chosen_for_sparse_rows_and_weak_penalties(sparse, C, intercept, expected):
    X, y = data(13, n=300, d=400, density=0.02)
    X = sp.csr_array(X / np.sqrt((X.toarray() ** 2).sum(axis=1).mean()))
    model = LogisticRegression(C=C, fit_intercept=intercept, tol=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert model.fit(X if sparse else X.toarray(), y).solver_ == expected


@pytest.mark.parametrize("solver", ["coordinate", "dual-coordinate"])
@pytest.mark.parametrize("sparse", [False, True])
def test_single_precision_meets_the_same_tolerance(solver, sparse):
    X, y = data(11, n=300, d=30)
    X = X.astype(np.float32)
    model = LogisticRegression(
        solver=solver, l1_ratio=float(solver == "coordinate"), tol=1e-5, max_iter=1000
    )
    model.fit(sp.csr_array(X) if sparse else X, y)
    assert model.coef_.dtype == np.float32
    assert worst_violation(model, X.astype(float), y, np.ones(len(y))) < 3e-5
