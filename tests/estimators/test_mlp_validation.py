"""Validation rows of the neural estimators: which they are, what scores them, what stops."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import clone
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.metrics import get_scorer, log_loss, make_scorer, mean_absolute_error, r2_score
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    PredefinedSplit,
    TimeSeriesSplit,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight

from mlfund import MLPClassifier, MLPRegressor
from mlfund.folds import FoldPlan

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

_X, _Y = make_classification(400, 12, n_informative=6, n_classes=3, flip_y=0.2, random_state=0)
X, XV, CODES, CODES_V = _X[:300], _X[300:], _Y[:300], _Y[300:]
NAMES = np.array(["ash", "birch", "cedar"])
Y, YV = NAMES[CODES], NAMES[CODES_V]
WEIGHT = np.random.default_rng(0).uniform(0.5, 2, 100)
_XR, _YR = make_regression(400, 8, noise=20.0, random_state=0)
_YR /= _YR.std()
XR, XRV, YR, YRV = _XR[:300], _XR[300:], _YR[:300], _YR[300:]
SHORT = {"random_state": 0, "max_iter": 6}


def probabilities_after(n_epochs, **options):
    """What a training that ends after so many epochs predicts for the validation rows."""
    return MLPClassifier(**{**SHORT, "max_iter": n_epochs}, **options).fit(X, Y).predict_proba(XV)


def test_own_rows_are_scored_after_each_epoch_and_change_nothing():
    plain = MLPClassifier(**SHORT).fit(X, Y)
    model = MLPClassifier(**SHORT).fit(X, Y, X_val=XV, y_val=YV)
    assert model.loss_curve_ == plain.loss_curve_
    np.testing.assert_array_equal(model.coefs_[0], plain.coefs_[0])
    assert model.best_loss_ == plain.best_loss_
    for epoch in (1, 4, 6):
        proba = probabilities_after(epoch)
        row = model.history_.iloc[epoch - 1]
        assert row["valid_loss"] == pytest.approx(log_loss(YV, proba), rel=1e-6)
        assert row["valid_score"] == pytest.approx(np.mean(NAMES[proba.argmax(1)] == YV))
    assert model.validation_scores_ == list(model.history_["valid_score"])
    assert model.best_validation_score_ == max(model.validation_scores_)


def test_early_stopping_on_own_rows_trains_on_all_rows():
    options = {**SHORT, "max_iter": 100, "learning_rate_init": 0.03, "n_iter_no_change": 3}
    model = MLPClassifier(**options, early_stopping=True).fit(X, Y, X_val=XV, y_val=YV)
    assert model.t_ == 300 * model.n_iter_
    assert model.n_iter_ < 100
    assert model.best_loss_ is None
    best = int(np.argmax(model.validation_scores_))
    assert best < model.n_iter_ - 1
    until = MLPClassifier(**{**options, "max_iter": best + 1}, tol=0).fit(X, Y)
    np.testing.assert_array_equal(model.coefs_[0], until.coefs_[0])


@pytest.mark.parametrize(
    "scoring", ["neg_log_loss", "roc_auc_ovr", "balanced_accuracy", "f1_macro", "accuracy"]
)
def test_named_scores_are_scikit_learns(scoring):
    model = MLPClassifier(**SHORT, scoring=scoring)
    model.fit(X, Y, X_val=XV, y_val=YV, sample_weight_val=WEIGHT)
    scorer = get_scorer(scoring)
    for epoch in (1, 6):
        until = MLPClassifier(**{**SHORT, "max_iter": epoch}).fit(X, Y)
        expected = scorer(until, XV, YV, sample_weight=WEIGHT)
        assert model.validation_scores_[epoch - 1] == pytest.approx(expected, rel=1e-6)


def test_the_default_scores_are_those_of_score():
    classifier = MLPClassifier(**SHORT).fit(X, Y, None, X_val=XV, y_val=YV)
    assert classifier.validation_scores_[-1] == pytest.approx(classifier.score(XV, YV))
    regressor = MLPRegressor(**SHORT)
    regressor.fit(XR, YR, X_val=XRV, y_val=YRV, sample_weight_val=WEIGHT)
    expected = r2_score(YRV, regressor.predict(XRV), sample_weight=WEIGHT)
    assert regressor.validation_scores_[-1] == pytest.approx(expected)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_scoring_by_the_loss(loss):
    y, y_val = np.abs(np.column_stack([YR, YR**2])), np.abs(np.column_stack([YRV, YRV**2]))
    model = MLPRegressor(loss, **SHORT, scoring="loss", alpha=0)
    model.fit(XR, y, X_val=XRV, y_val=y_val, sample_weight_val=WEIGHT)
    # The mean over rows of the loss, weighted; without penalty also what valid_loss says.
    np.testing.assert_allclose(model.validation_scores_, -model.history_["valid_loss"], rtol=1e-9)
    mean = model.predict(XRV)
    if loss == "squared_error":
        rows = 0.5 * ((mean - y_val) ** 2).mean(axis=1)
        assert model.validation_scores_[-1] == pytest.approx(-np.average(rows, weights=WEIGHT))


def test_a_scorer_of_ones_own_sees_a_fitted_estimator():
    seen = []

    def scorer(estimator, X_valid, y_valid):
        np.testing.assert_array_equal(X_valid, XRV)
        np.testing.assert_array_equal(y_valid, YRV)
        # other rows than the validation rows, too
        seen.append((estimator.coefs_[0].copy(), estimator.predict(XR[:5])))
        return -mean_absolute_error(y_valid, estimator.predict(X_valid))

    model = MLPRegressor(**SHORT, scoring=scorer).fit(XR, YR, X_val=XRV, y_val=YRV)
    assert len(seen) == 6
    np.testing.assert_array_equal(seen[-1][0], model.coefs_[0])
    np.testing.assert_array_equal(seen[-1][1], model.predict(XR[:5]))
    by_name = MLPRegressor(**SHORT, scoring="neg_mean_absolute_error")
    by_name.fit(XR, YR, X_val=XRV, y_val=YRV)
    np.testing.assert_allclose(model.validation_scores_, by_name.validation_scores_)
    assert not hasattr(MLPRegressor(**SHORT, scoring=scorer), "coefs_")


def test_what_is_watched_is_what_stops():
    options = {**SHORT, "max_iter": 100, "early_stopping": True, "n_iter_no_change": 2}
    ends = {}
    for scoring in (None, "loss", "neg_log_loss", make_scorer(lambda y, p: 0.0)):
        model = MLPClassifier(**options, scoring=scoring, learning_rate_init=0.01)
        model.fit(X, Y, X_val=XV, y_val=YV)
        ends[str(scoring)] = model.n_iter_
        scores = model.validation_scores_
        assert model.best_validation_score_ == max(scores)
    # Of a score that never moves the first epoch is the best, and two more are borne.
    assert min(ends.values()) == 4 < ends["loss"] == ends["neg_log_loss"]


def test_scores_of_a_diverged_epoch_are_nan_not_errors():
    with pytest.warns(Warning, match="diverged in epoch"):
        model = MLPClassifier(
            solver="sgd", learning_rate_init=30, scoring="neg_log_loss", random_state=0
        ).fit(X, Y, X_val=XV, y_val=YV)
    assert all(np.isfinite(coef).all() for coef in model.coefs_)


def test_multilabel_and_sparse_rows():
    X_labels, labels = make_multilabel_classification(150, 10, random_state=0)
    model = MLPClassifier(**SHORT, scoring="f1_macro")
    dense = clone(model).fit(X_labels[:100], labels[:100], X_val=X_labels[100:], y_val=labels[100:])
    sparse = clone(model).fit(
        sp.csr_matrix(X_labels[:100]), sp.csr_matrix(labels[:100]),
        X_val=sp.csc_matrix(X_labels[100:]), y_val=sp.csr_matrix(labels[100:]),
    )  # fmt: skip
    assert dense.validation_scores_[-1] == pytest.approx(
        get_scorer("f1_macro")(dense, X_labels[100:], labels[100:])
    )
    np.testing.assert_allclose(sparse.validation_scores_, dense.validation_scores_)


def test_class_weights_of_validation_rows_are_counted_in_the_training_rows():
    model = MLPClassifier(**SHORT, class_weight="balanced", scoring="loss")
    model.fit(X, Y, X_val=XV[:40], y_val=YV[:40])
    weights = dict(zip(NAMES, compute_class_weight("balanced", classes=NAMES, y=Y), strict=True))
    weight = [weights[name] for name in YV[:40]]
    expected = -log_loss(YV[:40], model.predict_proba(XV[:40]), sample_weight=weight)
    assert model.validation_scores_[-1] == pytest.approx(expected, rel=1e-6)
    as_dict = MLPClassifier(**SHORT, class_weight=weights, scoring="loss")
    as_dict.fit(X, Y, X_val=XV[:40], y_val=YV[:40])
    np.testing.assert_allclose(as_dict.validation_scores_, model.validation_scores_, rtol=1e-9)


def spy_on_the_split(monkeypatch):
    """Record the rows that train and the rows set aside."""
    import mlfund.estimators._neural_base as base

    parts = []
    original = base.hold_out

    def spy(*args):
        parts.append(original(*args))
        return parts[-1]

    monkeypatch.setattr(base, "hold_out", spy)
    return parts


@pytest.mark.parametrize(
    "splitter", [None, GroupKFold(5), GroupShuffleSplit(3, test_size=0.2, random_state=0)]
)
def test_a_split_honours_groups(monkeypatch, splitter):
    parts = spy_on_the_split(monkeypatch)
    groups = np.arange(300) // 7
    model = MLPClassifier(**SHORT, early_stopping=True, validation_split=splitter)
    model.fit(X, Y, np.r_[np.zeros(10), np.ones(290)], groups=groups)
    train, valid = parts[0]
    assert len(train) + len(valid) == 290
    assert not set(train.groups) & set(valid.groups)
    assert len(valid) > 20


def test_a_split_in_time_trains_on_all_that_came_before(monkeypatch):
    parts = spy_on_the_split(monkeypatch)
    MLPRegressor(**SHORT, early_stopping=True, validation_split=TimeSeriesSplit(5)).fit(XR, YR)
    train, valid = parts[0]
    np.testing.assert_array_equal(train.y, YR[:250])
    np.testing.assert_array_equal(valid.y, YR[250:])


def test_an_explicit_split_without_early_stopping_only_scores():
    held_out = np.r_[np.full(250, -1), np.zeros(50)]
    model = MLPClassifier(**SHORT, validation_split=PredefinedSplit(held_out)).fit(X, Y)
    direct = MLPClassifier(**SHORT).fit(X[:250], Y[:250], X_val=X[250:], y_val=Y[250:])
    assert model.loss_curve_ == direct.loss_curve_
    assert model.validation_scores_ == direct.validation_scores_
    plan = FoldPlan.make(Y, task="multiclass", n_folds=5, random_state=0)
    by_plan = MLPClassifier(**SHORT, validation_split=plan).fit(X, Y)
    train, valid = plan[4]
    direct = MLPClassifier(**SHORT).fit(X[train], Y[train], X_val=X[valid], y_val=Y[valid])
    assert by_plan.validation_scores_ == direct.validation_scores_


def test_through_a_pipeline_and_metadata_routing():
    scaled = StandardScaler().fit(X)
    direct = MLPClassifier(**SHORT).fit(
        scaled.transform(X), Y, X_val=scaled.transform(XV), y_val=YV
    )
    with sklearn.config_context(enable_metadata_routing=True):
        model = MLPClassifier(**SHORT).set_fit_request(X_val=True, y_val=True)
        steps = [("scale", StandardScaler()), ("net", model)]
        pipeline = Pipeline(steps, transform_input=["X_val"]).fit(X, Y, X_val=XV, y_val=YV)
    assert pipeline[-1].validation_scores_ == direct.validation_scores_
    plain = make_pipeline(StandardScaler(), MLPClassifier(**SHORT))
    plain.fit(X, Y, mlpclassifier__groups=np.arange(300))


def test_warm_start_goes_on_scoring():
    model = MLPClassifier(**{**SHORT, "max_iter": 3}, warm_start=True)
    for _ in range(2):
        model.fit(X, Y, X_val=XV, y_val=YV)
    assert len(model.validation_scores_) == len(model.loss_curve_) == 6
    model.fit(X, Y)
    assert model.validation_scores_ is None
    assert model.best_validation_score_ is None


@pytest.mark.parametrize(
    ("options", "given", "message"),
    [
        ({}, {"X_val": XV}, "parts of one validation set"),
        ({}, {"y_val": YV}, "parts of one validation set"),
        ({}, {"sample_weight_val": WEIGHT}, "parts of one validation set"),
        ({}, {"X_val": XV[:, :5], "y_val": YV}, "X has 5 features"),
        ({}, {"X_val": XV, "y_val": YV[:7]}, "inconsistent numbers of samples"),
        ({}, {"X_val": XV, "y_val": np.repeat("oak", 100)}, "classes not in"),
        ({}, {"X_val": XV, "y_val": YV, "sample_weight_val": -WEIGHT}, "Negative values"),
        ({"validation_split": 5}, {"X_val": XV, "y_val": YV}, "X_val and validation_split.*contr"),
        ({"solver": "lbfgs"}, {"X_val": XV, "y_val": YV}, "X_val and solver.*contradict"),
        ({"validation_split": 5, "validation_fraction": 0.2}, {}, "contradict"),
        ({"scoring": "accuracy"}, {}, "needs rows to score"),
        ({"scoring": "acuracy", "early_stopping": True}, {}, "acuracy"),
        ({"early_stopping": True}, {"groups": [1, 2]}, "inconsistent numbers of samples"),
        ({"validation_split": GroupKFold(3)}, {}, "groups"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, given, message):
    model = MLPClassifier(**SHORT, **options)
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y, **given)
    assert not hasattr(model, "coefs_")


def test_targets_of_another_width_are_refused():
    with pytest.raises(ValueError, match="must have the same columns"):
        MLPRegressor(**SHORT).fit(XR, YR, X_val=XRV, y_val=np.column_stack([YRV, YRV]))


def test_partial_fit_refuses_a_split():
    model = MLPClassifier(validation_split=5)
    with pytest.raises(ValueError, match="partial_fit does not support validation_split=5"):
        model.partial_fit(X, Y, classes=NAMES)
