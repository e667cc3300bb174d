import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, make_classification, make_regression
from sklearn.metrics import log_loss

import mlfund
from mlfund.advisor.boosting import BoostedTreesClassifier, BoostedTreesRegressor

SMALL = {"max_trees": 40, "n_threads": 1, "random_state": 0}


@pytest.fixture(scope="module")
def table():
    """A label that depends on categories, numbers and gaps."""
    generator = np.random.default_rng(0)
    n = 600
    color = generator.choice(["red", "green", "blue", None], size=n)
    size = generator.normal(size=n)
    size[generator.random(n) < 0.2] = np.nan
    y = np.where((color == "green") | (size > 0.5), "yes", "no")
    X = pd.DataFrame({"color": pd.Categorical(color), "size": size, "noise": range(n)})
    return X, y


def test_equals_xgboost_itself_on_the_same_matrix(table):
    X, y = table
    model = BoostedTreesClassifier(refit_below=0, **SMALL).fit(X, y)
    booster = xgboost.Booster()
    booster.load_model(bytearray(model.booster_bytes_.tobytes()))
    codes = X["color"].cat.codes.to_numpy().astype(np.float32)
    codes[codes < 0] = np.nan
    values = np.column_stack([codes, X["size"], X["noise"]]).astype(np.float32)
    matrix = xgboost.DMatrix(values, feature_types=["c", "q", "q"], enable_categorical=True)
    np.testing.assert_array_equal(model.predict_proba(X)[:, 1], booster.predict(matrix))


def test_learns_categories_and_gaps(table):
    X, y = table
    model = BoostedTreesClassifier(max_trees=200, n_threads=1, random_state=0).fit(X[:400], y[:400])
    assert model.score(X[400:], y[400:]) > 0.95


def test_stops_at_the_best_round_of_its_own_split():
    X, y = make_classification(600, n_informative=3, flip_y=0.3, random_state=0)
    fitted = BoostedTreesClassifier(patience=10, n_threads=1, random_state=0).fit(X, y)
    assert 1 <= fitted.n_trees_ < 200
    overfitted = BoostedTreesClassifier(
        max_trees=400, patience=400, n_threads=1, random_state=0
    ).fit(X, y)
    assert overfitted.n_trees_ <= 400
    X_new, y_new = make_classification(600, n_informative=3, flip_y=0.3, random_state=0)
    assert log_loss(y_new, fitted.predict_proba(X_new)) < np.log(2)


def test_the_split_is_taken_inside_the_given_rows():
    """Rows beyond those given to fit cannot change the fitted state."""
    X, y = load_breast_cancer(return_X_y=True)
    first = BoostedTreesClassifier(**SMALL).fit(X[:300], y[:300])
    X[300:] = 1e6
    again = BoostedTreesClassifier(**SMALL).fit(X[:300], y[:300])
    np.testing.assert_array_equal(first.booster_bytes_, again.booster_bytes_)


def test_few_rows_are_all_used_to_grow():
    X, y = make_classification(20, random_state=0)
    model = BoostedTreesClassifier(n_threads=1, random_state=0).fit(X, y)
    assert model.n_trees_ == 100


@pytest.mark.parametrize("labels", [[3, 7], ["a", "b", "c"], [True, False]])
def test_labels_of_any_kind(labels):
    X, codes = make_classification(200, n_classes=len(labels), n_informative=5, random_state=0)
    y = np.asarray(labels)[codes]
    model = BoostedTreesClassifier(**SMALL).fit(X, y)
    np.testing.assert_array_equal(model.classes_, np.unique(y))
    proba = model.predict_proba(X)
    assert proba.shape == (200, len(labels))
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    assert model.score(X, y) > 0.8


def test_regression():
    X, y = make_regression(500, n_features=5, noise=1, random_state=0)
    model = BoostedTreesRegressor(n_threads=1, random_state=0).fit(X[:400], y[:400])
    assert model.score(X[400:], y[400:]) > 0.85


@pytest.mark.parametrize("way", ["pickle", "joblib", "skops"])
def test_predictions_survive_storage_bit_by_bit(table, way, tmp_path):
    X, y = table
    model = BoostedTreesClassifier(**SMALL).fit(X, y)
    if way == "pickle":
        again = pickle.loads(pickle.dumps(model))
    elif way == "joblib":
        joblib.dump(model, tmp_path / "model.joblib")
        again = joblib.load(tmp_path / "model.joblib")
    else:
        mlfund.save(model, tmp_path / "model.skops")
        again = mlfund.load(tmp_path / "model.skops")
    np.testing.assert_array_equal(model.predict_proba(X), again.predict_proba(X))
    assert not any(isinstance(value, xgboost.Booster) for value in model.__getstate__().values())


def test_levels_are_matched_by_name_not_by_code(table):
    X, y = table
    model = BoostedTreesClassifier(**SMALL).fit(X, y)
    other = X.assign(color=X["color"].cat.set_categories(["red", "purple", "green", "blue"]))
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(other))
    texts = X.assign(color=X["color"].astype(object))
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(texts))


def test_same_seed_same_model(table):
    X, y = table
    model = BoostedTreesClassifier(**SMALL)
    first, second = clone(model).fit(X, y), clone(model).fit(X, y)
    np.testing.assert_array_equal(first.booster_bytes_, second.booster_bytes_)


@pytest.mark.parametrize(
    "wrong", [{"max_trees": 0}, {"learning_rate": -1.0}, {"validation_fraction": 1.5}]
)
def test_parameters_are_checked(table, wrong):
    X, y = table
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BoostedTreesClassifier(**wrong).fit(X, y)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="one class"):
        BoostedTreesClassifier().fit(np.zeros((40, 2)), np.zeros(40))
