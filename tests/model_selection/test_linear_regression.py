import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, ShuffleSplit

from mlfund import LinearRegressor, losses
from mlfund.model_selection._families import UnstackableError, family_of
from mlfund.model_selection._linear_family import FAMILY
from tests.model_selection.linear_stacks import pairs, scaled_rows, scaler_of, single_fit, train
from tests.model_selection.linear_stacks import standardised as columns_of

POINTS = [(0.0, 0.0), (1e-3, 0.0), (0.1, 0.5), (0.02, 1.0), (1.0, 1.0), (30.0, 0.3)]


def problem(seed=0, *, n=90, d=5, k=None):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) * np.arange(1, d + 1) ** 2 + 3
    y = X @ rng.normal(size=(d, k or 1)) + 5 * rng.normal(size=(n, k or 1)) + 50
    return X, y if k else y[:, 0]


def candidates(points=POINTS, **options):
    settings = {"tol": 1e-10, **options}
    return [LinearRegressor(alpha=alpha, l1_ratio=ratio, **settings) for alpha, ratio in points]


def assert_r2_of_single_fits(estimators, rows, *, atol=1e-6, **options):
    for models, position, single in pairs(estimators, rows, **options):
        test = rows.splits[models.split][1]
        expected = single.predict(columns_of(rows, models.split)[test])
        found = models.predict(models.raw(test))[position]
        assert found.shape == expected.shape
        y = np.asarray(rows.y)[test]
        assert r2_score(y, found) == pytest.approx(r2_score(y, expected), abs=atol, rel=atol)
        model = models.estimator(position)
        again = model.predict(columns_of(rows, models.split)[test])
        np.testing.assert_allclose(again, found, rtol=atol, atol=atol * np.abs(y).max())


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [None, 1, 2])
@pytest.mark.parametrize("intercept", [True, False])
def test_squared_error(intercept, k, weighted, scaled):
    X, y = problem(k=k)
    given = {"sample_weight": np.random.default_rng(1).integers(0, 3, len(y))} if weighted else {}
    rows = scaled_rows(
        X, y, list(KFold(3).split(X)), given, scaler=scaler_of(X) if scaled else None
    )
    assert_r2_of_single_fits(candidates(fit_intercept=intercept), rows)


@pytest.mark.parametrize("loss", ["huber", "poisson", losses.Huber(2.0)])
def test_other_losses(loss):
    X, y = problem()
    if loss == "poisson":
        y = np.floor(np.abs(y) / 20)
    rows = scaled_rows(X, y, list(KFold(2).split(X)), scaler=scaler_of(X))
    points = [(0.01, 0.0), (1.0, 0.0), (0.1, 0.5)]
    assert_r2_of_single_fits(candidates(points, loss=loss, tol=1e-9), rows)


@pytest.mark.parametrize("scaled", [False, True])
def test_sparse_rows(scaled):
    X = sp.random_array((200, 30), density=0.1, rng=np.random.default_rng(0), format="csr")
    y = np.random.default_rng(1).normal(size=200) + X[:, :4].sum(axis=1)
    rows = scaled_rows(X, y, list(KFold(3).split(X)), scaler=scaler_of(X) if scaled else None)
    assert_r2_of_single_fits(candidates([(1e-3, 0.0), (0.01, 1.0)]), rows)


def test_single_precision():
    X, y = problem()
    rows = scaled_rows(X.astype(np.float32), y, list(KFold(3).split(X)), scaler=scaler_of(X))
    assert_r2_of_single_fits(candidates(tol=1e-6), rows, atol=1e-4)
    (models, *_) = train(candidates(), rows)
    assert models.raw(np.arange(3)).dtype == np.float32
    assert models.estimator(0).coef_.dtype == np.float32


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_any_splits(seed, bootstrap):
    rng = np.random.default_rng(seed)
    X, y = problem(seed)
    splits = list(ShuffleSplit(3, random_state=seed).split(X))
    if bootstrap:
        splits = [(rng.integers(0, 90, 60), rng.integers(0, 90, 9)) for _ in range(3)]
    rows = scaled_rows(X, y, splits, scaler=scaler_of(X))
    assert_r2_of_single_fits(candidates([(0.1, 0.0), (0.1, 0.8)]), rows)


def test_estimators_are_complete_fitted_clones():
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    splits = list(KFold(3).split(X))
    rows = scaled_rows(X, y, splits)
    estimators = candidates([(1e-3, 0.0), (0.1, 1.0)])
    for models in train(estimators, rows):
        assert models.default_metric is r2_score
        for position, number in enumerate(models.candidates):
            index = splits[models.split][0]
            single = clone(estimators[number]).fit(X.iloc[index], y.iloc[index])
            model = models.estimator(position)
            assert set(vars(single)) == set(vars(model))
            assert list(model.feature_names_in_) == list(X.columns)
            np.testing.assert_allclose(model.coef_, single.coef_, atol=1e-6)
            assert np.shape(model.intercept_) == np.shape(single.intercept_)
            assert model.loss_curve_[-1] == pytest.approx(single.loss_curve_[-1])
            assert model.score(X, y) == pytest.approx(single.score(X, y))


def test_held_out_rows_far_away_do_not_matter():
    X, y = problem()
    splits = list(KFold(3).split(X))
    near = scaled_rows(X.copy(), y.copy(), splits, scaler=scaler_of(X))
    X[splits[1][1]] += 1e6
    y[splits[1][1]] -= 1e6
    far = scaled_rows(X, y, splits, scaler=scaler_of(X))
    one, other = (train(candidates(), rows)[1] for rows in (near, far))
    np.testing.assert_array_equal(one.stack.coef, other.stack.coef)


def test_warnings_are_those_of_the_single_fits():
    X, y = problem()
    rows = scaled_rows(X, np.abs(y).round(), list(KFold(2).split(X)), scaler=scaler_of(X))
    short = candidates([(0.1, 0.0), (0.2, 0.0)], loss="poisson", max_iter=1)
    for models in train(short, rows):
        assert [one.category for one in models.warnings] == [ConvergenceWarning] * 2
        # The second starts from nothing, as a single fit does; the first from its neighbour.
        (expected,) = single_fit(short[1], rows, models.split)[1]
        assert str(models.warnings[1].message) == str(expected.message)


REFUSED = {
    "stochastic": ({"solver": "sgd"}, "asks for one algorithm"),
    "bad value": ({"alpha": -1.0}, "alpha"),
    "bad seed": ({"random_state": "x"}, "cannot be used to seed"),
    "kinks": ({"loss": "quantile"}, "nothing to share"),
    "verbose": ({"verbose": 1}, "verbose"),
}


@pytest.mark.parametrize(("options", "reason"), REFUSED.values(), ids=REFUSED)
def test_refusals_say_why(options, reason):
    X, y = problem()
    rows = scaled_rows(X, y, list(KFold(2).split(X)))
    assert reason in FAMILY.refusal(LinearRegressor(**options), rows)
    assert "'colour'" in FAMILY.refusal(
        LinearRegressor(), scaled_rows(X, y, rows.splits, {"colour": 3})
    )


def test_groups_differ_in_what_the_stack_shares():
    base = FAMILY.group_key(LinearRegressor())
    for same in ({"alpha": 2.0}, {"l1_ratio": 0.5}, {"random_state": 3}, {"delta": 9.0}):
        assert FAMILY.group_key(LinearRegressor(**same)) == base
    for other in ({"tol": 1.0}, {"loss": "huber"}, {"fit_intercept": False}):
        assert FAMILY.group_key(LinearRegressor(**other)) != base


@pytest.mark.parametrize("spoil", ["missing", "negative", "zeros", "device"])
def test_rows_that_only_single_fits_can_judge(spoil):
    X, y = problem()
    options = {"loss": "poisson"}
    y = np.abs(y)
    if spoil == "missing":
        X[0, 0] = np.nan
    elif spoil == "negative":
        y[3] = -1
    elif spoil == "zeros":
        y[:80] = 0
    else:
        options["device"] = "cuda"
    rows = scaled_rows(X, y, [(np.arange(80), np.arange(80, 90))])
    with pytest.raises(UnstackableError):
        train(candidates(**options), rows)


def test_frames_and_reports():
    X, y = problem()
    frame = pd.DataFrame(X, columns=list("abcde"))
    rows = scaled_rows(frame, pd.Series(y), list(KFold(3).split(X)))
    seen = []
    assert (
        len(train(candidates(), rows, memory_limit=1, report=lambda *left: seen.append(left))) == 3
    )
    assert seen == [(18, 18), (12, 18), (6, 18), (0, 18)]


def test_the_search_finds_the_family():
    assert family_of(LinearRegressor()) is FAMILY
