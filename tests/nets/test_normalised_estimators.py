"""Normalisation seen from the estimators that take it."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.utils.estimator_checks import check_estimator

from mlfund import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_digits(return_X_y=True)
X = X / 16


@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks_pass_without_an_exception():
    estimator = MLPRegressor(
        hidden_layer_sizes=(20,), normalization="batch", learning_rate_init=0.02, max_iter=30
    )
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    assert len(results) > 55
    assert [result["check_name"] for result in results if result["status"] == "failed"] == []


def test_the_best_weights_come_back_with_their_statistics():
    model = MLPClassifier(
        (16,), normalization="batch", learning_rate_init=0.1, batch_size=32, max_iter=12,
        early_stopping=True, n_iter_no_change=4, random_state=0,
    )  # fmt: skip
    model.fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
    scores = model.validation_scores_
    # Else the last epoch would do as well.
    assert scores[-1] < model.best_validation_score_
    assert model.score(X[300:], y[300:]) == pytest.approx(model.best_validation_score_)


@pytest.mark.parametrize("position", ["before", "after"])
def test_integer_weights_are_repetition(position):
    weight = np.random.default_rng(0).integers(1, 4, 150)
    index = np.repeat(np.arange(150), weight)
    options = {
        "normalization": "batch",
        "normalization_position": position,
        "batch_size": 150,
        "shuffle": False,
        "max_iter": 15,
        "random_state": 0,
    }
    weighted = MLPRegressor(hidden_layer_sizes=(10,), **options).fit(
        X[:150], y[:150], sample_weight=weight
    )
    options["batch_size"] = len(index)
    repeated = MLPRegressor(hidden_layer_sizes=(10,), **options).fit(X[index], y[index])
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), atol=1e-8)


def test_a_training_goes_on_from_its_statistics():
    options = {"normalization": "batch", "activation": "prelu", "batch_size": 50}
    model = MLPClassifier((10,), warm_start=True, max_iter=3, random_state=0, **options)
    model.fit(X[:200], y[:200])
    before = model.layer_state_[0]
    model.set_params(learning_rate_init=1e-12, max_iter=1).fit(X[:200], y[:200])
    after = model.layer_state_[0]
    assert after["n_batches"] == before["n_batches"] + 4
    for name in ("scale", "shift", "slope"):
        np.testing.assert_allclose(after[name], before[name], atol=1e-9)
    assert not np.array_equal(after["mean"], before["mean"])


def test_batches_of_one_row():
    # The last batch of 21 rows has one row and joins the training all the same.
    model = MLPClassifier((4,), normalization="batch", batch_size=4, max_iter=2)
    model.fit(X[:21], y[:21])
    with pytest.raises(ValueError, match="cannot start from a batch of one row"):
        MLPClassifier((4,), normalization="batch", batch_size=1).fit(X[:21], y[:21])
