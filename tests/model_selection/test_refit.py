"""The refitted pipeline is, to rounding, what its own fit makes of all rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mlfund import BatchedGridSearchCV, LogisticRegression
from mlfund.model_selection import _refit
from mlfund.model_selection._prefix_scalers import fit_standard

RNG = np.random.default_rng(0)
X = RNG.normal(loc=[0, 1e3, -5, 7], scale=[1, 1, 1e-3, 1e3], size=(200, 4))
Y = np.where((X - X.mean(0)) @ [1, 1, 1e3, 1e-3] + RNG.normal(size=200) > 0, "yes", "no")
GRID = {"logisticregression__C": [0.1, 1.0]}


def assert_same_scaler(one, other, dtype=np.float64):
    assert vars(one).keys() == vars(other).keys()
    assert type(one.n_samples_seen_) is type(other.n_samples_seen_)
    for name, value in vars(one).items():
        other_value = getattr(other, name)
        assert type(value) is type(other_value), name
        if isinstance(value, np.ndarray):
            assert value.dtype == other_value.dtype, name
            rtol = 1e-10 if dtype == np.float64 else 1e-5
            np.testing.assert_allclose(value, other_value, rtol=rtol, atol=1e-9, err_msg=name)
        else:
            assert value == other_value, name


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 60),
    with_mean=st.booleans(),
    with_std=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_a_scaler_is_that_of_its_own_fit(seed, n, with_mean, with_std, dtype):
    rng = np.random.default_rng(seed)
    rows = rng.normal(rng.normal(size=3) * 10, 10.0 ** rng.uniform(-2, 2, 3), (n, 3))
    rows = np.column_stack([rows, np.zeros(n), np.full(n, 2.5)]).astype(dtype)
    scaler = StandardScaler(with_mean=with_mean, with_std=with_std)
    assert_same_scaler(fit_standard(clone(scaler), rows), clone(scaler).fit(rows), dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_refit_is_a_fresh_fit(dtype, monkeypatch):
    rows, seen = X.astype(dtype), []
    fit = _refit.fit_standard
    monkeypatch.setattr(_refit, "fit_standard", lambda *args: seen.append(args) or fit(*args))
    model = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-6))
    search = BatchedGridSearchCV(model, GRID).fit(rows, Y)
    assert len(seen) == 1
    fresh = clone(model).set_params(**search.best_params_).fit(rows, Y)
    assert_same_scaler(search.best_estimator_[0], fresh[0], dtype)
    ours, theirs = search.best_estimator_[-1], fresh[-1]
    assert vars(ours).keys() == vars(theirs).keys()
    rtol = 1e-9 if dtype == np.float64 else 1e-3
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=rtol)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=rtol)
    assert (ours.n_iter_, ours.solver_) == (theirs.n_iter_, theirs.solver_)
    assert search.n_features_in_ == 4


def test_what_is_more_than_a_scaler_and_a_model_is_fitted_by_itself(monkeypatch, tmp_path):
    monkeypatch.setattr(_refit, "fit_standard", None)
    steps = [("standardscaler", StandardScaler()), ("logisticregression", LogisticRegression())]
    frame = pd.DataFrame(X, columns=list("abcd"))
    for model, rows, params in (
        (Pipeline(steps, memory=str(tmp_path)), X, {}),
        (Pipeline(steps, verbose=True), X, {}),
        (Pipeline([steps[0], ("none", "passthrough"), steps[1]]), X, {}),
        (Pipeline(steps), frame, {}),
        (Pipeline(steps), X, {"logisticregression__sample_weight": np.ones(len(X))}),
    ):
        search = BatchedGridSearchCV(model, GRID, cv=3).fit(rows, Y, **params)
        assert search.best_estimator_[0].n_samples_seen_ == 200
        assert search.cv_results_["batched"].all()
    assert search.score(X, Y) > 0.7


def test_the_users_rows_are_left_alone():
    rows = X.copy()
    model = make_pipeline(StandardScaler(), LogisticRegression())
    BatchedGridSearchCV(model, GRID).fit(rows, Y)
    np.testing.assert_array_equal(rows, X)
