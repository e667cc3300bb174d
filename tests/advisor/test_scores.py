import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.dummy import DummyClassifier

from mlfund.advisor.scores import METRICS, get_metric, metrics_of, predict_for

GENERATOR = np.random.default_rng(0)


def labelled(k, labels):
    y = np.asarray(labels)[GENERATOR.integers(k, size=300)]
    proba = GENERATOR.dirichlet(np.ones(k), size=300).round(2)  # with ties
    proba[:, -1] = 1 - proba[:, :-1].sum(axis=1)
    return y, proba, np.unique(labels)


@pytest.mark.parametrize(
    ("k", "labels"), [(2, ["no", "yes"]), (2, [False, True]), (4, ["d", "a", "c", "b"])]
)
def test_classification_metrics_equal_scikit_learns(k, labels):
    y, proba, classes = labelled(k, labels)
    predicted = classes[proba.argmax(axis=1)]
    expected = {
        "log_loss": reference.log_loss(y, proba, labels=classes),
        "accuracy": reference.accuracy_score(y, predicted),
        "balanced_accuracy": reference.balanced_accuracy_score(y, predicted),
        "roc_auc": reference.roc_auc_score(y, proba[:, 1])
        if k == 2
        else reference.roc_auc_score(y, proba, multi_class="ovr", labels=classes),
    }
    for metric in metrics_of("classification"):
        assert metric.value(y, proba, classes) == pytest.approx(expected[metric.name]), metric.name


def test_regression_metrics_equal_scikit_learns():
    y, predicted = GENERATOR.normal(size=(2, 200))
    expected = {
        "rmse": reference.root_mean_squared_error(y, predicted),
        "mae": reference.mean_absolute_error(y, predicted),
        "r2": reference.r2_score(y, predicted),
    }
    for metric in metrics_of("regression"):
        assert metric.value(y, predicted, None) == pytest.approx(expected[metric.name])


def test_log_loss_of_a_sure_mistake_is_finite():
    value = METRICS["log_loss"].value(np.array([0]), np.array([[0.0, 1.0]]), np.array([0, 1]))
    assert 30 < value < 40


@pytest.mark.parametrize("name", METRICS)
def test_equivalence_is_a_hundredth_of_what_a_constant_scores(name):
    metric = METRICS[name]
    if metric.task == "classification":
        y = np.repeat(["a", "b"], [300, 100])
        share = np.array([0.75, 0.25])
        constant = metric.value(y, np.tile(share, (400, 1)), np.array(["a", "b"]))
    else:
        y = GENERATOR.exponential(size=401)
        center = np.median(y) if name == "mae" else y.mean()
        constant = metric.value(y, np.full(401, center), None)
    expected = 0.01 if metric.greater_is_better else 0.01 * constant
    assert metric.equivalence(y) == pytest.approx(expected)


def test_auto_is_a_proper_score():
    assert get_metric("auto", "classification").name == "log_loss"
    assert get_metric("auto", "regression").name == "rmse"


def test_a_metric_of_the_other_task_is_refused():
    with pytest.raises(ValueError, match="metric='rmse' is for regression"):
        get_metric("rmse", "classification")


def test_a_class_the_model_has_not_seen_gets_probability_zero():
    model = DummyClassifier().fit(np.zeros((4, 1)), ["a", "a", "c", "c"])
    classes = np.array(["a", "b", "c"])
    proba = predict_for(model, np.zeros((2, 1)), "classification", classes)
    np.testing.assert_array_equal(proba, [[0.5, 0, 0.5], [0.5, 0, 0.5]])
