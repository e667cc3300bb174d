from itertools import pairwise

import numpy as np
import pytest
import torch

from mlfund._engine.data import Batch
from mlfund._engine.objective import Objective
from mlfund._engine.parameters import FlatParameters
from mlfund.losses import get_loss
from mlfund.nets.activations import ACTIVATIONS
from mlfund.nets.mlp import MLP

TARGETS = {
    "log_loss_binary": (1, lambda rng: rng.integers(2, size=(7, 1)).astype(float)),
    "log_loss_multinomial": (3, lambda rng: rng.integers(3, size=7)),
    "log_loss_multilabel": (3, lambda rng: rng.integers(2, size=(7, 3)).astype(float)),
    "squared_error": (2, lambda rng: rng.normal(size=(7, 2))),
    "poisson": (2, lambda rng: rng.poisson(2.0, size=(7, 2)).astype(float)),
    "huber": (2, lambda rng: rng.normal(size=(7, 2))),
    "hinge": (1, lambda rng: rng.integers(2, size=(7, 1)).astype(float)),
}


def problem(loss_name, activation="tanh", hidden=(4, 5), weighted=True, dropout=0.0, seed=0):
    rng = np.random.default_rng(seed)
    width, make_target = TARGETS[loss_name]
    sizes = [3, *hidden, width]
    pairs = list(pairwise(sizes))
    net = MLP(
        [rng.normal(size=pair) for pair in pairs],
        [rng.normal(size=pair[1]) for pair in pairs],
        activation=activation,
        dropout=dropout,
        generator=torch.Generator().manual_seed(0),
    )
    weight = torch.from_numpy(rng.uniform(0.5, 2, size=7)) if weighted else None
    total = 7.0 if weight is None else float(weight.sum())
    y = torch.from_numpy(make_target(rng))
    batch = Batch.of(torch.from_numpy(rng.normal(size=(7, 3))), y, weight, total)
    return net, Objective(get_loss(loss_name), width), batch


def autograd(net, objective, batch):
    loss = objective(net(batch[0]), batch)
    return loss.item(), torch.autograd.grad(loss, list(net.parameters()))


@pytest.mark.parametrize("loss_name", TARGETS)
@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_is_autograds_for_every_loss(loss_name, weighted):
    net, objective, batch = problem(loss_name, weighted=weighted)
    expected, gradients = autograd(net, objective, batch)
    FlatParameters(net.parameters())
    value, raw = net.backprop(objective.with_gradient)(batch)
    assert value.item() == pytest.approx(expected, rel=1e-12)
    assert not raw.requires_grad
    for parameter, gradient in zip(net.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(), (4,), (4, 5, 6)])
def test_gradient_is_autograds_for_every_activation(activation, hidden):
    net, objective, batch = problem("log_loss_multinomial", activation, hidden)
    _, gradients = autograd(net, objective, batch)
    FlatParameters(net.parameters())
    net.backprop(objective.with_gradient)(batch)
    for parameter, gradient in zip(net.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-12)


def test_gradient_is_autograds_under_dropout():
    net, objective, batch = problem("squared_error", "relu", dropout=0.4)
    _, gradients = autograd(net, objective, batch)
    net.generator.manual_seed(0)
    FlatParameters(net.parameters())
    net.backprop(objective.with_gradient)(batch)
    for parameter, gradient in zip(net.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-12)


def test_a_smaller_batch_after_a_larger_one():
    net, objective, batch = problem("log_loss_binary", weighted=False)
    small = Batch.of(batch[0][:3], batch[1][:3], None, 3.0)
    _, gradients = autograd(net, objective, small)
    FlatParameters(net.parameters())
    backprop = net.backprop(objective.with_gradient)
    backprop(batch)
    backprop(small)
    for parameter, gradient in zip(net.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_numpy_twin_of_an_activation(activation):
    entry = ACTIVATIONS[activation]
    z = np.linspace(-3, 3, 13)
    expected = entry.forward(torch.from_numpy(z)).numpy()
    twin = z.copy()
    entry.numpy_(twin)
    np.testing.assert_allclose(twin, expected, rtol=1e-12)


def test_dropout_keeps_the_mean_and_is_off_in_evaluation():
    net = MLP([np.eye(1), np.eye(1)], [np.ones(1), np.zeros(1)], activation="identity", dropout=0.3)
    net.generator = torch.Generator().manual_seed(0)
    X = torch.zeros(20_000, 1, dtype=torch.float64)
    assert net(X).mean().item() == pytest.approx(1.0, abs=0.03)
    assert set(net.eval()(X).ravel().tolist()) == {1.0}


def test_flat_parameters_share_memory_and_split_weights_from_biases():
    net, *_ = problem("squared_error")
    before = [parameter.detach().clone() for parameter in net.parameters()]
    flat = FlatParameters(net.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert len(flat.weights) == sum(w.numel() for w in net.weights)
    snapshot = flat.snapshot()
    flat.weights.zero_()
    assert not any(w.any() for w in net.weights)
    assert all(b.any() for b in net.biases)
    flat.restore(snapshot)
    assert torch.equal(net.weights[0], before[0])
    flat.flat.detach()[0] = torch.nan
    assert not flat.is_finite()
