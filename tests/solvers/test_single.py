"""float32 first: exact in the end, whatever the scales."""

import numpy as np
import pytest
from scipy.special import expit

from mlfund._solvers import linear, single
from mlfund._solvers.linear import Penalty, make_problem, solve
from mlfund._solvers.losses import BinaryLoss, MultinomialLoss
from mlfund._solvers.problem import Problem
from mlfund._solvers.stopping import Stopping


@pytest.fixture(autouse=True)
def _copies_of_small_data(monkeypatch):
    monkeypatch.setattr(single, "SINGLE_ENTRIES", 1)


def table(scales=1.0, shift=0.0, *, n=3000, d=12, k=2, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, d))
    X[:, 1] = 0.9 * X[:, 0] + 0.4 * X[:, 1]
    noise = rng.gumbel(size=(n, k))
    code = (X @ rng.standard_normal((d, k)) + noise).argmax(axis=1)
    loss = BinaryLoss(code * 1.0, 1.0 / n) if k == 2 else MultinomialLoss(code, k, 1.0 / n, X.dtype)
    return (X + shift) * scales, loss


def fit(X, loss, *, tol=1e-10, l2=1e-3, max_iter=400, solver="preconditioned-lbfgs", **options):
    return solve(
        X,
        loss,
        Penalty(l2, **options),
        intercept=True,
        tol=tol,
        max_iter=max_iter,
        rng=np.random.RandomState(0),
        solver=solver,
    )


def gradient_of(X, loss, found, l2=1e-3):
    """The gradient in the columns of X, without any of the solver's arithmetic."""
    Z = found.W @ X.T + found.b[:, None]
    R = loss.residual(loss.probabilities(Z))
    return np.abs(np.column_stack([R @ X + l2 * found.W, R.sum(axis=1)])).max()


@pytest.mark.parametrize("solver", ["preconditioned-lbfgs", "plain-lbfgs", "nesterov"])
@pytest.mark.parametrize("k", [2, 4])
def test_a_tight_tolerance_is_honoured(solver, k):
    X, loss = table(k=k)
    found = fit(X, loss, solver=solver, max_iter=3000)
    assert found.status == "converged"
    assert found.W.dtype == np.float64
    assert gradient_of(X, loss, found) < 1e-9


def test_most_iterations_run_in_float32(monkeypatch):
    seen = []
    make = linear.minimise

    def spy(problem, *args, **options):
        outcome = make(problem, *args, **options)
        seen.append((problem.design.dtype, outcome.n_iter - options.get("n_iter", 0)))
        return outcome

    monkeypatch.setattr(linear, "minimise", spy)
    X, loss = table()
    found = fit(X, loss, tol=1e-4)
    (first, here), (last, more) = seen
    assert (first, last) == (np.float32, np.float64)
    assert here >= 2
    assert more == 0
    assert found.gradient <= 1e-4


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize(
    ("scales", "shift"),
    [
        (np.logspace(-12, 12, 12), 0.0),
        (1e300, 0.0),
        (1e-300, 0.0),
        (1.0, 1e6),
        (np.logspace(-12, 12, 12), 1e4),
    ],
    ids=["twelve decades", "huge", "tiny", "large means", "both"],
)
def test_scales_and_means_that_float32_cannot_hold(scales, shift, k):
    """Without penalty the margins are those of the plain columns."""
    plain, loss = table(k=k)
    X, _ = table(scales, shift, k=k)
    expected, found = fit(plain, loss, l2=0.0), fit(X, loss, l2=0.0, tol=1e-9)
    Z = found.W @ X.T + found.b[:, None]
    exact = expected.W @ plain.T + expected.b[:, None]
    np.testing.assert_allclose(Z - Z[:1] * (k > 2), exact - exact[:1] * (k > 2), atol=1e-6)


@pytest.mark.parametrize("outlier", [1e39, 1e300])
def test_an_outlier_beyond_the_sample_of_the_scales(outlier):
    X, loss = table(n=9000)
    X[4001, 0] = outlier  # not among the rows that the column's scale is taken from
    found = fit(X, loss, tol=1e-8)
    assert found.status == "converged"
    assert np.isfinite(found.W).all()
    assert found.loss_curve[-1] < 0.9 * found.loss_curve[0]


def test_the_copy_has_the_coordinates_of_the_original():
    for shift in (0.0, 1e5):
        X, loss = table(np.logspace(-3, 3, 12), shift)
        X[:, 3] = 7.0
        problem = make_problem(X, loss, Penalty(1e-3), intercept=True)
        copy = single.single_precision(problem)
        V = np.random.RandomState(1).standard_normal(problem.shape)
        exact, near = problem.point(V), copy.point(V)
        np.testing.assert_allclose(near.Z, exact.Z, atol=2e-4)
        np.testing.assert_allclose(near.G, exact.G, atol=2e-5)
        rows = slice(5, 60)
        np.testing.assert_allclose(copy.design.rows(rows), problem.design.rows(rows), atol=3e-5)
        h = np.linspace(0, 1, 55)
        gram = problem.design.gram(problem.design.rows(rows), h)
        np.testing.assert_allclose(copy.design.gram(copy.design.rows(rows), h), gram, atol=1e-3)
        assert copy.astype(np.float64).design is problem.design


def test_float32_data_and_sparse_data_get_no_copy():
    X, loss = table()
    problem = make_problem(X.astype(np.float32), loss.astype(np.float32), Penalty(0), intercept=1)
    assert single.single_precision(problem) is None


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("weighted", [False, True])
def test_fused_pass_is_margins_then_gradient(k, order, weighted):
    X, loss = table(3.0, 2.0, k=k, n=20_000)
    if weighted:
        weights = np.random.RandomState(3).uniform(size=len(X))
        loss.weights = weights / weights.sum()
    problem = make_problem(np.asarray(X, order=order), loss, Penalty(1e-3), intercept=True)
    assert problem.fused
    V = np.random.RandomState(1).standard_normal(problem.shape)
    whole = problem.point(V)
    in_two = problem.point(V, problem.design.margins(V))
    np.testing.assert_allclose(whole.Z, in_two.Z, atol=1e-12)
    np.testing.assert_allclose(whole.P, in_two.P, atol=1e-13)
    np.testing.assert_allclose(whole.G, in_two.G, atol=1e-13)


def test_passes_are_counted():
    X, loss = table()
    problem = make_problem(X, loss, Penalty(1e-3), intercept=True)
    point = problem.point(np.zeros(problem.shape))
    assert problem.design.passes.n == 1  # margins of zero weights need none
    point = problem.point(np.ones(problem.shape))
    assert problem.design.passes.n == 3
    problem.hessian_product(point, point.V)
    assert problem.design.passes.n == 5
    found = fit(X, loss, tol=1e-4)
    assert 2 * found.n_iter <= found.n_passes <= 4 * found.n_iter + 6


def test_the_reported_gradient_is_that_of_float64():
    X, loss = table()
    found = fit(X, loss, tol=1e-5)
    problem = make_problem(X, loss, Penalty(1e-3), intercept=True)
    V = problem.design.from_original(found.W, found.b)
    measured = Stopping(problem, 0.0, 1).measure(problem.point(V).G)
    assert found.gradient == pytest.approx(measured, rel=1e-6)
    assert isinstance(problem, Problem)


def test_labels_from_the_model_are_recovered():
    rng = np.random.RandomState(5)
    X = rng.standard_normal((20_000, 4))
    w = np.array([1.0, -2.0, 0.5, 0.0])
    y = (rng.uniform(size=len(X)) < expit(X @ w + 0.3)).astype(float)
    found = fit(X, BinaryLoss(y, 1.0 / len(X)), l2=0.0, tol=1e-8)
    np.testing.assert_allclose(found.W[0], w, atol=0.1)
