"""Where a training broke down, found by replaying its epoch from the last good one."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback
from torch import nn

from mlfund import MLPRegressor, NeuralRegressor
from mlfund._engine import divergence
from mlfund._engine.batches import ShuffledOrder
from mlfund._engine.data import DeviceRows
from mlfund._engine.divergence import Breakdown, DivergenceGuard, explain
from mlfund._engine.net import Engine
from mlfund._engine.objective import Objective
from mlfund._engine.parameters import FlatOptimizer
from mlfund.losses import get_loss
from mlfund.nets.mlp import MLP
from mlfund.optimizers import get_optimizer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = X[:, :1] - X[:, 1:2]


def network(dropout=0.0):
    rng = np.random.RandomState(1)
    sizes = [(4, 8), (8, 6), (6, 1)]
    weights = [rng.normal(size=size) / 2 for size in sizes]
    generator = torch.Generator().manual_seed(3) if dropout else None
    return MLP(weights, [np.zeros(s[1]) for s in sizes], dropout=dropout, generator=generator)


def train(*callbacks, module=None, optimizer="adam", lr=0.01, epochs=6, rows=None, **options):
    guard = DivergenceGuard()
    engine = Engine(
        network() if module is None else module,
        Objective(get_loss("squared_error"), 1),
        optimizer=FlatOptimizer(get_optimizer(optimizer).build),
        lr=lr,
        batch_size=16,
        max_epochs=epochs,
        order=ShuffledOrder(60, np.random.RandomState(0)),
        callbacks=[*callbacks, guard],
        **options,
    )
    engine.partial_fit(DeviceRows(X, Y) if rows is None else rows)
    return guard, engine


class BreakWeight:
    """A rule that makes one weight NaN before one step."""

    def __init__(self, step, layer):
        self.step, self.layer = step, layer

    def __call__(self, net):
        if net.n_steps_ == self.step:
            net.module_.weights[self.layer].detach()[0, 0] = torch.nan


@pytest.mark.parametrize(("step", "layer"), [(2, 0), (9, 1), (12, 2)])
def test_the_step_and_the_layer_are_named(step, layer):
    guard, _ = train(rules=[BreakWeight(step, layer)])
    epoch, place = divmod(step - 1, 4)
    assert guard.bad_epoch_ == epoch + 1
    assert guard.breakdown_.step == place + 1
    assert guard.breakdown_.n_steps == 4
    assert guard.breakdown_.what == "weight"
    assert guard.breakdown_.layer == f"weights.{layer}"


def test_a_row_that_breaks_the_loss_is_found_in_the_batch_it_came_in():
    y = Y.copy()
    y[17] = math.inf
    guard, engine = train(rows=DeviceRows(X, y), epochs=1)
    order = engine.iterator_train__draw_order.index
    assert guard.breakdown_.what == "loss"
    assert guard.breakdown_.step == 1 + int(np.flatnonzero(order == 17)[0]) // 16


class Logarithm(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 1)

    def forward(self, X):
        return self.last(torch.log(self.first(X)))


def test_a_function_between_layers_is_told_from_a_layer():
    guard, _ = train(module=Logarithm().double())
    assert (guard.breakdown_.what, guard.breakdown_.layer) == ("input", "last")
    assert "logarithm" in explain(guard, DeviceRows(X, Y))


class RecordRaw(Callback):
    """Keep the training losses of the batches of each epoch."""

    def __init__(self):
        self.losses = []

    def on_epoch_begin(self, net, **kwargs):
        self.losses.append([])

    def on_batch_end(self, net, loss=None, training=None, **kwargs):
        if training:
            self.losses[-1].append(float(loss.detach()))


@pytest.mark.parametrize("optimizer", ["adam", "momentum", "adagrad", "rmsprop"])
def test_the_replay_is_the_epoch_again_bit_for_bit(optimizer, monkeypatch):
    replayed = []
    watched = divergence._watched_step

    def listen(net, batch, *args):
        with torch.no_grad():
            state = net.module_.generator.get_state()
            replayed.append(float(net.criterion_(net.module_(batch[0]), batch)))
            net.module_.generator.set_state(state)
        return watched(net, batch, *args)

    monkeypatch.setattr(divergence, "_watched_step", listen)
    recorder = RecordRaw()
    rules = [BreakWeight(16, 2)]
    guard, _ = train(
        recorder, module=network(dropout=0.4), optimizer=optimizer, rules=rules, epochs=9
    )
    assert guard.bad_epoch_ == 4
    assert guard.breakdown_.step == 4
    assert replayed == recorder.losses[3]


def test_the_good_weights_come_back_after_the_replay():
    _, broken = train(rules=[BreakWeight(11, 0)])
    _, short = train(epochs=2)
    for ours, theirs in zip(broken.module_.coefs(), short.module_.coefs(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_explosion_names_the_layer_that_grew():
    guard, _ = train(optimizer="sgd", lr=5.0, epochs=3)
    assert guard.breakdown_.what in ("growth", "output", "weight", "loss")
    assert "learning rate, 5," in explain(guard, DeviceRows(X, Y))


def test_causes_in_their_order():
    guard = DivergenceGuard()
    guard.bad_lr_ = 0.5
    assert "X holds values up to" in explain(guard, DeviceRows(X * 1e6, Y * 1e6))
    assert "y holds values up to" in explain(guard, DeviceRows(X, Y * 1e6))
    assert "learning rate, 0.5" in explain(guard, DeviceRows(X, Y))
    guard.breakdown_ = Breakdown(3, 4, "output", "last", math.nan, 2.0)
    assert "in step 3 of 4 the output of layer last became NaN" in explain(guard, DeviceRows(X, Y))


def test_the_warning_of_fit_names_epoch_step_layer_cause_and_cure():
    model = MLPRegressor(
        hidden_layer_sizes=(20, 20), solver="sgd", learning_rate_init=5, random_state=0
    )
    with pytest.warns(ConvergenceWarning, match="diverged") as caught:
        model.fit(X, Y.ravel())
    text = str(caught[0].message)
    for part in ("in epoch ", "in step ", "layer weights.", "learning rate, 5,", "clip_norm"):
        assert part in text
    assert np.isfinite(model.coefs_[0]).all()


def test_a_module_that_makes_nan_at_once_raises_with_its_layer():
    model = NeuralRegressor(module=Logarithm, random_state=0)
    with pytest.raises(ValueError, match=r"epoch 1: in step 1 .* layer module\.last became NaN"):
        model.fit(X.astype(np.float32), Y.ravel().astype(np.float32))


def test_random_streams_outside_are_left_alone():
    state = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MLPRegressor(solver="sgd", learning_rate_init=5, dropout=0.2, random_state=0)
        model.fit(X, Y.ravel())
    assert torch.equal(torch.get_rng_state(), state)
