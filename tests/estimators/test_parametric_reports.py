"""Tables, intervals, pictures, saving, and scikit-learn's tools around a fitted curve."""

import io
import pickle
import sys
from types import ModuleType

import joblib
import numpy as np
import pytest
import skops.io
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mlfund
from mlfund import ParametricRegressor
from mlfund.persistence import PersistenceError

RNG = np.random.default_rng(0)
X = np.sort(RNG.uniform(0, 5, 50))[:, None]
Y = 3 * np.exp(-1.2 * X[:, 0]) + 0.5 + 0.05 * RNG.standard_normal(50)


def decay(x, height=1.0, rate=1.0, floor=0.0):
    return height * torch.exp(-rate * x) + floor


def line(x, slope=1.0, offset=0.0):
    return slope * x + offset


def surface(x, a=1.0, b=1.0):
    return a * x[:, 0] + torch.sin(b * x[:, 1])


@pytest.fixture(scope="module")
def fitted():
    return ParametricRegressor(decay).fit(X, Y)


@pytest.fixture
def agg():
    """pyplot without a display."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    yield pyplot
    pyplot.close("all")


def test_the_table_holds_values_errors_and_limits(fitted):
    table = fitted.parameter_table_
    assert list(table.index) == list(fitted.parameters_) == ["height", "rate", "floor"]
    assert list(table.columns) == ["value", "standard_error", "low_95", "high_95", "at_bound"]
    np.testing.assert_allclose(table["standard_error"] ** 2, np.diag(fitted.covariance_))
    reach = 2.0117405137297655 * table["standard_error"]  # Student's t, 97.5 %, 47 degrees
    np.testing.assert_allclose(table["high_95"] - table["value"], reach, rtol=1e-10)
    np.testing.assert_allclose(table["value"] - table["low_95"], reach, rtol=1e-10)


def test_limits_of_a_line_are_those_of_linear_regression():
    y = 2 * X[:, 0] + 1 + 0.1 * RNG.standard_normal(50)
    model = ParametricRegressor(line).fit(X, y)
    new = np.array([[0.0], [2.5], [9.0]])
    design, at = np.column_stack([X, np.ones(50)]), np.column_stack([new, np.ones(3)])
    residual = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    variance = residual @ residual / 48
    mean = variance * np.einsum("ni,ij,nj->n", at, np.linalg.inv(design.T @ design), at)
    t = 1.6772241961243386  # Student's t, 95 %, 48 degrees

    low, high = model.predict_interval(new, 0.9)
    np.testing.assert_allclose(high - low, 2 * t * np.sqrt(mean), rtol=1e-6)
    np.testing.assert_allclose((high + low) / 2, model.predict(new), rtol=1e-12)
    low, high = model.predict_interval(new, 0.9, of="observation")
    np.testing.assert_allclose(high - low, 2 * t * np.sqrt(mean + variance), rtol=1e-6)


def test_intervals_refuse_what_they_do_not_know(fitted):
    with pytest.raises(ValueError, match="level must be"):
        fitted.predict_interval(X, 95)
    with pytest.raises(ValueError, match="of='row' is not known"):
        fitted.predict_interval(X, of="row")
    with pytest.raises(NotFittedError):
        ParametricRegressor(decay).predict_interval(X)


def test_summary_and_notebook_show_every_parameter(fitted):
    text = fitted.summary()
    assert repr(text) == str(text)
    for name, value in fitted.parameters_.items():
        assert name in text
        assert f"{value:.6g}"[:5] in text
    assert "47 degrees of freedom" in text
    html = fitted._repr_mimebundle_()["text/html"]
    assert "standard_error" in html
    assert "standard_error" not in ParametricRegressor(decay)._repr_mimebundle_()["text/html"]


def test_summary_tells_bounds_and_unknown_errors():
    bounded = ParametricRegressor(decay, bounds={"height": (0, 2)}).fit(X, Y)
    assert "at bound" in bounded.summary()
    with pytest.warns(UserWarning, match="do not determine"):
        model = ParametricRegressor(lambda x, a, b: a + b + 0 * x).fit(X, Y)
    assert "unknown" in model.summary()
    assert "not determined" in model._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize("loss", ["mse", "mae"])
def test_the_plot_shows_data_fit_bands_and_loss(loss, agg):
    model = ParametricRegressor(decay, loss=loss).fit(X, Y)
    left, right = model.plot(X, Y)
    data, curve = left.get_lines()
    assert data.get_xydata().shape == (50, 2)
    np.testing.assert_allclose(curve.get_ydata(), model.predict(curve.get_xdata().reshape(-1, 1)))
    assert len(left.collections) == 2
    np.testing.assert_allclose(right.get_lines()[0].get_ydata(), model.loss_curve_)
    left.figure.savefig(io.BytesIO())

    columns = RNG.standard_normal((40, 2))
    wide = ParametricRegressor(surface).fit(columns, columns[:, 0] + np.sin(columns[:, 1]))
    _, axes = agg.subplots(1, 2)
    assert wide.plot(columns, wide.predict(columns), axes=axes) is axes


def test_without_matplotlib_the_extra_is_named(fitted, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"mlfund\[plot\]"):
        fitted.plot(X, Y)


def test_scikit_learns_tools_work():
    model = ParametricRegressor(decay, start={"rate": 2.0}, bounds={"rate": (0, None)})
    assert clone(model).get_params() == model.get_params()
    pipeline = make_pipeline(StandardScaler(), ParametricRegressor(line)).fit(X, Y)
    assert pipeline.score(X, Y) > 0.5
    folds = KFold(2, shuffle=True, random_state=0)
    search = GridSearchCV(
        ParametricRegressor(decay, optimizer="adam", max_iter=50),
        {"start": [{"rate": 0.5}, {"rate": 2.0}], "learning_rate_init": [0.01, 0.1]},
        cv=folds,
    ).fit(X, Y)
    assert search.best_score_ > 0.9
    assert cross_val_score(model, X, Y, cv=folds).min() > 0.9


def test_weights_are_routed():
    from sklearn import config_context

    weight = np.r_[np.ones(25), np.zeros(25)]
    with config_context(enable_metadata_routing=True):
        inner = ParametricRegressor(line).set_fit_request(sample_weight=True)
        unweighted = StandardScaler().set_fit_request(sample_weight=False)
        routed = make_pipeline(unweighted, inner).fit(X, Y, sample_weight=weight)
    scaled = StandardScaler().fit_transform(X)
    alone = ParametricRegressor(line).fit(scaled[:25], Y[:25])
    assert routed[-1].parameters_ == pytest.approx(alone.parameters_, rel=1e-8)


def test_column_names_are_kept_and_checked(agg):
    import pandas as pd

    frame = pd.DataFrame({"time": X[:, 0]})
    model = ParametricRegressor(decay).fit(frame, Y)
    assert model.feature_names_in_.tolist() == ["time"]
    left, _ = model.plot(frame, Y)  # its grid has no names, and that is no warning
    assert left.get_xlabel() == "time"
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"time": "t"}))


@pytest.fixture
def importable(monkeypatch):
    """A function that other processes could import: in a module of its own."""
    module = ModuleType("curves_of_a_test")
    exec("def straight(x, slope=1.0, offset=0.0):\n    return slope * x + offset", vars(module))
    monkeypatch.setitem(sys.modules, "curves_of_a_test", module)
    return module.straight


def test_pickle_and_joblib_keep_the_fit(importable, tmp_path):
    model = ParametricRegressor(importable, n_restarts=1, random_state=0).fit(X, Y)
    joblib.dump(model, tmp_path / "model.joblib")
    for copy in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model.joblib")):
        assert copy.predict(X).tobytes() == model.predict(X).tobytes()
        assert copy.parameter_table_.equals(model.parameter_table_)
        assert copy.restarts_.equals(model.restarts_)


def test_save_goes_by_import_path_and_refuses_lambdas(importable, tmp_path):
    model = ParametricRegressor(importable).fit(X, Y)
    with pytest.warns(UserWarning, match=r"curves_of_a_test\.straight is not in"):
        mlfund.save(model, tmp_path / "model.skops")
    with pytest.raises(mlfund.persistence.UntrustedTypeError, match="curves_of_a_test"):
        mlfund.load(tmp_path / "model.skops")
    trusted = [*mlfund.trusted_types(), "curves_of_a_test.straight"]
    copy = skops.io.load(tmp_path / "model.skops", trusted=trusted)
    assert copy.predict(X).tobytes() == model.predict(X).tobytes()
    assert copy.summary() == model.summary()

    unnamed = ParametricRegressor(lambda x, a: a * x).fit(X, Y)
    with pytest.raises(PersistenceError, match="lambda"):
        mlfund.save(unnamed, tmp_path / "other.skops")
