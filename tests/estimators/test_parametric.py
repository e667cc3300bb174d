"""ParametricRegressor finds what least squares, curve_fit and NIST find, and their errors."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit, linprog, minimize
from sklearn.exceptions import ConvergenceWarning

from benchmarks.parametric.problems import PROBLEMS
from mlfund import ParametricRegressor
from mlfund.losses import get_loss

NIST = [(problem, which) for problem in PROBLEMS for which in (1, 2)]


def decay(x, height=1.0, rate=1.0, floor=0.0):
    return height * torch.exp(-rate * x) + floor


def numpy_decay(x, height, rate, floor):
    return height * np.exp(-rate * x) + floor


def quadratic(x, a, b, c):
    return a * x**2 + b * x + c


def wave(x, amplitude=1.0, frequency=1.0, phase=0.0):
    return amplitude * torch.sin(frequency * x + phase)


def plane(x, slopes, offset=0.0):
    return x @ slopes + offset


def decay_rows(n=60, noise=0.05, seed=0):
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 5, n)
    return x[:, None], numpy_decay(x, 3.0, 1.2, 0.5) + noise * rng.standard_normal(n)


def values(model):
    return np.concatenate([np.ravel(value) for value in model.parameters_.values()])


@pytest.mark.parametrize(
    ("problem", "which"),
    NIST,
    ids=lambda part: getattr(part, "name", part),
)
def test_certified_values_and_deviations_of_nist(problem, which):
    model = ParametricRegressor(problem.function, start=problem.start(which))
    model.fit(problem.x[:, None], problem.y)

    np.testing.assert_allclose(values(model), problem.values, rtol=1e-6)
    np.testing.assert_allclose(
        model.parameter_table_["standard_error"], problem.deviations, rtol=1e-5
    )
    residual_sum = model.residual_std_**2 * model.degrees_of_freedom_
    assert residual_sum == pytest.approx(problem.residual_sum, rel=1e-8)
    assert model.converged_


def test_a_fit_that_fails_says_so():
    problem = next(p for p in PROBLEMS if p.name == "MGH10")
    model = ParametricRegressor(problem.function, start=problem.start(1), max_iter=50)

    with pytest.warns(ConvergenceWarning, match="max_iter=50"):
        model.fit(problem.x[:, None], problem.y)

    assert not model.converged_
    assert model.n_iter_ == 50


def test_restarts_leave_a_plateau_that_is_told():
    X, y = decay_rows()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        alone = ParametricRegressor(decay, start={"rate": 1000.0}).fit(X[1:], y[1:])
    assert any("do not determine" in str(warning.message) for warning in caught)
    assert np.isnan(alone.parameter_table_["standard_error"]["rate"])

    found = ParametricRegressor(
        decay, start={"rate": 1000.0}, bounds={"rate": (0, 1000)}, n_restarts=9, random_state=0
    ).fit(X[1:], y[1:])

    assert alone.loss_ > 2 * found.loss_
    exact = ParametricRegressor(decay).fit(X[1:], y[1:])
    np.testing.assert_allclose(values(found), values(exact), rtol=1e-6)


@pytest.mark.parametrize("unit", [1e3, 1e-6, 1e-12, 1e-19])
def test_the_unit_of_y_changes_nothing_though_starts_are_1(unit):
    X, y = decay_rows()
    plain = ParametricRegressor(decay).fit(X, y).parameter_table_[["value", "standard_error"]]
    scaled = ParametricRegressor(decay).fit(X, unit * y).parameter_table_

    factors = np.array([unit, 1, unit])[:, None]
    np.testing.assert_allclose(scaled[["value", "standard_error"]] / factors, plain, rtol=1e-5)


def test_values_and_covariance_are_those_of_curve_fit():
    X, y = decay_rows()
    model = ParametricRegressor(decay).fit(X, y)
    expected, covariance = curve_fit(numpy_decay, X[:, 0], y, p0=(1, 1, 0), ftol=1e-13, xtol=1e-13)

    np.testing.assert_allclose(values(model), expected, rtol=1e-7)
    np.testing.assert_allclose(model.covariance_, covariance, rtol=1e-5)


def test_weights_with_the_recipe_are_curve_fits_sigma():
    X, y = decay_rows()
    sigma = 0.02 + 0.05 * X[:, 0]
    weight = 1 / sigma**2
    model = ParametricRegressor(decay).fit(X, y, sample_weight=weight * len(y) / weight.sum())
    expected, covariance = curve_fit(
        numpy_decay, X[:, 0], y, p0=(1, 1, 0), sigma=sigma, ftol=1e-13, xtol=1e-13
    )

    np.testing.assert_allclose(values(model), expected, rtol=1e-6)
    np.testing.assert_allclose(model.covariance_, covariance, rtol=1e-5)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_a_weight_is_a_row_given_that_often(loss):
    X, y = decay_rows(30, noise=0.3)
    weight = np.random.default_rng(1).integers(0, 4, 30)
    model = ParametricRegressor(decay, loss=loss)
    weighted = model.fit(X, y, sample_weight=weight)
    value, error = values(weighted), weighted.parameter_table_["standard_error"].to_numpy()
    repeated = model.fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))

    np.testing.assert_allclose(value, values(repeated), rtol=1e-6)
    if loss != "mae":  # its density at zero has a bandwidth that counts rows
        np.testing.assert_allclose(error, repeated.parameter_table_["standard_error"], rtol=1e-6)


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.floats(0, 6),
    st.sampled_from(["mse", "rmse"]),
)
def test_functions_linear_in_their_parameters_agree_with_least_squares(seed, d, decades, loss):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((30, d)) * 10.0 ** rng.uniform(-decades, decades, d)
    truth = rng.standard_normal(d) / X.std(axis=0)
    y = X @ truth + 3 + 0.1 * rng.standard_normal(30)
    start = {"slopes": np.zeros(d)}
    # one column reaches the function as a vector
    function = plane if d > 1 else lambda x, slopes, offset=0.0: slopes[0] * x + offset
    model = ParametricRegressor(function, start=start, loss=loss).fit(X, y)
    design = np.column_stack([X, np.ones(30)])
    scale = np.linalg.norm(design, axis=0)
    expected = np.linalg.lstsq(design / scale, y, rcond=None)[0] / scale

    errors = model.parameter_table_["standard_error"].to_numpy()
    assert (np.abs(values(model) - expected) < 1e-6 * errors).all()


def test_parameters_of_very_different_size():
    rng = np.random.default_rng(0)
    x = np.linspace(0, 4e6, 50)
    y = 7e6 * np.exp(-1e-6 * x) * (1 + 1e-3 * rng.standard_normal(50))

    def function(x, size=1e6, rate=2e-6):
        return size * torch.exp(-rate * x)

    for optimizer in ("auto", "adam", "sgd"):
        model = ParametricRegressor(function, optimizer=optimizer, max_iter=40)
        model.fit(x[:, None], y)
        assert model.parameters_["size"] == pytest.approx(7e6, rel=2e-3)
        assert model.parameters_["rate"] == pytest.approx(1e-6, rel=2e-3)


def test_data_on_the_curve_are_met_exactly():
    X, y = decay_rows(noise=0)
    model = ParametricRegressor(decay).fit(X, y)

    np.testing.assert_allclose(values(model), [3, 1.2, 0.5], rtol=1e-12)
    assert model.converged_


@pytest.mark.parametrize("quantile", [0.5, 0.8])
def test_absolute_losses_agree_with_linear_programming(quantile):
    rng = np.random.default_rng(3)
    x = rng.uniform(-2, 2, 41)
    y = 2 * x**2 + 1.5 * x + 1 + rng.standard_t(2, 41)
    model = ParametricRegressor(quadratic, loss=get_loss("quantile", quantile=quantile))
    model.fit(x[:, None], y)
    # minimise q u + (1 - q) v with y = design b + u - v
    design = np.column_stack([x**2, x, np.ones(41)])
    identity = np.eye(41)
    cost = np.r_[np.zeros(3), np.full(41, quantile), np.full(41, 1 - quantile)]
    program = linprog(
        cost,
        A_eq=np.hstack([design, identity, -identity]),
        b_eq=y,
        bounds=[(None, None)] * 3 + [(0, None)] * 82,
    )

    assert model.loss_ == pytest.approx(program.fun / 41, rel=1e-10)
    np.testing.assert_allclose(values(model), program.x[:3], rtol=1e-8)


def test_mae_of_a_curve_beats_what_a_simplex_search_finds():
    X, y = decay_rows(noise=0.3)
    y[::9] += 5
    model = ParametricRegressor(decay, loss="mae").fit(X, y)

    def mae(theta):
        return np.abs(numpy_decay(X[:, 0], *theta) - y).mean()

    search = minimize(mae, [3, 1.2, 0.5], method="Nelder-Mead", options={"maxiter": 4000})
    assert model.loss_ == pytest.approx(mae(values(model)), rel=1e-12)
    assert model.loss_ <= search.fun * (1 + 1e-9)


@pytest.mark.parametrize(("loss", "efficiency"), [("huber", 0.9504), ("mae", 2 / np.pi)])
def test_standard_errors_have_the_efficiency_of_their_loss_on_normal_noise(loss, efficiency):
    """Known from theory: of variances, beside those of least squares."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (3000, 1))
    y = rng.standard_normal(3000)
    exact = ParametricRegressor(quadratic).fit(X, y).parameter_table_["standard_error"]
    delta = {"delta": 1.345} if loss == "huber" else {}
    loss = get_loss({"mae": "absolute_error"}.get(loss, loss), **delta)
    errors = ParametricRegressor(quadratic, loss=loss).fit(X, y).parameter_table_["standard_error"]

    # the variance of 3000 residuals is known to 3 %, their density at zero to 5 %
    np.testing.assert_allclose((exact / errors) ** 2, efficiency, rtol=0.1)


@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_standard_errors_are_the_spread_over_repeated_experiments(loss):
    rng = np.random.default_rng(0)
    x = np.linspace(0, 3, 30)
    fits = []
    for _ in range(20):
        y = 2 * np.exp(-x) + 0.2 * rng.standard_normal(30)
        model = ParametricRegressor(lambda x, a=2.0, b=1.0: a * torch.exp(-b * x), loss=loss)
        model.fit(x[:, None], y)
        fits.append((model.parameters_["a"], model.parameter_table_["standard_error"]["a"]))
    found, errors = np.array(fits).T

    # 20 experiments know a spread to about 16 %
    assert found.std() == pytest.approx(errors.mean(), rel=0.5)
    assert abs(found.mean() - 2) < 4 * errors.mean() / np.sqrt(20)


def test_huber_agrees_with_a_direct_search_and_resists_outliers():
    X, y = decay_rows()
    y[::10] += 20
    model = ParametricRegressor(decay, loss=get_loss("huber", delta=0.1)).fit(X, y)

    def huber(theta):
        r = np.abs(numpy_decay(X[:, 0], *theta) - y)
        return np.where(r <= 0.1, r**2 / 2, 0.1 * (r - 0.05)).mean()

    search = minimize(huber, [3, 1.2, 0.5], method="BFGS", options={"gtol": 1e-10})
    np.testing.assert_allclose(values(model), search.x, rtol=1e-4)
    assert np.abs(values(model) - [3, 1.2, 0.5]).max() < 0.15


def test_losses_report_what_their_names_say():
    X, y = decay_rows()
    residual = {}
    for loss in ("mse", "rmse", "mae"):
        model = ParametricRegressor(decay, loss=loss).fit(X, y)
        residual[loss] = model.predict(X) - y
        told = {
            "mse": (residual[loss] ** 2).mean(),
            "rmse": (residual[loss] ** 2).mean() ** 0.5,
            "mae": np.abs(residual[loss]).mean(),
        }
        assert model.loss_ == pytest.approx(told[loss], rel=1e-12)
        assert model.loss_curve_[-1] == pytest.approx(model.loss_)
        assert model.loss_curve_[0] > model.loss_
        assert len(model.loss_curve_) == model.n_iter_ + 1
    np.testing.assert_allclose(residual["mse"], residual["rmse"], atol=1e-8)


def test_a_bound_that_bites_is_kept_and_told():
    X, y = decay_rows()
    model = ParametricRegressor(decay, bounds={"height": (0, 2), "rate": (0, None)}).fit(X, y)
    expected, _ = curve_fit(
        numpy_decay,
        X[:, 0],
        y,
        p0=(1, 1, 0),
        bounds=([0, 0, -np.inf], [2, np.inf, np.inf]),
        ftol=1e-14,
        xtol=1e-14,
        gtol=1e-14,
    )

    assert model.parameters_["height"] == 2
    assert model.parameter_table_["at_bound"].tolist() == [True, False, False]
    np.testing.assert_allclose(values(model), expected, rtol=1e-5)
    # the others are fitted as if the bound parameter were a constant
    table = model.parameter_table_
    fixed, covariance = curve_fit(
        lambda x, rate, floor: numpy_decay(x, 2, rate, floor),
        X[:, 0],
        y,
        p0=(1, 0),
        ftol=1e-13,
        xtol=1e-13,
    )
    np.testing.assert_allclose(values(model)[1:], fixed, rtol=1e-5)
    errors = table["standard_error"].to_numpy()
    np.testing.assert_allclose(errors[1:], np.sqrt(np.diag(covariance)), rtol=1e-4)
    assert np.isnan(errors[0])


def test_bounds_that_do_not_bite_change_nothing():
    X, y = decay_rows()
    free = ParametricRegressor(decay).fit(X, y)
    bounded = ParametricRegressor(decay, bounds={"height": (0, 9), "floor": (-1, None)}).fit(X, y)

    np.testing.assert_allclose(values(free), values(bounded), rtol=1e-8)
    assert not bounded.parameter_table_["at_bound"].any()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["auto", "adam"]))
def test_bounded_linear_problems_reach_their_optimum(seed, optimizer):
    """Optimal within bounds: the gradient vanishes inside and points outwards at a bound."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((20, 3))
    y = X @ rng.standard_normal(3) * 3 + rng.standard_normal(20)
    model = ParametricRegressor(
        plane,
        start={"slopes": np.zeros(3)},
        bounds={"slopes": (-1, 1)},
        optimizer=optimizer,
        max_iter=40,
    ).fit(X, y)
    slopes = model.parameters_["slopes"]
    gradient = X.T @ (model.predict(X) - y)

    assert (np.abs(slopes) <= 1).all()
    inside = np.abs(slopes) < 1
    assert np.abs(gradient[inside]).max(initial=0) < 1e-5
    assert (gradient[~inside] * slopes[~inside] <= 1e-9).all()


def test_equal_bounds_hold_a_parameter():
    X, y = decay_rows()
    model = ParametricRegressor(decay, start={"floor": 0.4}, bounds={"floor": (0.4, 0.4)})
    model.fit(X, y)

    assert model.parameters_["floor"] == 0.4
    assert model.degrees_of_freedom_ == len(y) - 2


def test_restarts_escape_a_bad_start():
    x = np.linspace(0, 6, 80)
    y = 2 * np.sin(5 * x + 0.3) + 0.1 * np.random.default_rng(0).standard_normal(80)
    bounds = {"frequency": (0, 10), "amplitude": (0, None)}
    alone = ParametricRegressor(wave, bounds=bounds, max_iter=50)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        alone.fit(x[:, None], y)
    model = ParametricRegressor(wave, bounds=bounds, n_restarts=7, max_iter=50, random_state=0).fit(
        x[:, None], y
    )

    assert alone.score(x[:, None], y) < 0.5
    assert model.parameters_["frequency"] == pytest.approx(5, abs=0.02)
    table = model.restarts_
    assert len(table) == 8
    assert table["best"].sum() == 1
    assert table.loc[table["best"], "loss"].item() == table["loss"].min() == model.loss_
    assert table["start_frequency"].between(0, 10).all()
    again = ParametricRegressor(wave, bounds=bounds, n_restarts=7, max_iter=50, random_state=0)
    assert again.fit(x[:, None], y).parameters_ == model.parameters_


def test_what_the_rows_do_not_determine_is_named():
    X, y = decay_rows()
    model = ParametricRegressor(lambda x, a, b, rate: a * b * torch.exp(-rate * x))

    with pytest.warns(UserWarning, match="do not determine a, b: other values"):
        model.fit(X, y)

    assert np.isnan(model.parameter_table_["standard_error"][["a", "b"]]).all()
    product = ParametricRegressor(lambda x, c, rate: c * torch.exp(-rate * x)).fit(X, y)
    assert model.parameters_["a"] * model.parameters_["b"] == pytest.approx(
        product.parameters_["c"], rel=1e-6
    )
    assert model.parameter_table_["standard_error"]["rate"] == pytest.approx(
        product.parameter_table_["standard_error"]["rate"], rel=0.02
    )


def test_as_many_parameters_as_rows():
    X, y = decay_rows()
    with pytest.warns(UserWarning, match="no degrees of freedom"):
        model = ParametricRegressor(decay).fit(X[::25], y[::25])

    np.testing.assert_allclose(model.predict(X[::25]), y[::25], atol=1e-9)
    assert np.isnan(model.covariance_).all()


def test_weights_that_sum_to_one_leave_no_degrees_of_freedom_and_say_why():
    X, y = decay_rows()
    with pytest.warns(UserWarning, match="A weight sum of 1,.*weights that sum to their number"):
        model = ParametricRegressor(decay).fit(X, y, sample_weight=np.full(60, 1 / 60))

    np.testing.assert_allclose(values(model), values(ParametricRegressor(decay).fit(X, y)), 1e-7)


def test_float32_is_near():
    X, y = decay_rows()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = ParametricRegressor(decay, precision="float32").fit(X, y)

    np.testing.assert_allclose(values(model), values(ParametricRegressor(decay).fit(X, y)), 1e-4)


def test_a_function_that_returns_float32_is_near():
    X, y = decay_rows()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = ParametricRegressor(lambda x, a, b, c: decay(x, a, b, c).float()).fit(X, y)

    np.testing.assert_allclose(values(model), values(ParametricRegressor(decay).fit(X, y)), 1e-3)


def test_operations_without_a_second_derivative_are_served():
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return x**2

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(inputs[0])
            ctx.save_for_forward(inputs[0])

        @staticmethod
        def backward(ctx, gradient):
            return (2 * ctx.saved_tensors[0] * gradient).detach()

        @staticmethod
        def jvp(ctx, tangent):
            return 2 * ctx.saved_tensors[0] * tangent

    X, noise = decay_rows()
    y = 2.25 * X[:, 0] ** 2 + noise
    model = ParametricRegressor(lambda x, a=1.0, b=1.0: Once.apply(a * x) + b).fit(X, y)
    plain = ParametricRegressor(lambda x, a=1.0, b=1.0: (a * x) ** 2 + b).fit(X, y)

    np.testing.assert_allclose(values(model), values(plain), rtol=1e-8)
    np.testing.assert_allclose(model.predict_interval(X), plain.predict_interval(X), rtol=1e-8)
