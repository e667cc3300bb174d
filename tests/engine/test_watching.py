import numpy as np
import pytest
import torch
from torch import nn

from mlfund._engine.watching import LayerWatch
from mlfund.nets.mlp import MLP


def seen(module, X):
    with LayerWatch(module) as watch:
        module(X)
    return watch.layers


def test_an_mlp_is_seen_layer_by_layer():
    rng = np.random.default_rng(0)
    net = MLP(
        [rng.normal(size=(3, 5)), rng.normal(size=(5, 4)), rng.normal(size=(4, 2))],
        [np.zeros(5), np.zeros(4), np.zeros(2)],
        activation="tanh",
    )
    X = torch.from_numpy(rng.normal(size=(7, 3)))
    layers = seen(net, X)
    assert [layer.name for layer in layers] == ["weights.0", "weights.1", "weights.2"]
    assert [layer.activation for layer in layers] == ["tanh", "tanh", None]
    first = X @ net.weights[0] + net.biases[0]
    torch.testing.assert_close(layers[0].output, first)
    torch.testing.assert_close(layers[0].signal, first.tanh())
    torch.testing.assert_close(layers[1].fed, first.tanh())


class Mixed(nn.Module):
    """Layers as modules, as functions and as bare parameters."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.bare = nn.Parameter(torch.ones(2, 4))
        self.lstm = nn.LSTM(2, 3, batch_first=True)

    def forward(self, X):
        hidden = self.norm(self.conv(X)).relu().amax((2, 3)) @ self.bare.t()
        return self.lstm(hidden[:, None])[0][:, 0]


def test_layers_of_any_kind_are_seen():
    layers = seen(Mixed(), torch.randn(6, 1, 5, 5))
    assert [layer.name for layer in layers] == ["conv", "norm", "bare", "lstm.weight_ih_l0"]
    assert [layer.kind for layer in layers][:2] == ["conv2d", "batch_norm"]
    assert layers[1].activation == "relu"
    # One column for each channel.
    by_unit = layers[1].by_unit(layers[1].signal)
    assert by_unit.shape == (6 * 3 * 3, 4)
    torch.testing.assert_close(by_unit.amax(0), layers[1].signal.amax((0, 2, 3)))


def test_listeners_are_told_at_once_and_outputs_stay_the_same():
    net = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 1))
    X = torch.randn(5, 3)
    told = []
    with LayerWatch(net, on_layer=lambda layer: told.append((layer.name, layer.activation))):
        watched = net(X)
    assert told == [("0", None), ("0", "gelu"), ("2", None)]
    assert torch.equal(watched, net(X))


def test_products_without_parameters_are_no_layers():
    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, X):
            return torch.relu(X @ X.t()) @ X * self.scale

    assert seen(Product(), torch.randn(4, 3)) == []


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2")])
def test_errors_of_a_module_come_through(error):
    class Broken(nn.Module):
        def forward(self, X):
            raise error

    with pytest.raises(RuntimeError, match="mat1"):
        seen(Broken(), torch.ones(2, 3))
