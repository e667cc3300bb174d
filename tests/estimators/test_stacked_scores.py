"""Scores of many models at once are scikit-learn's, one by one."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.metrics import get_scorer, make_scorer

from mlfund.estimators._stacked_responses import (
    ClassifierResponses,
    RegressorResponses,
    class_numbers,
    probabilities,
)
from mlfund.estimators._stacked_scores import stacked_metric, stacked_scores

METHODS = frozenset({"predict", "predict_proba", "decision_function"})
CLASS_SCORERS = [
    "accuracy",
    "balanced_accuracy",
    "matthews_corrcoef",
    "f1",
    "f1_macro",
    "f1_micro",
    "f1_weighted",
    "precision",
    "precision_macro",
    "precision_weighted",
    "recall",
    "recall_macro",
    "recall_micro",
    "jaccard",
    "jaccard_macro",
    "jaccard_micro",
    "jaccard_weighted",
    "neg_log_loss",
    "neg_brier_score",
    "roc_auc",
    "roc_auc_ovr",
    "roc_auc_ovr_weighted",
    "average_precision",
]
VALUE_SCORERS = [
    "r2",
    "neg_mean_squared_error",
    "neg_root_mean_squared_error",
    "neg_mean_absolute_error",
    "neg_median_absolute_error",
    "neg_max_error",
]


class Told:
    """An estimator whose responses are given."""

    _estimator_type = "classifier"

    def __init__(self, raw, classes):
        self.raw, self.classes_ = raw, classes

    def __sklearn_tags__(self):
        from sklearn.linear_model import LinearRegression, LogisticRegression
        from sklearn.utils import get_tags

        return get_tags(LinearRegression() if self.classes_ is None else LogisticRegression())

    def predict(self, X):
        if self.classes_ is None:
            return self.raw
        return self.classes_[class_numbers(self.raw[None])[0]]

    def predict_proba(self, X):
        return probabilities(self.raw[None])[0]

    def decision_function(self, X):
        return self.raw[:, 0] if self.raw.shape[1] == 1 else self.raw


def by_sklearn(scorer, model, y, weights):
    """Return scikit-learn's score; NaN where it warns of an undefined one or refuses."""
    weighted = {} if weights is None else {"sample_weight": weights}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return scorer(model, np.zeros((len(y), 1)), y, **weighted)
    except (ValueError, UserWarning, TypeError):
        return np.nan


@st.composite
def class_problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    K, r, m = draw(st.integers(2, 4)), draw(st.integers(2, 30)), draw(st.integers(1, 4))
    labels = draw(st.sampled_from(["01", "pm", "text", "other"]))
    classes = {
        "01": np.arange(K),
        "pm": np.array([-1, 1]) if K == 2 else np.arange(K) - 1,
        "text": np.array(list("abcd"))[:K],
        "other": np.arange(K) * 2 + 3,
    }[labels]
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    raw = rng.normal(size=(m, r, 1 if K == 2 else K)) * draw(st.sampled_from([0.1, 2.0, 60.0]))
    if draw(st.booleans()):
        raw = raw.round(0)  # ties
    code = rng.integers(draw(st.sampled_from([K, max(K - 1, 1)])), size=r)
    weights = draw(st.sampled_from([None, "some", "zeros"]))
    if weights is not None:
        rows = rng.uniform(0.1, 3, size=r)
        weights = rows if weights == "some" else rows * (rng.random(r) < 0.7)
    return classes, code, raw.astype(dtype), weights


@settings(max_examples=60, deadline=None)
@given(problem=class_problems(), name=st.sampled_from(CLASS_SCORERS))
def test_classification(problem, name):
    classes, code, raw, weights = problem
    said = ClassifierResponses(classes, code, weights, raw)
    scorer = get_scorer(name)
    found = stacked_scores(scorer, said, METHODS)
    expected = [by_sklearn(scorer, Told(one, classes), classes[code], weights) for one in raw]
    if found is None:
        # Left to scikit-learn, but not what is ordinary.
        ordinary = len(np.unique(code)) == len(classes) and classes.dtype.kind == "i"
        ordinary &= list(classes) == [0, 1] and (weights is None or (weights > 0).all())
        assert not ordinary
        return
    told = np.isfinite(found)
    tolerance = 1e-10 if raw.dtype == np.float64 else 2e-5
    np.testing.assert_allclose(
        found[told], np.array(expected)[told], rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("name", CLASS_SCORERS)
def test_ordinary_cases_are_not_left_to_scikit_learn(name):
    rng = np.random.default_rng(0)
    K = 3 if "ovr" in name else 2
    code, raw = np.arange(60) % K, rng.normal(size=(5, 60, K if K > 2 else 1))
    for weights in (None, rng.uniform(0.5, 2, size=60)):
        said = ClassifierResponses(np.arange(K), code, weights, raw)
        found = stacked_scores(get_scorer(name), said, METHODS)
        assert found.shape == (5,)
        assert np.isfinite(found).all()


@pytest.mark.parametrize(
    "scorer",
    [
        make_scorer(metrics.fbeta_score, beta=2),
        make_scorer(metrics.fbeta_score, beta=0.5, average="macro"),
        make_scorer(metrics.f1_score, pos_label=0),
        make_scorer(metrics.balanced_accuracy_score, adjusted=True),
        make_scorer(metrics.roc_auc_score, response_method="predict_proba"),
        make_scorer(
            metrics.average_precision_score, response_method="decision_function", pos_label=0
        ),
        make_scorer(metrics.log_loss, response_method="predict_proba", labels=[0, 1]),
    ],
)
def test_options(scorer):
    rng = np.random.default_rng(1)
    raw, code = rng.normal(size=(3, 40, 1)), rng.integers(2, size=40)
    said = ClassifierResponses(np.arange(2), code, None, raw)
    found = stacked_scores(scorer, said, METHODS)
    expected = [by_sklearn(scorer, Told(one, np.arange(2)), code, None) for one in raw]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    "scorer",
    [
        make_scorer(metrics.f1_score, zero_division=1),
        make_scorer(metrics.roc_auc_score, response_method="predict_proba", max_fpr=0.5),
        make_scorer(metrics.accuracy_score, response_method="predict_proba"),
        make_scorer(metrics.cohen_kappa_score),
        metrics.get_scorer("r2"),
        lambda estimator, X, y: 0.0,
    ],
)
def test_what_is_not_known_is_left_to_scikit_learn(scorer):
    said = ClassifierResponses(np.arange(2), np.array([0, 1, 1]), None, np.ones((2, 3, 1)))
    assert stacked_scores(scorer, said, METHODS) is None


def test_roc_auc_takes_margins_where_there_are_any():
    # Probabilities of float32 tie where margins do not.
    raw = np.array([[[40.0], [41.0], [42.0], [43.0]]], dtype=np.float32)
    said = ClassifierResponses(np.arange(2), np.array([0, 0, 1, 1]), None, raw)
    scorer = get_scorer("roc_auc")
    assert stacked_scores(scorer, said, METHODS) == 1.0
    assert stacked_scores(scorer, said, METHODS - {"decision_function"}) == 0.5


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(VALUE_SCORERS),
    seed=st.integers(0, 2**32 - 1),
    r=st.integers(1, 20),
    k=st.integers(1, 3),
    weighted=st.booleans(),
    constant=st.booleans(),
)
def test_regression(name, seed, r, k, weighted, constant):
    rng = np.random.default_rng(seed)
    y, values = rng.normal(size=(r, k)), rng.normal(size=(3, r, k))
    y[:] = y[0] if constant else y
    weights = rng.uniform(0.1, 2, size=r) if weighted else None
    scorer = get_scorer(name)
    found = stacked_scores(scorer, RegressorResponses(y, weights, values), METHODS)
    if found is None:
        unknown = weighted and ("median" in name or "max" in name)
        assert unknown or k > 1 or constant or r == 1
        return
    expected = [by_sklearn(scorer, Told(one, None), y, weights) for one in values]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_r2_of_weighted_equal_targets_is_left_to_scikit_learn():
    rng = np.random.default_rng(5)
    y = np.full((2, 1), rng.normal())
    for _ in range(50):
        said = RegressorResponses(y, rng.uniform(0.1, 2, size=2), rng.normal(size=(3, 2, 1)))
        assert stacked_scores(get_scorer("r2"), said, METHODS) is None


def test_values_that_are_not_finite_are_left_to_scikit_learn():
    values = np.array([[[1.0], [np.nan]], [[1.0], [np.inf]], [[1.0], [2.5]]])
    said = RegressorResponses(np.array([[1.0], [2.0]]), None, values)
    found = stacked_metric(metrics.r2_score, said)
    assert np.isnan(found).tolist() == [True, True, False]
    raw = np.array([[[1.0], [np.nan]], [[1.0], [-2.0]]])
    said = ClassifierResponses(np.arange(2), np.array([1, 0]), None, raw)
    for metric, method in (
        (metrics.log_loss, "predict_proba"),
        (metrics.roc_auc_score, "predict_proba"),
    ):
        assert np.isnan(stacked_metric(metric, said, {}, method)).tolist() == [True, False]


@pytest.mark.parametrize("weights", [[0.0, 0.0], [-1.0, 2.0], [np.nan, 1.0]])
def test_weights_out_of_the_ordinary_are_left_to_scikit_learn(weights):
    said = RegressorResponses(np.ones((2, 1)), np.array(weights), np.ones((1, 2, 1)))
    assert stacked_metric(metrics.mean_squared_error, said) is None
