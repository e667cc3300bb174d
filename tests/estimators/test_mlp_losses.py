"""Losses of the MLPs: each trains, and predicts what it stands for."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics import log_loss, roc_auc_score

from mlfund import MLPClassifier, MLPRegressor
from mlfund.losses import LOSSES, Loss, get_loss
from tests.mlp_data import SHORT, X2, XL, XR, Y2, YL, YR, X, Y

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def assert_fits(model, X, y):
    """A training goes well, whatever it minimises."""
    curve = model.fit(X, y).loss_curve_
    assert curve[-1] < curve[0]
    assert np.isfinite(model.loss_)


@pytest.mark.parametrize("family", ["log_loss", "focal", "hinge", "dice", "jaccard"])
@pytest.mark.parametrize(
    ("X", "y"), [(X2, Y2), (X, Y), (XL, YL)], ids=["binary", "multiclass", "multilabel"]
)
def test_every_classification_loss_trains_and_predicts(family, X, y):
    model = MLPClassifier(loss=family, learning_rate_init=0.02, max_iter=25, random_state=0)
    assert_fits(model, X, y)
    assert model.score(X, y) > (0.4 if y.ndim == 2 else 0.7)
    if family == "hinge":
        assert not hasattr(model, "predict_proba")
        scores = model.decision_function(X)
        assert scores.shape == ((len(X),) if y is Y2 else (len(X), 3 if y is Y else 5))
    else:
        assert not hasattr(model, "decision_function")
        proba = model.predict_proba(X)
        if y.ndim == 1:
            np.testing.assert_allclose(proba.sum(axis=1), 1)
            np.testing.assert_array_equal(model.predict(X), proba.argmax(axis=1))
        else:
            np.testing.assert_array_equal(model.predict(X), proba > 0.5)


def test_the_log_loss_by_name_is_the_default():
    for rows, y in ((X2, Y2), (X, Y), (XL, YL)):
        default = MLPClassifier(**SHORT).fit(rows, y)
        named = MLPClassifier(**SHORT, loss="log_loss").fit(rows, y)
        assert named.loss_curve_ == default.loss_curve_
        np.testing.assert_allclose(named.predict_proba(rows), default.predict_proba(rows))


@pytest.mark.parametrize(
    "name", [name for name, loss in LOSSES.items() if loss.target in ("real", "nonnegative")]
)
@pytest.mark.parametrize("k", [1, 2])
def test_every_regression_loss_trains_and_predicts(name, k):
    y = np.abs(np.column_stack([YR, YR**2])[:, :k]) + 0.1
    y = y.ravel() if k == 1 else y
    model = MLPRegressor(name, **SHORT, learning_rate_init=0.01)
    assert_fits(model, XR, y)
    assert model.predict(XR).shape == y.shape


def test_a_quantile_is_the_share_of_rows_below():
    model = MLPRegressor(
        get_loss("quantile", quantile=0.9), hidden_layer_sizes=(3,), max_iter=400,
        learning_rate_init=0.03, random_state=0, schedule="cosine",
    ).fit(XR, YR)  # fmt: skip
    assert np.mean(model.predict(XR) > YR) == pytest.approx(0.9, abs=0.05)


def test_a_gaussian_likelihood_predicts_its_own_spread():
    rng = np.random.default_rng(0)
    rows = rng.uniform(-1, 1, (2000, 1))
    y = 2 * rows[:, 0] + np.exp(rows[:, 0]) * rng.normal(size=2000)
    model = MLPRegressor(
        "gaussian_nll", hidden_layer_sizes=(20,), learning_rate_init=0.01, max_iter=40,
        random_state=0,
    ).fit(rows, y)  # fmt: skip
    probes = np.array([[-0.5], [0.5]])
    mean, std = model.predict(probes, return_std=True)
    np.testing.assert_allclose(mean, [-1, 1], atol=0.2)
    np.testing.assert_allclose(std, np.exp([-0.5, 0.5]), rtol=0.2)
    np.testing.assert_array_equal(mean, model.predict(probes))
    assert model.n_outputs_ == 2
    two = MLPRegressor("gaussian_nll", **SHORT).fit(XR, np.column_stack([YR, YR]))
    mean, std = two.predict(XR[:4], return_std=True)
    assert mean.shape == std.shape == (4, 2)
    assert (std > 0).all()


def test_only_a_loss_with_a_spread_returns_it():
    model = MLPRegressor(**SHORT).fit(XR, YR)
    with pytest.raises(ValueError, match=r"return_std=True needs.*'squared_error' does not"):
        model.predict(XR, return_std=True)


def focal_by_hand(raw, y):
    p = torch.softmax(raw, dim=1).gather(1, y[:, None])[:, 0]
    return (1 - p) ** 2 * -p.log()


def test_a_function_is_a_loss():
    by_hand = MLPClassifier(**SHORT, loss=focal_by_hand).fit(X, Y)
    entry = MLPClassifier(**SHORT, loss=get_loss("focal_multiclass", gamma=2.0)).fit(X, Y)
    np.testing.assert_allclose(by_hand.loss_curve_, entry.loss_curve_, rtol=1e-6)
    np.testing.assert_allclose(by_hand.coefs_[0], entry.coefs_[0], rtol=1e-5, atol=1e-9)
    # Of a function it is not known that it calls for another link than the softmax.
    raw = by_hand._raw(X)
    np.testing.assert_allclose(by_hand.predict_proba(X), softmax(raw, axis=1))
    with pytest.raises(ValueError, match="one number a row"):
        MLPClassifier(loss=lambda raw, y: raw.sum()).fit(X, Y)


class Exponential(Loss):
    """exp(-margin) of boosting: a loss of one's own with a link of its own."""

    name = "exponential"
    target = "binary"

    @property
    def inverse_link(self):
        return lambda raw: torch.sigmoid(2 * raw)

    def elementwise(self, raw, y):
        return torch.exp(-(2 * y - 1) * raw)


def test_an_entry_of_ones_own():
    model = MLPClassifier(**SHORT, loss=Exponential(), learning_rate_init=0.01).fit(X2, Y2)
    raw = model._raw(X2)
    np.testing.assert_allclose(model.predict_proba(X2)[:, 1:], 1 / (1 + np.exp(-2 * raw)))
    assert log_loss(Y2, model.predict_proba(X2)) < 0.6


def test_scores_without_probabilities_serve_scikit_learn():
    model = MLPClassifier(**SHORT, loss="hinge", learning_rate_init=0.01)
    with pytest.raises(AttributeError) as caught:
        model.predict_proba(X2)
    assert "no probabilities; use decision_function" in str(caught.value.__cause__)
    assert roc_auc_score(Y2, model.fit(X2, Y2).decision_function(X2)) > 0.8
    calibrated = CalibratedClassifierCV(model, cv=2).fit(X2, Y2)
    np.testing.assert_allclose(calibrated.predict_proba(X2).sum(axis=1), 1)


@pytest.mark.parametrize(
    ("kind", "loss", "message"),
    [
        (MLPClassifier, "huber", "is for real"),
        (MLPRegressor, "focal", "is for"),
        (MLPRegressor, "absolute", "Did you mean 'absolute_error'"),
        (MLPClassifier, "log_los", "Did you mean 'log_loss'"),
        (MLPRegressor, "poisson", "0 or more"),
    ],
)
def test_losses_that_do_not_fit_the_target(kind, loss, message):
    with pytest.raises(ValueError, match=message):
        kind(loss=loss).fit(XR, YR if kind is MLPRegressor else (YR > 0))
