"""Checks of what X says about y."""

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_classification, make_friedman1
from sklearn.metrics import accuracy_score, r2_score

from mlfund import MLPClassifier, MLPRegressor
from mlfund.diagnostics import _dependence as checks
from mlfund.diagnostics._material import find_network, prepare
from mlfund.losses import get_loss

RNG = np.random.default_rng(0)
X, Y = make_classification(500, 12, n_informative=6, n_classes=3, random_state=0)
XR, YR = make_friedman1(500, 10, random_state=0)
NAMES = [f"column {i}" for i in range(13)]


def material(X, y, model=None):
    model = MLPClassifier() if model is None else model
    return prepare(find_network(model), X, y, fraction=0.3, max_rows=None, random_state=0)


def test_skill_is_one_for_truth_and_zero_for_a_constant():
    y = np.array([0, 0, 0, 1, 2])
    assert checks.skill_of(y, y, y, classification=True) == 1
    assert checks.skill_of(np.zeros(5), y, y, classification=True) == 0
    wrong = np.array([0, 0, 1, 1, 2])
    expected = 1 - (1 - accuracy_score(y, wrong)) / (2 / 5)
    assert checks.skill_of(wrong, y, y, classification=True) == pytest.approx(expected)
    noisy = YR + RNG.normal(size=500)
    skill = checks.skill_of(noisy, YR, YR, classification=False)
    assert skill == pytest.approx(r2_score(YR, noisy))


def test_rows_that_belong_together_are_told_from_rows_shuffled_apart():
    for data, model in ((Y, MLPClassifier()), (YR, MLPRegressor())):
        features = X if data is Y else XR
        for y, status in ((data, "pass"), (RNG.permutation(data), "fail")):
            reference = checks.trees_on(material(features, y, model))
            assert checks.check_signal(reference, 150).status == status


def test_the_chance_is_uniform_where_nothing_is_related_and_small_where_something_is():
    rng = np.random.RandomState(0)
    votes = rng.dirichlet(np.ones(3), 80)
    codes = rng.randint(0, 3, 80)
    unrelated = [checks._chance_of_votes(votes, rng.permutation(codes), rng) for _ in range(40)]
    # Of 40 uniform chances 3 or more are below 0.01 in one case of 130.
    assert sum(chance <= checks.CHANCE for chance in unrelated) < 3
    assert 0.3 < np.mean(unrelated) < 0.7
    assert checks._chance_of_votes(votes, votes.argmax(axis=1), rng) <= 0.002
    values = rng.normal(size=80)
    assert checks._chance_of_values(values, values + rng.normal(size=80), rng) <= 0.002
    assert checks._chance_of_values(values, rng.normal(size=80), rng) > checks.CHANCE


def test_few_rows_are_no_proof_of_independence():
    reference = checks.Reference(np.zeros(20), 0.0, 0.5)
    assert checks.check_signal(reference, 20).status == "warn"


@pytest.mark.parametrize("leak", ["codes", "threshold", "noisy copy", "curve", "one of many"])
def test_a_column_that_gives_y_away_is_named(leak):
    regression = leak in ("noisy copy", "curve")
    features, y = (XR, YR) if regression else (X, Y)
    column = {
        "codes": Y,
        "threshold": np.where(Y == 1, 0.3, -0.3) + 0.1 * RNG.random(500) + Y,
        "noisy copy": YR + 0.01 * RNG.normal(size=500),
        "curve": np.exp(-YR / 5),
        "one of many": 7 - 2.0 * Y,
    }[leak]
    wide = np.c_[features, column]
    if leak == "one of many":
        wide = np.c_[wide, RNG.normal(size=(500, 60))]
    names = [f"column {i}" for i in range(wide.shape[1])]
    model = MLPRegressor() if regression else MLPClassifier()
    finding = checks.check_target_leak(material(wide, y, model), names)
    assert finding.status == "fail"
    assert f"column {features.shape[1]}," in finding.text


def test_a_strong_honest_column_is_no_leak():
    data = load_iris(return_X_y=True)
    finding = checks.check_target_leak(material(*data), list("abcd"))
    assert finding.status == "pass"
    assert 0.8 < finding.number < 0.95


def loss_finding(y, model, loss, features=X):
    return checks.check_loss_fits_target(material(features, y, model), get_loss(loss))


def test_classes_trained_as_numbers_and_numbers_trained_as_classes():
    squared = MLPRegressor(), "squared_error"
    assert loss_finding(Y, *squared).fault == "wrong loss"
    assert loss_finding((Y > 0).astype(float), *squared).fault == "wrong loss"
    many = (100 * YR).astype(int)
    assert loss_finding(many, MLPClassifier(), "log_loss_multinomial", XR).fault == "wrong loss"
    assert loss_finding(Y, MLPClassifier(), "log_loss_multinomial").status == "pass"
    assert loss_finding(YR, *squared, XR).status == "pass"


def test_ratings_with_an_order_are_numbers_if_one_likes():
    ratings = np.digitize(YR, np.quantile(YR, [0.2, 0.4, 0.6, 0.8])).astype(float)
    assert loss_finding(ratings, MLPRegressor(), "squared_error", XR).status == "pass"


def test_far_outliers_under_a_squared_error_are_warned_of():
    y = YR.copy()
    y[::200] *= 1e4
    assert loss_finding(y, MLPRegressor(), "squared_error", XR).status == "warn"
    assert loss_finding(y, MLPRegressor(loss="absolute_error"), "huber", XR).status == "pass"
