"""A stack of nets is its members: outputs, gradients, dropout, and what is left after a drop."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from mlfund.nets.mlp import MLP
from mlfund.nets.stacked import StackedMLP

EVEN, UNEVEN = [slice(0, 2), slice(2, 4)], [slice(0, 1), slice(1, 4)]
ROWS = 6


def weights_of(sizes, n_replicas, seed=0):
    rng = np.random.default_rng(seed)
    coefs = [[rng.standard_normal(shape) for shape in pairwise(sizes)] for _ in range(n_replicas)]
    intercepts = [[rng.standard_normal(units) for units in sizes[1:]] for _ in range(n_replicas)]
    return coefs, intercepts


def stack(sizes, groups, **options):
    coefs, intercepts = weights_of(sizes, groups[-1].stop)
    net = StackedMLP(coefs, intercepts, groups=groups, **options)
    activation = options.get("activation", "relu")
    members = [MLP(w, b, activation=activation) for w, b in zip(coefs, intercepts, strict=True)]
    X = torch.from_numpy(np.random.default_rng(1).standard_normal((len(groups), ROWS, sizes[0])))
    return net, members, X


def rows_of_replicas(X, groups):
    return [X[g] for g, part in enumerate(groups) for _ in range(part.start, part.stop)]


@pytest.mark.parametrize("groups", [[slice(0, 3)], EVEN, UNEVEN, [slice(0, 1), slice(1, 2)]])
@pytest.mark.parametrize("sizes", [(5, 2), (5, 4, 1), (5, 4, 3, 2)])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_outputs_and_gradients_are_those_of_the_members(groups, sizes, activation):
    net, members, X = stack(sizes, groups, activation=activation)
    raw = net.forward(X)
    delta = torch.from_numpy(np.random.default_rng(2).standard_normal(raw.shape))
    net.backward(X, delta)
    for r, (member, rows) in enumerate(zip(members, rows_of_replicas(X, groups), strict=True)):
        expected = member(rows)
        torch.testing.assert_close(raw[r].t(), expected)
        expected.backward(delta[r].t())
        for mine, weight in zip(net.gradients.weights, member.weights, strict=True):
            torch.testing.assert_close(mine[r].t(), weight.grad)
        for mine, bias in zip(net.gradients.biases, member.biases, strict=True):
            torch.testing.assert_close(mine[r], bias.grad)


def test_fewer_rows_reuse_the_memory_of_more():
    net, members, X = stack((5, 4, 2), EVEN)
    net.forward(X)
    raw = net.forward(X[:, :2])
    torch.testing.assert_close(raw[3].t(), members[3](X[1, :2]))


def test_weights_come_back_as_they_were_given():
    coefs, intercepts = weights_of((5, 4, 2), 3)
    net = StackedMLP(coefs, intercepts, groups=[slice(0, 3)])
    for given, kept in zip(
        coefs[1] + intercepts[1], net.values.coefs(1) + net.values.intercepts(1), strict=True
    ):
        np.testing.assert_array_equal(given, kept)
        assert kept.flags.c_contiguous


def test_those_that_stay_are_untouched():
    net, members, X = stack((5, 4, 2), EVEN)
    net.keep(torch.tensor([0, 2, 3]), [slice(0, 1), slice(1, 3)])
    raw = net.forward(X)
    for r, (member, g) in enumerate([(0, 0), (2, 1), (3, 1)]):
        torch.testing.assert_close(raw[r].t(), members[member](X[g]))


def test_scores_of_some_replicas_come_without_dropout():
    net, members, X = stack((5, 4, 2), EVEN, dropout=np.full((1, 4), 0.5))
    raw = net.raw_scores(slice(1, 3), X[0])
    torch.testing.assert_close(raw[0].t(), members[1](X[0]))
    torch.testing.assert_close(raw[1].t(), members[2](X[0]))


def test_each_replica_drops_its_own_share():
    sizes, groups = (2, 400, 1), [slice(0, 3)]
    net = StackedMLP(
        [[np.ones((2, 400)), np.full((400, 1), 1 / 400)]] * 3,
        [[np.zeros(400), np.zeros(1)]] * 3,
        groups=groups,
        activation="identity",
        dropout=np.array([[0.0, 0.2, 0.7]]),
        generator=torch.Generator().manual_seed(0),
    )
    X = torch.ones(1, 500, sizes[0], dtype=torch.float64)
    raw = net.forward(X)[:, 0] / 2
    assert (raw[0] == raw[0, 0]).all()
    # The mean over units of masks of mean 1 and variance rate / (1 - rate).
    torch.testing.assert_close(raw.mean(1), torch.ones(3, dtype=torch.float64), rtol=0, atol=0.02)
    spread = (raw[1:].var(1) * 400).numpy()
    np.testing.assert_allclose(spread, [0.2 / 0.8, 0.7 / 0.3], rtol=0.25)
    net.backward(X, torch.ones(3, 1, 500, dtype=torch.float64))
    # What went forward through a unit goes backward through it: the same masks.
    kept = net.gradients.weights[0][:, :, 0].sum(1) / 500
    torch.testing.assert_close(kept, raw.mean(1))
