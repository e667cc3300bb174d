"""LinearRegressor against scikit-learn's classes, and laws over the table of losses."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import (
    ElasticNet,
    HuberRegressor,
    Lasso,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
)
from sklearn.model_selection import GridSearchCV

from mlfund import LinearRegressor
from mlfund.losses import Huber, Loss, Quantile, get_loss

LOSSES = ("squared_error", "absolute_error", "huber", "quantile", "poisson")
QUANTILE, DELTA = 0.3, 0.7


def data(loss, n=200, d=5, seed=0, k=None):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, d)) * np.logspace(-1, 1, d) + rng.standard_normal(d)
    w = rng.standard_normal((d, k or 1)) / np.logspace(-1, 1, d)[:, None] / np.sqrt(d)
    raw = X @ w + 0.3
    if loss == "poisson":
        y = rng.poisson(np.exp(np.clip(raw, -3, 3))).astype(float)
        y[0] = 1.0
    else:
        y = raw + rng.standard_t(2, raw.shape)
    return X, y if k else y[:, 0]


def make(loss, **options):
    return LinearRegressor(loss, quantile=QUANTILE, delta=DELTA, **options)


def objective(model, X, y, weights=None):
    """What is minimised, from the published attributes and the vocabulary's losses."""
    options = {"huber": {"delta": DELTA}, "quantile": {"quantile": QUANTILE}}
    loss = get_loss(model.loss, **options.get(model.loss, {}))
    coef = np.atleast_2d(model.coef_).astype(float)
    raw = X @ coef.T + model.intercept_
    y = y.reshape(len(y), -1)
    each = loss.elementwise(torch.from_numpy(np.asarray(raw)), torch.from_numpy(y)).numpy()
    mean = np.average(each, axis=0, weights=weights)
    r = model.l1_ratio
    penalty = r * np.abs(coef).sum(axis=1) + (1 - r) / 2 * (coef**2).sum(axis=1)
    return float(np.sum(mean + model.alpha * penalty))


# ------------------------------------------------------------------ scikit-learn's classes


def test_ridge():
    X, y = data("squared_error")
    weights = np.random.RandomState(1).uniform(0.1, 3, len(y))
    ours = LinearRegressor(alpha=2.0 / weights.sum()).fit(X, y, weights)
    theirs = Ridge(alpha=2.0, solver="svd").fit(X, y, weights)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-9)
    assert ours.solver_ == "cholesky"


@pytest.mark.parametrize(("reference", "l1_ratio"), [(Lasso, 1.0), (ElasticNet, 0.5)])
def test_lasso_and_elastic_net(reference, l1_ratio):
    X, y = data("squared_error", d=20)
    ours = LinearRegressor(alpha=0.05, l1_ratio=l1_ratio, tol=1e-10).fit(X, y)
    theirs = reference(alpha=0.05, tol=1e-12, max_iter=100_000).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-7)
    np.testing.assert_array_equal(ours.coef_ == 0, theirs.coef_ == 0)


@pytest.mark.parametrize("epsilon", [1.1, 1.35, 3.0])
def test_huber_regressor_at_its_scale(epsilon):
    X, y = data("huber")
    theirs = HuberRegressor(epsilon=epsilon, alpha=0.5, tol=1e-9, max_iter=5000).fit(X, y)
    delta, alpha = epsilon * theirs.scale_, 0.5 * theirs.scale_ / len(y)
    ours = LinearRegressor("huber", delta=delta, alpha=alpha).fit(X, y)
    # Its L-BFGS ends early: the objective tells which of the two is nearer.
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=5e-4)
    mine, other = (huber_objective(model, X, y, delta, alpha) for model in (ours, theirs))
    assert other * (1 - 1e-6) <= mine <= other


def huber_objective(model, X, y, delta, alpha, l1_ratio=0):
    size = np.abs(X @ model.coef_ + model.intercept_ - y)
    rows = np.where(size < delta, 0.5 * size**2, delta * (size - delta / 2))
    penalty = np.abs(model.coef_).sum() if l1_ratio else 0.5 * model.coef_ @ model.coef_
    return rows.mean() + alpha * penalty


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("alpha", [0.0, 0.03])
@pytest.mark.parametrize("solver", ["homotopy", "interior-point"])
def test_quantile_regressor(quantile, alpha, solver):
    X, y = data("quantile", n=400)
    common = {"quantile": quantile, "alpha": alpha}
    ours = LinearRegressor("quantile", l1_ratio=1, solver=solver, tol=1e-10, **common).fit(X, y)
    theirs = QuantileRegressor(solver="highs", **common).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    np.testing.assert_array_equal(ours.coef_ == 0, np.abs(theirs.coef_) < 1e-12)
    assert ours.solver_ == solver
    assert np.mean(y <= ours.predict(X) + 1e-7) == pytest.approx(quantile, abs=6 / len(y))


def test_absolute_error_is_twice_the_median():
    X, y = data("absolute_error")
    ours = LinearRegressor("absolute_error", alpha=0.02, tol=1e-10).fit(X, y)
    half = LinearRegressor("quantile", alpha=0.01, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(ours.coef_, half.coef_, atol=1e-8)


@pytest.mark.parametrize(
    ("fit_intercept", "unit"), [(True, 1.0), (False, 1.0), (True, 1e-6), (True, 1e5)]
)
def test_poisson_regressor(fit_intercept, unit):
    X, y = data("poisson")
    y = y * unit
    common = {"alpha": 0.02 * unit, "fit_intercept": fit_intercept}
    ours = LinearRegressor("poisson", tol=1e-10, **common).fit(X, y)
    theirs = PoissonRegressor(solver="newton-cholesky", tol=1e-12 * unit, **common)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(X, y)
    assert objective(ours, X, y) <= objective_of(theirs, X, y) * (1 + 1e-12)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-5)
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), rel=1e-6)


def objective_of(theirs, X, y):
    copy = LinearRegressor("poisson", alpha=theirs.alpha)
    copy.coef_, copy.intercept_ = theirs.coef_, theirs.intercept_
    return objective(copy, X, y)


# ------------------------------------------------------------------ laws over the losses


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    loss=st.sampled_from(LOSSES),
    seed=st.integers(0, 10_000),
    n=st.integers(2, 150),
    d=st.integers(1, 12),
    alpha=st.sampled_from([1e-3, 0.1, 1.0]),
    l1_ratio=st.sampled_from([0.0, 0.0, 0.5, 1.0]),
    weighted=st.booleans(),
    sparse=st.booleans(),
    fit_intercept=st.booleans(),
)
def test_no_step_from_the_optimum_goes_down(
    loss, seed, n, d, alpha, l1_ratio, weighted, sparse, fit_intercept
):
    """The objective is convex: a minimum is where no small step, in any direction, lowers it."""
    X, y = data(loss, n, d, seed)
    rng = np.random.RandomState(seed)
    weights = rng.uniform(0.1, 3, n) if weighted else None
    options = {"alpha": alpha, "l1_ratio": l1_ratio, "fit_intercept": fit_intercept}
    model = make(loss, tol=1e-9, max_iter=5000, **options)
    model.fit(sp.csr_array(X) if sparse else X, y, weights)
    least = objective(model, X, y, weights)
    coef, intercept = model.coef_.copy(), model.intercept_
    size = 1e-3 * (np.abs(coef).max() + 0.1 / np.abs(X).max())
    steps = [*np.eye(d), *rng.standard_normal((10, d)), np.zeros(d)]
    for step in steps:
        for sign in (-size, size):
            for shift in (0.0, sign) if fit_intercept else (0.0,):
                model.coef_, model.intercept_ = coef + sign * step, intercept + shift
                assert objective(model, X, y, weights) >= least - 1e-7 * (abs(least) + 1e-3)


@pytest.mark.parametrize("loss", ["squared_error", "huber", "poisson"])
def test_gradient_vanishes_by_finite_differences(loss):
    X, y = data(loss)
    model = make(loss, alpha=0.05, tol=1e-11).fit(X, y)
    h = 1e-5
    for j in range(X.shape[1]):
        change = []
        for sign in (1, -1):
            moved = clone(model)
            moved.coef_ = model.coef_ + sign * h * np.eye(X.shape[1])[j]
            moved.intercept_ = model.intercept_
            change.append(objective(moved, X, y))
        assert abs(change[0] - change[1]) / (2 * h) < 3e-7


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
@pytest.mark.parametrize("loss", LOSSES)
def test_weights_are_repetitions(loss, l1_ratio):
    X, y = data(loss, n=80)
    weights = np.random.RandomState(2).randint(0, 4, len(y))
    options = {"alpha": 0.05, "l1_ratio": l1_ratio, "tol": 1e-11}
    weighted = make(loss, **options).fit(X, y, weights)
    repeated = make(loss, **options).fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-6)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", LOSSES)
def test_several_targets_are_each_by_itself(loss, dtype, container):
    X, Y = data(loss, k=3)
    X, options = container(X.astype(dtype)), {"alpha": 0.02, "l1_ratio": 0.5, "tol": 1e-8}
    joint = make(loss, **options).fit(X, Y)
    assert joint.coef_.shape == (3, 5)
    assert joint.coef_.dtype == joint.predict(X).dtype == dtype
    for j in range(3):
        single = make(loss, **options).fit(X, Y[:, j])
        assert single.coef_.shape == (5,)
        np.testing.assert_allclose(joint.coef_[j], single.coef_, atol=1e-6)
        np.testing.assert_allclose(joint.intercept_[j], single.intercept_, atol=1e-5)


def test_several_targets_of_any_scale_share_one_factorisation():
    X, Y = data("squared_error", k=3)
    Y = Y * np.array([1e-9, 1.0, 1e9])
    joint = LinearRegressor(alpha=0.1).fit(X, Y)
    np.testing.assert_allclose(joint.coef_, Ridge(alpha=0.1 * len(Y)).fit(X, Y).coef_, rtol=1e-8)
    assert joint.loss_curve_[-1] == pytest.approx(objective(joint, X, Y))


@pytest.mark.parametrize("n", [30, 60])
def test_more_columns_than_rows(n):
    X, y = data("squared_error", n=n, d=200)
    ours = LinearRegressor(alpha=0.01).fit(X, y)
    theirs = Ridge(alpha=0.01 * n, solver="svd").fit(X, y)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-8)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-8)


@pytest.mark.parametrize("loss", LOSSES)
def test_loss_curve_ends_at_the_objective(loss):
    X, y = data(loss)
    model = make(loss, alpha=0.05).fit(X, y)
    assert model.loss_curve_[-1] == pytest.approx(objective(model, X, y), rel=1e-5)
    assert model.loss_curve_[0] > model.loss_curve_[-1]
    assert len(model.loss_curve_) == model.n_iter_ + 1


@pytest.mark.parametrize("loss", LOSSES)
def test_warm_start_at_the_optimum_ends_at_once(loss):
    X, y = data(loss)
    model = make(loss, alpha=0.05, warm_start=True, max_iter=5000).fit(X, y)
    cold, coef = model.n_iter_, model.coef_
    model.fit(X, y)
    assert model.n_iter_ <= cold
    np.testing.assert_allclose(model.coef_, coef, atol=1e-4)
    with pytest.raises(ValueError, match="warm_start=True starts from weights of shape"):
        model.fit(X[:, :3], y)


# ------------------------------------------------------------------ hard data


@pytest.mark.parametrize("scale", [1e-12, 1e12])
@pytest.mark.parametrize("loss", LOSSES)
def test_units_of_the_columns_do_not_matter_without_penalty(loss, scale):
    X, y = data(loss)
    plain = make(loss, alpha=0).fit(X, y)
    scaled = make(loss, alpha=0).fit(X * scale, y)
    np.testing.assert_allclose(scaled.coef_ * scale, plain.coef_, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "quantile"])
def test_units_of_the_target_do_not_matter_without_penalty(loss, scale):
    X, y = data(loss)
    plain = make(loss, alpha=0, tol=1e-9).fit(X, y)
    scaled = make(loss, alpha=0, tol=1e-9).fit(X, y * scale + 5 * scale)
    np.testing.assert_allclose(scaled.coef_ / scale, plain.coef_, rtol=1e-4, atol=1e-6)
    assert scaled.intercept_ / scale == pytest.approx(plain.intercept_ + 5, rel=1e-5)


@pytest.mark.parametrize("exponent", [-200, 200])
def test_squares_of_the_columns_may_overflow(exponent):
    X, y = data("squared_error")
    model = LinearRegressor(alpha=0).fit(X * 10.0**exponent, y)
    np.testing.assert_allclose(
        model.coef_ * 10.0**exponent, LinearRegressor(alpha=0).fit(X, y).coef_, rtol=1e-6
    )


@pytest.mark.parametrize("l1_ratio", [0, 1])
@pytest.mark.parametrize("loss", LOSSES)
def test_constant_and_duplicate_columns(loss, l1_ratio):
    X, y = data(loss, d=3)
    wide = np.column_stack([X, X, np.ones(len(X)), np.zeros(len(X))])
    narrow = make(loss, alpha=0, l1_ratio=l1_ratio).fit(X, y)
    model = make(loss, alpha=0, l1_ratio=l1_ratio).fit(wide, y)
    assert np.isfinite(model.coef_).all()
    np.testing.assert_allclose(model.predict(wide), narrow.predict(X), rtol=1e-3, atol=1e-3)
    penalised = make(loss, alpha=0.01, tol=1e-9, max_iter=5000).fit(wide, y)
    np.testing.assert_allclose(penalised.coef_[:3], penalised.coef_[3:6], atol=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_one_row(loss):
    model = make(loss, alpha=0.1).fit([[3.0, 1.0]], [2.0])
    np.testing.assert_allclose(model.predict([[3.0, 1.0]]), [2.0], rtol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_constant_target_is_predicted(loss):
    X, _ = data(loss)
    model = make(loss, alpha=0.01).fit(X, np.full(len(X), 4.0))
    np.testing.assert_allclose(model.predict(X), 4.0, rtol=1e-6)


@pytest.mark.parametrize("loss", ["absolute_error", "quantile", "huber"])
def test_exact_fit_among_outliers(loss):
    """A line through most rows is found exactly by the losses that forgive."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((500, 4))
    y = X @ [1.0, -2.0, 0.5, 3.0] + 1
    y[:50] += 1e6 * rng.uniform(1, 2, 50)
    model = LinearRegressor(loss, alpha=0, delta=1e-3).fit(X, y)
    np.testing.assert_allclose(model.coef_, [1.0, -2.0, 0.5, 3.0], atol=1e-2)


@pytest.mark.parametrize("delta", [1e-4, 0.1, 100.0])
@pytest.mark.parametrize("l1_ratio", [0, 1])
def test_huber_of_any_width_with_more_columns_than_rows(delta, l1_ratio):
    """Where few rows are curved at the start, Newton's method alone loses its way."""
    X, y = data("huber", n=40, d=60)
    options = {"delta": delta, "alpha": 0.01 * min(delta, 1), "l1_ratio": l1_ratio}
    model = LinearRegressor("huber", tol=1e-8, **options).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        slow = LinearRegressor(
            "huber", solver="proximal" if l1_ratio else "plain-lbfgs", max_iter=300, **options
        ).fit(X, y)
    values = [
        huber_objective(one, X, y, delta, options["alpha"], l1_ratio) for one in (model, slow)
    ]
    assert values[0] <= values[1] * (1 + 1e-9)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"loss": "squared"}, "Did you mean 'squared_error'"),
        ({"loss": 3}, "not a regression loss"),
        ({"loss": get_loss("hinge")}, "not a regression loss"),
        ({"solver": "saga"}, "solver='saga' is not known"),
        ({"solver": "homotopy"}, "does not minimise loss='squared_error'"),
        ({"loss": "quantile", "solver": "newton"}, "does not minimise loss='quantile'"),
        ({"quantile": 1.0}, "quantile must be"),
        ({"delta": 0.0}, "delta must be"),
        ({"alpha": -1.0}, "alpha must be"),
        ({"l1_ratio": 2}, "l1_ratio must be"),
        ({"tol": -1}, "tol must be"),
        ({"max_iter": 0}, "max_iter must be"),
        ({"fit_intercept": "yes"}, "fit_intercept must be"),
    ],
)
def test_bad_parameters_are_named(options, match):
    X, y = data("squared_error", n=20)
    with pytest.raises(ValueError, match=match):
        LinearRegressor(**options).fit(X, y)


def test_bad_targets_and_weights_are_named():
    X, y = data("squared_error", n=20)
    with pytest.raises(ValueError, match="targets of at least 0"):
        LinearRegressor("poisson").fit(X, -np.abs(y))
    with pytest.raises(ValueError, match="needs a target above 0"):
        LinearRegressor("poisson").fit(X, 0 * y)
    with pytest.raises(ValueError, match="at least one non-zero"):
        LinearRegressor().fit(X, y, np.zeros(20))
    with pytest.raises(ValueError, match="NaN"):
        LinearRegressor().fit(X, np.where(y > 0, np.nan, y))
    with pytest.raises(ValueError, match="infinity"):
        LinearRegressor().fit(np.where(X > 0, np.inf, X), y)


# ------------------------------------------------------------------ manners


def test_loss_instances_bring_their_options():
    X, y = data("quantile")
    for instance, name, options in (
        (Quantile(0.9), "quantile", {"quantile": 0.9}),
        (Huber(0.2), "huber", {"delta": 0.2}),
    ):
        given, named = LinearRegressor(instance).fit(X, y), LinearRegressor(name, **options)
        np.testing.assert_array_equal(given.coef_, named.fit(X, y).coef_)
        assert isinstance(given.loss, Loss)


@pytest.mark.parametrize("loss", LOSSES)
def test_max_iter_warns_and_says_what_to_do(loss):
    X, y = data(loss, n=400, d=20)
    solver = "plain-lbfgs" if loss == "squared_error" else "auto"
    with pytest.warns(ConvergenceWarning, match="Increase max_iter=1"):
        make(loss, max_iter=1, tol=1e-12, alpha=1e-3, solver=solver).fit(X, y)


@pytest.mark.parametrize("loss", LOSSES)
def test_verbose_and_callbacks_follow_the_iterations(loss, capsys):
    X, y = data(loss)
    monitor = ScoringMonitor(scoring="r2")
    model = make(loss, verbose=1).set_callbacks(monitor)
    model.fit(X, y)
    assert capsys.readouterr().out.count("LinearRegressor iteration") == model.n_iter_
    assert len(monitor.get_logs().data_as_pandas["r2"]) >= model.n_iter_


def test_names_grid_search_and_pickle():
    X, y = data("quantile")
    frame = pd.DataFrame(X, columns=list("abcde"))
    search = GridSearchCV(LinearRegressor("quantile"), {"alpha": [1e-3, 10.0]}, cv=3)
    search.fit(frame, y)
    assert list(search.best_estimator_.feature_names_in_) == list("abcde")
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.predict(frame), search.predict(frame))


def test_fits_repeat():
    X, y = data("poisson", n=3000, d=120)
    first, second = (LinearRegressor("poisson").fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(first.coef_, second.coef_)
    assert first.solver_ == "preconditioned-lbfgs"


# ------------------------------------------------------------------ stochastic descent


@pytest.mark.parametrize(("l1_ratio", "k"), [(0, 2), (1, None)])
@pytest.mark.parametrize("loss", LOSSES)
def test_stochastic_descent_comes_near_the_optimum(loss, l1_ratio, k):
    X, y = data(loss, n=600, k=k)
    options = {"alpha": 0.05, "l1_ratio": l1_ratio}
    best = make(loss, **options).fit(X, y)
    model = make(loss, solver="sgd", tol=1e-5, max_iter=200, random_state=0, **options).fit(X, y)
    assert model.solver_ == "sgd"
    assert objective(model, X, y) <= objective(best, X, y) * (1 + 2e-3)
    assert model.loss_curve_[-1] == pytest.approx(objective(model, X, y), rel=1e-6)


def test_a_loss_of_ones_own_needs_sgd():
    class Cosh(Loss):
        name = "log_cosh"
        target = "real"

        def elementwise(self, raw, y):
            return torch.log(torch.cosh(raw - y))

    X, y = data("squared_error", n=200)
    with pytest.raises(ValueError, match="set solver='sgd'"):
        LinearRegressor(Cosh()).fit(X, y)
    model = LinearRegressor(Cosh(), solver="sgd", tol=1e-5).fit(X, y)
    robust = LinearRegressor("huber", delta=1.0).fit(X, y)
    np.testing.assert_allclose(model.predict(X), robust.predict(X), atol=0.5)


def test_partial_fit_learns_a_stream_and_survives_a_pickle():
    X, y = data("huber", n=6000)
    y = 1e4 * y
    whole = LinearRegressor("huber", delta=1e4).fit(X, y)
    stream = LinearRegressor("huber", delta=1e4, solver="sgd")
    for start in range(0, 6000, 100):
        chunk = slice(start, start + 100)
        stream.partial_fit(X[chunk], y[chunk])
        if start == 3000:
            stream = pickle.loads(pickle.dumps(stream))
    assert stream.n_iter_ == len(stream.loss_curve_) == 60
    gap = np.abs(stream.predict(X) - whole.predict(X)).mean()
    assert gap < 0.1 * np.abs(y - whole.predict(X)).mean()
    with pytest.raises(ValueError, match="2 targets after 1"):
        stream.partial_fit(X, np.column_stack([y, y]))
    with pytest.raises(AttributeError, match="partial_fit"):
        LinearRegressor().partial_fit(X, y)


def test_parameters_of_descent_need_sgd():
    X, y = data("huber", n=20)
    with pytest.raises(ValueError, match="contradict each other"):
        LinearRegressor(batch_size=10).fit(X, y)
