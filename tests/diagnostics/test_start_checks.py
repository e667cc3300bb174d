"""Checks of a network before its first step, against networks made to fail them."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import make_classification
from torch import nn

from mlfund import MLPClassifier, MLPRegressor, NeuralClassifier
from mlfund.diagnostics import _start_checks as checks
from mlfund.diagnostics._material import find_network, prepare
from mlfund.initializers import get_initializer

X, Y = make_classification(300, 6, n_informative=4, n_classes=3, random_state=0)
X = (X / X.std(0)).astype(np.float32)


def start(model, y=Y):
    return prepare(find_network(model), X, y, fraction=0.25, max_rows=None, random_state=0).start


def own(module, **options):
    return start(NeuralClassifier(module=module, random_state=0, **options))


def test_the_first_loss_of_a_network_that_answers_zero_is_log_k():
    finding = checks.check_initial_loss(start(MLPClassifier(initializer="zeros", random_state=0)))
    assert finding.status == "pass"
    assert finding.evidence["loss"] == pytest.approx(math.log(3), rel=1e-5)
    shares = np.bincount(start(MLPClassifier()).train.y.numpy()) / 225
    entropy = -(shares * np.log(shares)).sum()
    assert finding.evidence["loss of the best constant"] == pytest.approx(entropy, rel=1e-4)


def test_the_best_constant_of_a_real_target_is_its_mean():
    y = X[:, 0] + 3
    finding = checks.check_initial_loss(start(MLPRegressor(random_state=0), y))
    train = start(MLPRegressor(random_state=0), y).train.y.numpy()
    assert finding.evidence["loss of the best constant"] == pytest.approx(train.var() / 2, rel=1e-4)


@pytest.mark.parametrize(("std", "status"), [(0.1, "pass"), (0.5, "warn"), (4.0, "fail")])
def test_a_network_that_is_sure_of_the_unseen_is_graded(std, status):
    model = MLPClassifier(initializer=get_initializer("small_random", std=std), random_state=0)
    assert checks.check_initial_loss(start(model)).status == status


@pytest.mark.parametrize("initializer", ["he_normal", "xavier_uniform", "orthogonal", None])
def test_signals_of_proper_initializers_keep_their_size(initializer):
    model = MLPClassifier((50,) * 4, initializer=initializer, random_state=0)
    at_start = start(model)
    assert checks.check_initial_activations(at_start).status == "pass"
    assert checks.check_initial_gradients(at_start).status == "pass"
    assert checks.check_dead_units_at_start(at_start).status == "pass"


def test_signals_that_die_out_or_explode_over_depth_fail():
    for std, word in ((0.01, "shrinks"), (1.0, "grows")):
        entry = get_initializer("small_random", std=std)
        model = MLPClassifier((50,) * 5, initializer=entry, random_state=0)
        finding = checks.check_initial_activations(start(model))
        assert finding.status == "fail"
        assert word in finding.text


def test_saturated_units_are_seen():
    entry = get_initializer("small_random", std=5.0)
    model = MLPClassifier((50,), activation="tanh", initializer=entry, random_state=0)
    assert checks.check_initial_activations(start(model)).unit == "% saturated"


def test_gradients_that_vanish_through_logistic_layers_are_seen():
    model = MLPClassifier((40,) * 8, activation="logistic", random_state=0)
    finding = checks.check_initial_gradients(start(model))
    assert finding.status in ("warn", "fail")
    ratios = list(finding.evidence["gradient / weight by layer"].values())
    assert ratios[0] < 1e-3 * ratios[-1]


def test_equal_weights_are_named():
    finding = checks.check_initial_gradients(
        start(MLPClassifier(initializer="zeros", random_state=0))
    )
    assert (finding.status, finding.fault) == ("fail", "wrong initialisation")


class Dead(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 40), nn.Linear(40, 3)
        with torch.no_grad():
            self.first.bias[:20] = -100

    def forward(self, X):
        return self.last(torch.relu(self.first(X)))


def test_dead_units_of_a_module_are_counted():
    finding = checks.check_dead_units_at_start(own(Dead))
    assert (finding.status, finding.number) == ("fail", 50)
    assert "module.first" in finding.text


class OverRows(nn.Module):
    """Softmax over the wrong axis."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, X):
        return torch.softmax(self.layer(X), dim=0)


class Centred(nn.Module):
    """Subtracts the mean of the batch while it trains."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, X):
        return self.layer(X - X.mean(0) if self.training else X)


@pytest.mark.parametrize(("module", "mode"), [(OverRows, "evaluation"), (Centred, "training")])
def test_a_leak_between_the_rows_of_a_batch_is_seen(module, mode):
    finding = checks.check_batch_independence(own(module))
    assert finding.status == "fail"
    assert f"In {mode} mode" in finding.text


def normalised():
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))


def test_batch_statistics_and_dropout_in_training_are_no_leak():
    for at_start in (
        own(normalised),
        start(MLPClassifier(normalization="batch", dropout=0.5, random_state=0)),
        start(MLPClassifier(dropout=0.5, random_state=0)),
    ):
        assert checks.check_batch_independence(at_start).status == "pass"
        assert checks.check_deterministic_evaluation(at_start).status == "pass"


class AlwaysDrops(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, X):
        return F.dropout(self.layer(X), 0.5)


class CountsAlways(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, X):
        self.seen += len(X)
        return self.layer(X)


@pytest.mark.parametrize("module", [AlwaysDrops, CountsAlways])
def test_an_evaluation_mode_that_changes_something_is_seen(module):
    finding = checks.check_deterministic_evaluation(own(module))
    assert (finding.status, finding.fault) == ("fail", "evaluation mode that is not")


def test_the_checks_leave_the_network_as_it_was():
    at_start = own(normalised)
    before = {name: value.clone() for name, value in at_start.net.module_.state_dict().items()}
    state = torch.get_rng_state()
    for check in (
        checks.check_initial_loss,
        checks.check_initial_activations,
        checks.check_initial_gradients,
        checks.check_batch_independence,
        checks.check_deterministic_evaluation,
    ):
        check(at_start)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in at_start.net.module_.state_dict().items():
        assert torch.equal(value, before[name]), name
