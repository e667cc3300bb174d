"""The learning-rate range test."""

import warnings

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_digits, make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from mlfund import MLPClassifier, MLPRegressor, find_learning_rate
from mlfund.diagnostics.learning_rate import _conclude, _running_median

X, Y = load_digits(return_X_y=True)
X = X[:600] / 16
Y = Y[:600]


def final_loss(rate, solver):
    model = MLPClassifier(40, solver=solver, learning_rate_init=rate, max_iter=50, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, Y).loss_curve_[-1]


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_the_suggestion_trains_nearly_as_well_as_the_best_rate_of_a_grid(solver):
    model = MLPClassifier(40, solver=solver, random_state=0)
    test = find_learning_rate(model, X, Y)
    losses = {rate: final_loss(rate, solver) for rate in np.geomspace(1e-4, 1, 5)}
    reached = final_loss(test.suggestion, solver)
    # Of the way from log 10 to the best of the grid, at least 80 %.
    assert reached < 0.8 * min(losses.values()) + 0.2 * np.log(10)
    assert test.suggestion < test.largest


def test_the_curve_and_the_conclusion_agree():
    test = find_learning_rate(MLPClassifier(40, random_state=0), X, Y)
    table = test.to_frame()
    assert list(table) == ["learning_rate", "loss", "smoothed_loss"]
    ratios = table["learning_rate"].to_numpy()[1:] / table["learning_rate"].to_numpy()[:-1]
    np.testing.assert_allclose(ratios, ratios[0])
    assert test.initial_loss == pytest.approx(test.losses[0], rel=1e-3)
    # It ended because the loss exploded, not because the rates ran out.
    assert len(test.losses) < 150
    assert "Smith" in test.rule
    assert f"suggestion={test.suggestion:.3g}" in repr(test)


def test_the_conclusion_on_a_curve_of_known_shape():
    rates = np.geomspace(1e-5, 1, 101)
    losses = np.where(rates < 0.1, 1 / (1 + (rates / 1e-3) ** 2), 10 * rates)
    test = _conclude(rates, losses, initial=1.0)
    # 99 % of the fall is done near 0.01, and the fall is steepest at 0.001.
    assert test.suggestion == pytest.approx(1e-3, rel=0.25)
    assert test.steepest == pytest.approx(1e-3, rel=0.3)
    assert 0.05 < test.largest < 0.2


def test_a_loss_that_never_falls_has_no_suggestion():
    rates = np.geomspace(1e-5, 1, 50)
    assert np.isnan(_conclude(rates, 1 + rates, initial=1.0).suggestion)


def test_a_running_median_ignores_a_single_outlier():
    values = np.ones(20)
    values[7] = 1e6
    np.testing.assert_array_equal(_running_median(values, 1), np.ones(20))


def test_the_estimator_and_its_stream_are_left_alone():
    random_state = np.random.RandomState(3)
    model = MLPClassifier(40, random_state=random_state)
    before = random_state.get_state()[2]
    find_learning_rate(model, X, Y, n_steps=20)
    assert random_state.get_state()[2] == before
    assert not hasattr(model, "coefs_")


def test_the_same_call_gives_the_same_answer():
    model = MLPClassifier(40)
    first, second = (find_learning_rate(model, X, Y, random_state=5) for _ in range(2))
    np.testing.assert_array_equal(first.losses, second.losses)


def test_pipelines_and_transformed_targets_are_taken_apart():
    features, y = make_friedman1(300, random_state=0)
    model = make_pipeline(MinMaxScaler(), MLPRegressor(hidden_layer_sizes=20, random_state=0))
    scaled = TransformedTargetRegressor(model, transformer=StandardScaler())
    bare = find_learning_rate(model, features, y)
    assert find_learning_rate(scaled, features, y).initial_loss < 0.1 * bare.initial_loss
    by_hand = MLPRegressor(hidden_layer_sizes=20, random_state=0)
    expected = find_learning_rate(by_hand, MinMaxScaler().fit_transform(features), y)
    np.testing.assert_array_equal(bare.losses, expected.losses)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smallest": 1.0, "largest": 0.1}, "smallest must be below largest"),
        ({"n_steps": 3}, "n_steps at least 10"),
        ({"smallest": 0.0}, "smallest must be a finite number greater than 0"),
    ],
)
def test_sweeps_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        find_learning_rate(MLPClassifier(), X, Y, **options)


def test_plots_mark_the_suggestion():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    test = find_learning_rate(MLPClassifier(40, random_state=0), X, Y)
    axis = test.plot()
    assert axis.get_xscale() == "log"
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert f"suggestion {test.suggestion:.2g}" in labels
    pyplot.close("all")
