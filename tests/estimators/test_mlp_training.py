"""Steps, penalties, averages and augmentation of the MLPs, against plain loops in torch."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import log_loss

from mlfund import MLPClassifier, MLPRegressor
from mlfund.averaging import get_averaging
from tests.mlp_data import PLAIN, SHORT, X2, XL, XR, Y2, YL, YR, X, Y

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def initial_weights(sizes):
    """scikit-learn's for random_state=0, as torch parameters of torch's layout."""
    random_state = np.random.RandomState(0)
    layers = []
    for fan_in, fan_out in pairwise(sizes):
        bound = np.sqrt(6 / (fan_in + fan_out))
        layer = torch.nn.Linear(fan_in, fan_out, dtype=torch.float64)
        with torch.no_grad():
            drawn = random_state.uniform(-bound, bound, (fan_in, fan_out))
            layer.weight.copy_(torch.tensor(drawn.T))
            layer.bias.copy_(torch.tensor(random_state.uniform(-bound, bound, fan_out)))
        layers.append(layer)
    return layers


def torch_loop(*, lr=0.1, batches_of_a_step=1, penalty=None, on_gradient=None, after_step=None):
    """Weights of the first layer after the plain training, with what a test adds to it."""
    layers = initial_weights([6, 7, 5, 1])
    net = torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1], torch.nn.Tanh(), layers[2])
    rows, target = torch.tensor(XR), torch.tensor(YR)[:, None]
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    for _ in range(3):
        for index in torch.arange(90).split(30 * batches_of_a_step):
            optimizer.zero_grad()
            loss = 0.5 * (net(rows[index]) - target[index]).square().mean()
            if penalty is not None:
                loss = loss + penalty([layer.weight for layer in layers]) / len(index)
            loss.backward()
            if on_gradient is not None:
                on_gradient(net.parameters())
            optimizer.step()
            if after_step is not None:
                after_step(layers)
    return layers[0].weight.detach().numpy().T


def renormed(layers):
    for layer in layers:
        layer.weight.data = torch.renorm(layer.weight.data, 2, 0, 0.9)


def elastic(weights):
    return sum(0.3 * 2.0 * w.abs().sum() + 0.7 * 2.0 * 0.5 * w.square().sum() for w in weights)


LOOPS = {
    "nothing": ({}, {}),
    "clip_norm": (
        {"clip_norm": 0.05},
        {"on_gradient": lambda p: torch.nn.utils.clip_grad_norm_(list(p), 0.05)},
    ),
    "clip_value": (
        {"clip_value": 0.01},
        {"on_gradient": lambda p: torch.nn.utils.clip_grad_value_(list(p), 0.01)},
    ),
    "max_norm": ({"max_norm": 0.9}, {"after_step": renormed}),
    "elastic net": ({"alpha": 2.0, "l1_ratio": 0.3}, {"penalty": elastic}),
    "accumulation": ({"accumulation_steps": 2}, {"batches_of_a_step": 2}),
    "linear scaling": ({"lr_scaling": "linear", "base_batch_size": 60}, {"lr": 0.05}),
    "square root": ({"lr_scaling": "sqrt", "base_batch_size": 120}, {"lr": 0.05}),
    "scaling of accumulated batches": (
        {"lr_scaling": "linear", "base_batch_size": 60, "accumulation_steps": 3},
        {"lr": 0.15, "batches_of_a_step": 3},
    ),
    "torch's own class": ({"optimizer": torch.optim.SGD}, {}),
    "own loss": ({"loss": lambda raw, y: 0.5 * (raw - y).square().sum(-1)}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOPS)
def test_training_equals_a_loop_in_torch(name):
    ours, theirs = LOOPS[name]
    model = MLPRegressor(**{**PLAIN, **ours}).fit(XR, YR)
    np.testing.assert_allclose(model.coefs_[0], torch_loop(**theirs), rtol=1e-9, atol=1e-12)


def test_the_loops_differ():
    assert len({torch_loop(**theirs).tobytes() for _, theirs in LOOPS.values()}) >= 8


def test_a_schedule_is_stretched_over_accumulated_steps():
    rates = MLPRegressor(
        **{**PLAIN, "accumulation_steps": 3, "schedule": "linear_warmup", "max_iter": 10}
    ).fit(XR, YR).history_["lr"]  # fmt: skip
    whole = MLPRegressor(
        **{**PLAIN, "batch_size": 90, "schedule": "linear_warmup", "max_iter": 10}
    ).fit(XR, YR).history_["lr"]  # fmt: skip
    np.testing.assert_allclose(rates, whole)


def test_lr_scaling_reaches_schedules_and_scikit_learns_rates():
    for options in ({"schedule": "cosine"}, {"solver": "sgd", "learning_rate": "invscaling"}):
        common = {**PLAIN, "optimizer": None, **options}
        scaled = MLPRegressor(**{**common, "lr_scaling": "linear", "base_batch_size": 15})
        double = MLPRegressor(**{**common, "learning_rate_init": 0.2})
        np.testing.assert_allclose(
            scaled.fit(XR, YR).history_["lr"], double.fit(XR, YR).history_["lr"]
        )


def test_averages_are_validated_and_kept():
    options = {**SHORT, "learning_rate_init": 0.03, "max_iter": 20}
    for averaging in ("ema", "swa", get_averaging("ema", decay=0.9)):
        model = MLPClassifier(**options, averaging=averaging, scoring="neg_log_loss")
        model.fit(X, Y, X_val=X[:50], y_val=Y[:50])
        plain = MLPClassifier(**options).fit(X, Y)
        assert not np.allclose(model.coefs_[0], plain.coefs_[0])
        np.testing.assert_allclose(model.loss_curve_, plain.loss_curve_)
        expected = -log_loss(Y[:50], model.predict_proba(X[:50]))
        assert model.validation_scores_[-1] == pytest.approx(expected, rel=1e-6)


def test_swa_is_the_mean_of_the_last_epochs():
    options = {**PLAIN, "max_iter": 4}
    model = MLPRegressor(**options, averaging=get_averaging("swa", start=0.5)).fit(XR, YR)
    late = [MLPRegressor(**{**options, "max_iter": n}).fit(XR, YR).coefs_[0] for n in (3, 4)]
    np.testing.assert_allclose(model.coefs_[0], np.mean(late, axis=0), rtol=1e-10)


def test_label_smoothing_trains_on_smoothed_labels():
    """One epoch of descent on soft targets, against the log-loss of these in torch."""
    model = MLPClassifier(
        (5,), "tanh", optimizer="sgd", learning_rate_init=0.5, batch_size=200, shuffle=False,
        max_iter=1, alpha=0.0, random_state=0, label_smoothing=0.2,
    ).fit(X, Y)  # fmt: skip
    layers = initial_weights([10, 5, 3])
    raw = layers[1](torch.tanh(layers[0](torch.tensor(X))))
    loss = torch.nn.functional.cross_entropy(raw, torch.tensor(Y), label_smoothing=0.2)
    assert model.loss_ == pytest.approx(loss.item())
    loss.backward()
    expected = layers[0].weight.detach() - 0.5 * layers[0].weight.grad
    np.testing.assert_allclose(model.coefs_[0], expected.numpy().T, rtol=1e-9)


@pytest.mark.parametrize("rows", [(X2, Y2), (X, Y), (XL, YL)], ids=["2", "3", "labels"])
def test_augmented_classifiers_train(rows):
    options = {**SHORT, "max_iter": 25, "learning_rate_init": 0.02}
    model = MLPClassifier(**options, label_smoothing=0.1, mixup=0.4, input_noise=0.1).fit(*rows)
    assert model.score(*rows) > 0.4
    again = clone(model).fit(*rows)
    np.testing.assert_array_equal(again.coefs_[0], model.coefs_[0])
    other = clone(model).set_params(random_state=1).fit(*rows)
    assert not np.array_equal(other.coefs_[0], model.coefs_[0])


def test_augmented_regressors_train():
    model = MLPRegressor(
        max_iter=150, learning_rate_init=0.01, random_state=0, mixup=0.2, input_noise=0.05
    ).fit(XR, YR)
    assert model.score(XR, YR) > 0.9


def test_augmentation_regularises():
    """Smoothed labels and mixed rows make predictions less sure of themselves."""
    options = {"max_iter": 60, "learning_rate_init": 0.02, "random_state": 0}
    plain = MLPClassifier(**options).fit(X, Y).predict_proba(X).max(axis=1).mean()
    for added in ({"label_smoothing": 0.3}, {"mixup": 1.0}, {"input_noise": 1.0}):
        proba = MLPClassifier(**options, **added).fit(X, Y).predict_proba(X)
        assert proba.max(axis=1).mean() < plain - 0.02


def test_none_and_zero_leave_the_stream_alone():
    zeros = MLPClassifier(**SHORT, label_smoothing=0.0, mixup=0.0, input_noise=0.0).fit(X, Y)
    assert zeros.loss_curve_ == MLPClassifier(**SHORT).fit(X, Y).loss_curve_


@pytest.mark.parametrize("added", [{"label_smoothing": 0.1}, {"mixup": 0.2}])
def test_losses_without_soft_targets_refuse_them(added):
    with pytest.raises(ValueError, match=r"which the loss 'hinge.*' does not take"):
        MLPClassifier(**SHORT, **added, loss="hinge").fit(X, Y)


def test_a_batch_that_fits_the_device():
    rng = np.random.default_rng(0)
    rows, y = rng.normal(size=(3000, 5)), rng.normal(size=3000)
    model = MLPRegressor(
        batch_size="fit_device", lr_scaling="linear", max_iter=2, random_state=0
    ).fit(rows, y)  # fmt: skip
    # The largest power of two that leaves an epoch 16 steps, small as the net is.
    expected = MLPRegressor(
        batch_size=128, learning_rate_init=0.001 * 128 / 200, max_iter=2, random_state=0
    ).fit(rows, y)  # fmt: skip
    assert model.loss_curve_ == expected.loss_curve_
