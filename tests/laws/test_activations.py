"""Laws that hold for every activation."""

import math
import pickle
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy import special

from mlfund.nets.activations import ACTIVATIONS, Activation, get_activation
from mlfund.nets.stages import activation_stage

# In float64, written down a second time.
FORMULAS = {
    "identity": lambda z: z,
    "logistic": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": lambda z: (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z)),
    "relu": lambda z: np.where(z > 0, z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "prelu": lambda z: np.where(z > 0, z, 0.25 * z),
    "elu": lambda z: np.where(z > 0, z, np.exp(z) - 1),
    "selu": lambda z: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * (np.exp(z) - 1)),
    "gelu": lambda z: z * 0.5 * (1 + special.erf(z / math.sqrt(2))),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "mish": lambda z: z * np.tanh(np.log(1 + np.exp(z))),
}
WITH_OPTIONS = [
    *ACTIVATIONS.values(),
    get_activation("leaky_relu", slope=0.0),
    get_activation("leaky_relu", slope=1.5),
    get_activation("prelu", slope=0.0),
    get_activation("elu", alpha=0.3),
]
every_activation = pytest.mark.parametrize("entry", WITH_OPTIONS, ids=repr)
POINTS = np.linspace(-6, 6, 241)[np.arange(241) != 120]  # kinks have no derivative


@dataclass(frozen=True)
class Sine(Activation):
    """A user's own."""

    name: ClassVar[str] = "sine"

    def forward(self, z, slope=None):
        return torch.sin(z)

    def numpy_(self, z, slope=None):
        np.sin(z, out=z)


def test_every_activation_has_a_formula_here():
    assert set(FORMULAS) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_forward_and_numpy_are_the_formula(name, dtype):
    z = POINTS.astype(dtype)
    expected = FORMULAS[name](z.astype(np.float64))
    tolerance = 1e-6 if dtype == np.float32 else 1e-13
    forward = ACTIVATIONS[name].forward(torch.from_numpy(z)).numpy()
    ACTIVATIONS[name].numpy_(z)
    assert forward.dtype == z.dtype == dtype
    np.testing.assert_allclose(forward, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(z, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"identity"}))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_inputs_give_no_warning_and_no_nan(name, dtype):
    z = np.array([-1e30, -800.0, -90.0, 0.0, 90.0, 800.0, 1e30], dtype=dtype)
    ours = z.copy()
    ACTIVATIONS[name].numpy_(ours)
    assert np.isfinite(ours).all()
    theirs = ACTIVATIONS[name].forward(torch.from_numpy(z)).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-30)


@every_activation
@pytest.mark.parametrize("shape", [(240, 1), (60, 4)])
def test_the_stage_is_autograds(entry, shape):
    z = torch.from_numpy(POINTS.reshape(shape)).requires_grad_()
    slope = None
    if entry.learned:
        slope = torch.linspace(-0.5, 0.7, shape[1], dtype=torch.float64).requires_grad_()
        slope.grad = torch.full_like(slope, torch.nan)
    delta = torch.randn(shape, generator=torch.Generator().manual_seed(0)).double()
    output = entry.forward(z, slope)
    inputs = [z] if slope is None else [z, slope]
    expected = torch.autograd.grad(output, inputs, delta)
    stage = activation_stage(entry, slope)
    with torch.no_grad():
        torch.testing.assert_close(stage.forward(z.detach().clone(), None), output.detach())
        gradient = stage.backward(delta.clone())
    torch.testing.assert_close(gradient, expected[0], rtol=1e-10, atol=1e-12)
    if slope is not None:
        torch.testing.assert_close(slope.grad, expected[1], rtol=1e-10, atol=1e-12)


def test_a_function_of_your_own_needs_no_derivative():
    test_the_stage_is_autograds(Sine(), (60, 4))
    z = torch.linspace(-3, 3, 7)
    torch.testing.assert_close(Sine().forward_(z.clone()), torch.sin(z))
    # E sin(z)**2 of a standard normal is (1 - exp(-2)) / 2.
    assert Sine().gain == pytest.approx(1 / math.sqrt((1 - math.exp(-2)) / 2), rel=1e-12)


def test_selu_keeps_a_standard_normal_signal_standard():
    z = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0)).double()
    output = ACTIVATIONS["selu"].forward(z)
    assert output.mean().item() == pytest.approx(0, abs=0.005)
    assert output.var().item() == pytest.approx(1, abs=0.005)


@every_activation
def test_entries_compare_hash_and_survive_pickling(entry):
    again = pickle.loads(pickle.dumps(entry))
    assert again == entry
    assert hash(again) == hash(entry)
    assert get_activation(entry) == entry


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_names_are_those_of_the_table(name):
    assert ACTIVATIONS[name].name == name
    assert get_activation(name) is ACTIVATIONS[name]


def test_get_activation_says_what_is_wrong():
    with pytest.raises(ValueError, match="Did you mean 'leaky_relu'"):
        get_activation("leakyrelu")
    with pytest.raises(ValueError, match="'relu' takes no options; got 'slope'"):
        get_activation("relu", slope=0.1)
    with pytest.raises(ValueError, match="slope must be a finite number at least 0; got -1"):
        get_activation("leaky_relu", slope=-1)
    with pytest.raises(ValueError, match="alpha must be a finite number greater than 0; got 0"):
        get_activation("elu", alpha=0)
