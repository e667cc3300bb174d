"""LinearRegressor on data that mislead a tolerance: gross outliers, exact fits, many columns."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import PoissonRegressor, QuantileRegressor

from mlfund import LinearRegressor
from mlfund._solvers import regression, regression_system

FORGIVING = ("absolute_error", "quantile", "huber")


@pytest.mark.parametrize("d", [3, 30])
@pytest.mark.parametrize("size", [1e6, 1e10])
@pytest.mark.parametrize("loss", FORGIVING)
def test_gross_outliers_do_not_loosen_the_tolerance(loss, size, d):
    """They make nearly all of the objective, and say next to nothing about its minimum."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((1000, d))
    y = 2 * X[:, 0] + rng.standard_normal(1000)
    bad = rng.uniform(size=1000) < 0.05
    mild, gross = (LinearRegressor(loss, alpha=0).fit(X, y + bad * far) for far in (1e3, size))
    np.testing.assert_allclose(gross.coef_, mild.coef_, atol=2e-3)


@pytest.mark.parametrize("solver", ["homotopy", "interior-point"])
@pytest.mark.parametrize("loss", FORGIVING)
def test_an_exact_fit_is_no_failure(loss, solver):
    """Of the residuals nothing is left but rounding, and of a bound relative to them neither."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((300, 5))
    y = X @ np.arange(1.0, 6.0) + 7
    model = LinearRegressor(loss, alpha=0, delta=0.1, solver=solver).fit(X, y)
    np.testing.assert_allclose(model.coef_, np.arange(1.0, 6.0), rtol=1e-7)
    assert model.intercept_ == pytest.approx(7)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1])
def test_l1_weights_are_zero_where_those_of_the_linear_program_are(alpha):
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((50, 120)), rng.standard_normal(50)
    ours = LinearRegressor("quantile", alpha=alpha, l1_ratio=1).fit(X, y)
    theirs = QuantileRegressor(alpha=alpha, solver="highs").fit(X, y)
    np.testing.assert_array_equal(ours.coef_ == 0, np.abs(theirs.coef_) < 1e-12)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_l1_weights_not_zero_are_at_most_as_many_as_rows(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 800))
    y = X[:, 0] + rng.normal(size=60)
    model = LinearRegressor("absolute_error", alpha=0.02, l1_ratio=1).fit(X, y)
    assert 1 <= np.count_nonzero(model.coef_) <= 60


def test_all_weights_are_zero_under_a_strong_l1_penalty():
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((200, 30)), rng.poisson(2, 200).astype(float)
    for loss in FORGIVING:
        model = LinearRegressor(loss, alpha=2.0, l1_ratio=1).fit(X, y)
        assert not model.coef_.any()


@pytest.mark.parametrize("l1_ratio", [0, 0.5, 1])
@pytest.mark.parametrize("loss", FORGIVING)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_rows_fewer_than_columns_are_factorised_instead(monkeypatch, loss, l1_ratio, fit_intercept):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((60, 200))
    y = X[:, 0] + 1 + rng.standard_normal(60)
    options = {"alpha": 0.05, "l1_ratio": l1_ratio, "fit_intercept": fit_intercept, "tol": 1e-8}
    solver = "interior-point" if l1_ratio else "homotopy"
    rows = LinearRegressor(loss, solver=solver, **options).fit(X, y)
    monkeypatch.setattr(regression_system, "uses_rows", lambda *_: False)
    columns = LinearRegressor(loss, solver=solver, **options).fit(X, y)
    np.testing.assert_allclose(rows.coef_, columns.coef_, atol=1e-5)
    np.testing.assert_array_equal(rows.coef_ == 0, columns.coef_ == 0)


def test_hubers_loss_with_l1_on_more_columns_than_are_factorised(monkeypatch):
    rng = np.random.RandomState(0)
    X = sp.random_array((150, 300), density=0.1, rng=rng, format="csr")
    y = X @ np.r_[np.ones(10), np.zeros(290)] + 0.1 * rng.standard_normal(150)
    options = {"delta": 0.1, "alpha": 1e-4, "l1_ratio": 1, "tol": 1e-7, "max_iter": 5000}
    model = LinearRegressor("huber", solver="interior-point", **options).fit(X, y)
    monkeypatch.setattr(regression, "LARGEST_FACTOR", 100)
    many = LinearRegressor("huber", **options).fit(X, y)
    assert many.solver_ == "proximal"
    assert many.loss_curve_[-1] == pytest.approx(model.loss_curve_[-1], rel=1e-5)


def test_kinks_on_more_columns_than_memory_are_refused(monkeypatch):
    monkeypatch.setattr(regression, "LARGEST_KINKED", 100)
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((150, 120)), rng.standard_normal(150)
    with pytest.raises(ValueError, match=r"120 columns.*solver='sgd'"):
        LinearRegressor("absolute_error").fit(X, y)
    # As many rows as may be factorised, or a solver asked for by name, are taken.
    LinearRegressor("absolute_error", alpha=0.1).fit(X[:90], y[:90])
    LinearRegressor("absolute_error", alpha=0.1, solver="interior-point").fit(X, y)


@pytest.mark.parametrize(("gradient", "warns"), [(1e-7, False), (1e-2, True)])
def test_rounding_far_from_the_tolerance_warns(monkeypatch, gradient, warns):
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((50, 3)), rng.poisson(2, 50).astype(float)
    real = regression.solve

    def rounded(*args, **options):
        fit = real(*args, **options)
        return regression.dataclasses.replace(fit, status="rounding", gradient=gradient)

    monkeypatch.setattr(regression, "solve", rounded)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        LinearRegressor("poisson").fit(X, y)
    assert [w.category for w in caught] == [ConvergenceWarning] * warns


@pytest.mark.parametrize("alpha", [0.05, 1e-3])
def test_poisson_counts_on_far_more_columns_than_rows(alpha):
    """The first steps overshoot by so much that exp makes Newton's line search crawl."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 1500))
    y = np.abs(np.round(X[:, 0] + rng.normal(size=100)))
    ours = LinearRegressor("poisson", alpha=alpha).fit(X, y)
    theirs = PoissonRegressor(alpha=alpha, max_iter=5000, tol=1e-8).fit(X, y)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-2, atol=1e-2)


def test_a_chunk_of_a_stream_may_hold_no_count():
    X = np.random.RandomState(0).standard_normal((20, 2))
    model = LinearRegressor("poisson", solver="sgd")
    model.partial_fit(X, np.r_[1.0, np.zeros(19)]).partial_fit(X, np.zeros(20))
    assert model.predict(X).mean() < 1
