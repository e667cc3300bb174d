"""Modules of one's own that are MLPs train in stacks, as fits of clones; others say why not."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mlfund import NeuralClassifier, NeuralRegressor
from mlfund._check import seed_from
from mlfund.model_selection._families import UnstackableError
from mlfund.model_selection._mlp_chain import NotAChainError, chain_of
from mlfund.model_selection._mlp_family import MLPFamily
from tests.mlp_data import X2, XR, Y2, YR, X, Y
from tests.model_selection.mlp_stacks import alone, rows_of, stacked

# What a fit seeds torch with that has random_state=0, as the refusal tries it.
FIRST_SEED = seed_from(np.random.RandomState(0))
SHORT = {"max_iter": 10, "random_state": 0, "batch_size": 32, "n_iter_no_change": 20}


class Net(nn.Module):
    """Two hidden layers with ReLU, written as people write them."""

    def __init__(self, n_features, n_outputs, hidden=6, dropout=0.0):
        super().__init__()
        self.last = nn.Linear(hidden, n_outputs)
        self.first = nn.Linear(n_features, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.drop = nn.Dropout(dropout)

    def forward(self, rows):
        hidden = self.drop(F.relu(self.first(rows)))
        return self.last(torch.relu(self.second(hidden)))


class Residual(Net):
    def forward(self, rows):
        hidden = F.relu(self.first(rows))
        return self.last(F.relu(self.second(hidden)) + hidden)


class OnlyInTraining(Net):
    def forward(self, rows):
        hidden = torch.tanh(self.first(rows)) if self.training else F.relu(self.first(rows))
        return self.last(hidden)


def assert_as_alone(candidates, rows):
    found = stacked(candidates, rows)
    for place, models in found.items():
        _, test = rows.splits[place]
        raw = models.raw(test)
        for position, candidate in enumerate(candidates):
            expected, own = alone(candidate, rows, place), models.estimator(position)
            assert own.n_iter_ == expected.n_iter_
            np.testing.assert_allclose(own.loss_curve_, expected.loss_curve_, rtol=1e-9)
            np.testing.assert_allclose(raw[position], expected._raw(rows.X[test]), atol=1e-9)
            np.testing.assert_allclose(own._raw(rows.X), expected._raw(rows.X), atol=1e-9)
            assert not set(vars(expected)) - set(vars(own))


def test_classes():
    candidates = [
        NeuralClassifier(Net, **SHORT, learning_rate_init=rate, alpha=alpha, max_norm=bound)
        for rate, alpha, bound in ((0.001, 0.0, None), (0.02, 0.1, 0.5))
    ]
    assert_as_alone(candidates, rows_of(X, Y))


def test_early_stopping_of_two_classes():
    net = nn.Sequential(nn.Linear(10, 5), nn.Tanh(), nn.Linear(5, 1))
    candidates = [
        NeuralClassifier(net, **SHORT, early_stopping=True, optimizer=name)
        for name in (None, "adamw", "sgd")
    ]
    assert_as_alone(candidates, rows_of(X2, Y2))


def one_layer(n_features):
    return nn.Linear(n_features, 1)


def test_values():
    candidates = [
        NeuralRegressor(one_layer, **SHORT, learning_rate_init=rate) for rate in (0.01, 0.1)
    ]
    assert_as_alone(candidates, rows_of(XR, YR))


def test_sizes_of_the_module_make_stacks_of_their_own():
    family = MLPFamily()
    keys = {
        family.group_key(NeuralClassifier(Net, module_params={"hidden": hidden}))
        for hidden in (3, 3, 4)
    }
    assert len(keys) == 2


def test_dropout_of_the_module_is_stacked():
    candidate = NeuralClassifier(Net, module_params={"dropout": 0.9}, **SHORT)
    dropped = stacked([candidate], rows_of(X, Y))[0].estimator(0)
    plain = alone(NeuralClassifier(Net, **SHORT), rows_of(X, Y), 0)
    assert dropped.loss_ > plain.loss_
    # and out of training nothing is dropped
    assert (dropped.predict(X) == dropped.predict(X)).all()


def test_masks_of_the_module_depend_on_the_seed():
    net = nn.Sequential(nn.Linear(10, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 3))

    def losses(seed):
        # All else is the same for all seeds.
        candidate = NeuralClassifier(net, **SHORT | {"random_state": seed}, shuffle=False)
        return stacked([candidate], rows_of(X, Y))[0].estimator(0).loss_curve_

    assert losses(0) == losses(0)
    assert losses(0) != losses(1)


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (Residual(10, 3), "one layer after another"),
        (OnlyInTraining(10, 3), "something else in training"),
        (nn.Sequential(nn.Linear(10, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)), "BatchNorm1d"),
        (nn.Sequential(nn.Linear(10, 4), nn.Linear(4, 3)), "do not take turns"),
        (nn.Sequential(nn.Linear(10, 3), nn.ReLU()), "end with a linear layer"),
        (nn.Sequential(nn.Dropout(0.1), nn.Linear(10, 3)), "dropout stands elsewhere"),
        (nn.Sequential(nn.Linear(10, 3, bias=False)), "no bias"),
        (
            nn.Sequential(nn.Linear(10, 4), nn.ReLU(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)),
            "activations differ",
        ),
        (nn.Sequential(nn.Linear(10, 4), nn.PReLU(), nn.Linear(4, 3)), "PReLU"),
    ],
)
def test_other_modules_are_fitted_by_themselves(module, why):
    with pytest.raises(NotAChainError, match=why):
        chain_of(module)
    reason = MLPFamily().refusal(NeuralClassifier(module), rows_of(X, Y))
    assert why in reason


def test_hooks_are_heeded():
    net = nn.Sequential(nn.Linear(10, 3))
    net.register_forward_hook(lambda module, given, out: out * 2)
    with pytest.raises(NotAChainError, match="hooks"):
        chain_of(net)


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ({"module_output": "proba"}, "returns probabilities"),
        ({"keep_integers": True}, "integers"),
        ({"module_params": {"none_such": 1}}, "fit refuses its module"),
    ],
)
def test_other_settings_are_fitted_by_themselves(setting, why):
    assert why in MLPFamily().refusal(NeuralClassifier(Net, **setting), rows_of(X, Y))


def test_two_scores_for_two_classes():
    net = nn.Sequential(nn.Linear(10, 2))
    assert "two scores" in MLPFamily().refusal(NeuralClassifier(net), rows_of(X2, Y2))


def test_modules_that_change_with_the_seed_are_left_alone():
    def sometimes(n_features, n_outputs):
        if torch.initial_seed() == FIRST_SEED:
            return nn.Linear(n_features, n_outputs)
        return nn.Sequential(nn.Linear(n_features, n_outputs), nn.ReLU())

    candidate = NeuralClassifier(sometimes, **SHORT | {"random_state": 3})
    family, rows = MLPFamily(), rows_of(X, Y)
    assert family.refusal(candidate, rows) is None
    with pytest.raises(UnstackableError, match="not the same for all seeds"):
        list(family.train([candidate], rows, memory_limit=None, report=None))
