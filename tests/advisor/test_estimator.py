import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlfund import AdvisorClassifier, AdvisorRegressor
from mlfund._check import DataError

QUICK = {"candidates": ("prior", "logistic_regression"), "n_folds": 3, "random_state": 0}


@pytest.fixture(scope="module")
def fitted():
    X, y = load_iris(return_X_y=True, as_frame=True)
    return AdvisorClassifier(n_folds=3, random_state=0).fit(X, y.map("abc".__getitem__)), X


def test_attributes(fitted):
    advisor, X = fitted
    assert advisor.classes_.tolist() == ["a", "b", "c"]
    assert set(advisor.leaderboard_["name"]) == {
        "prior",
        "logistic_regression",
        "xgboost",
        "random_forest",
        "mlp",
    }
    assert (advisor.leaderboard_["status"] == "ok").all()
    assert advisor.recommendation_.name == advisor.advice_.recommendation.name
    assert advisor.feature_names_in_.tolist() == list(X.columns)
    assert advisor.advice_.status == "complete"


def test_predictions_are_those_of_the_recommended_pipeline(fitted):
    advisor, X = fitted
    np.testing.assert_array_equal(advisor.predict(X), advisor.best_estimator_.predict(X))
    np.testing.assert_allclose(advisor.predict_proba(X).sum(axis=1), 1, rtol=1e-6)


def test_html_shows_the_leaderboard_escaped(fitted):
    advisor, _ = fitted
    html = advisor._repr_html_()
    assert "<td>random_forest</td>" in html
    assert advisor.recommendation_.summary.split(":")[0] in html
    unfitted = AdvisorClassifier(metric="<b>")._repr_html_()
    assert "<td>random_forest</td>" not in unfitted


def test_works_in_cross_validation_and_pipelines():
    X, y = load_breast_cancer(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), AdvisorClassifier(**QUICK))
    assert cross_val_score(pipeline, X, y, cv=2).mean() > 0.95


def test_regressor():
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    advisor = AdvisorRegressor(
        candidates=("prior", "ridge_regression"), n_folds=3, random_state=0
    ).fit(X, y)
    assert advisor.recommendation_.name == "ridge_regression"
    assert advisor.score(X, y) > 0.45


def test_mixed_tables_with_gaps():
    generator = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "word": generator.choice(["red", "blue", None], size=120),
            "number": np.where(generator.random(120) < 0.2, np.nan, generator.normal(size=120)),
        }
    )
    y = np.where(X["word"] == "red", "yes", "no")
    assert AdvisorClassifier(**QUICK).fit(X, y).score(X, y) > 0.9


def test_a_latency_limit_turns_measuring_on():
    X, y = load_iris(return_X_y=True)
    advisor = AdvisorClassifier(max_latency_ms=1000.0, **QUICK).fit(X, y)
    assert advisor.leaderboard_["latency_ms_p50"].notna().all()
    assert advisor.advice_.protocol["isolated"]


def test_rare_classes_are_left_out():
    X = np.arange(80.0).reshape(40, 2)
    y = ["a", "b"] * 19 + ["b", "alone"]
    assert AdvisorClassifier(**QUICK).fit(X, y).classes_.tolist() == ["a", "b"]


def test_same_seed_same_predictions():
    X, y = load_iris(return_X_y=True)
    advisor = AdvisorClassifier(n_folds=2, random_state=1)
    first, second = clone(advisor).fit(X, y), clone(advisor).fit(X, y)
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"isolate": "maybe"}, "isolate must be"), ({"metric": "rmse"}, "is for regression")],
)
def test_parameters_are_checked(changed, message):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=message):
        AdvisorClassifier(**changed).fit(X, y)


def test_text_is_no_target_of_a_regression():
    with pytest.raises(DataError, match="holds text such as 'u'"):
        AdvisorRegressor().fit(np.arange(40.0)[:, None], ["u", "v"] * 20)
