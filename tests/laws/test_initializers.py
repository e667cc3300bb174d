"""Laws that hold for every initializer."""

import math
import pickle

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.neural_network import MLPClassifier

from mlfund.initializers import (
    INITIALIZERS,
    fans,
    gain_of,
    gain_of_function,
    get_initializer,
)
from mlfund.nets.activations import ACTIVATIONS, get_activation

every_initializer = pytest.mark.parametrize("initializer", INITIALIZERS.values(), ids=INITIALIZERS)
OUT, IN = 150, 250


def filled(initializer, shape=(OUT, IN), seed=0, activation="relu", dtype=torch.float64):
    weight, bias = torch.full(shape, 9.0, dtype=dtype), torch.full(shape[:1], 9.0, dtype=dtype)
    initializer.init_(weight, bias, torch.Generator().manual_seed(seed), activation)
    return weight, bias


# Distribution of a weight of an (OUT, IN) layer before a rectifier.
UNIFORM_BOUND = {
    "xavier_uniform": math.sqrt(6 / (IN + OUT)),
    "he_uniform": math.sqrt(6 / IN),
    "glorot_sklearn": math.sqrt(6 / (IN + OUT)),
    "dirac": math.sqrt(1 / IN),
}
NORMAL_STD = {
    "small_random": 0.01,
    "xavier_normal": math.sqrt(2 / (IN + OUT)),
    "he_normal": math.sqrt(2 / IN),
}


def test_every_random_entry_has_its_distribution_tested_here():
    assert {*UNIFORM_BOUND, *NORMAL_STD, "zeros", "orthogonal"} == set(INITIALIZERS)


@pytest.mark.parametrize("name", UNIFORM_BOUND)
def test_uniform_weights_have_the_promised_distribution(name):
    weight = filled(INITIALIZERS[name])[0].numpy().ravel()
    bound = UNIFORM_BOUND[name]
    assert stats.kstest(weight, stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3
    assert np.abs(weight).max() <= bound


@pytest.mark.parametrize("name", NORMAL_STD)
def test_normal_weights_have_the_promised_distribution(name):
    weight = filled(INITIALIZERS[name])[0].numpy().ravel()
    assert stats.kstest(weight, stats.norm(0, NORMAL_STD[name]).cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", ["he_uniform", "he_normal", "orthogonal"])
def test_the_signal_keeps_its_size_through_twenty_rectified_layers(name):
    signal = torch.randn(500, 300, generator=torch.Generator().manual_seed(1)).double()
    before = signal.square().mean()
    for layer in range(20):
        weight, bias = filled(INITIALIZERS[name], (300, 300), seed=layer)
        signal = torch.relu(signal @ weight.T + bias)
    # Xavier would shrink it a million times, and chance moves it a few times.
    assert 0.1 < signal.square().mean() / before < 10


def test_dirac_filters_hand_their_input_on():
    weight, _ = filled(INITIALIZERS["dirac"], (7, 4, 3, 3))
    image = torch.randn(2, 4, 6, 5, dtype=torch.float64)
    out = torch.nn.functional.conv2d(image, weight, padding=1)
    torch.testing.assert_close(out[:, :4], image)
    assert weight[4:].unique().numel() == 3 * 4 * 9
    few, _ = filled(INITIALIZERS["dirac"], (2, 4, 3, 3))
    torch.testing.assert_close(torch.nn.functional.conv2d(image, few, padding=1), image[:, :2])


@pytest.mark.parametrize("activation", ["relu", "tanh", "identity"])
@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (50, 50)])
def test_orthogonal_weights_are_orthogonal(activation, shape):
    weight, _ = filled(INITIALIZERS["orthogonal"], shape, activation=activation)
    product = weight @ weight.T if shape[0] <= shape[1] else weight.T @ weight
    torch.testing.assert_close(product, gain_of(activation) ** 2 * torch.eye(min(shape)).double())


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gains_by_name_are_those_of_the_functions(activation):
    entry = ACTIVATIONS[activation]
    assert gain_of(activation) == pytest.approx(gain_of_function(entry.numpy_), rel=1e-11)
    # The mean of f(z)**2 over many normal draws, of the torch function this time.
    z = torch.randn(100_000, 1, generator=torch.Generator().manual_seed(0)).double()
    mean = entry.forward(z).square().mean().item()
    assert gain_of(entry) == pytest.approx(1 / math.sqrt(mean), rel=0.02)


def test_a_gain_follows_the_options_of_the_activation():
    assert gain_of(get_activation("leaky_relu", slope=0.5)) == pytest.approx(math.sqrt(2 / 1.25))
    assert gain_of(get_activation("leaky_relu", slope=1.0)) == pytest.approx(1.0)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", ["he_uniform", "he_normal"])
def test_he_has_the_variance_of_the_activation(name, activation):
    expected = gain_of(activation) ** 2 / 400
    for given in (activation, ACTIVATIONS[activation]):
        weight, _ = filled(INITIALIZERS[name], (200, 400), activation=given)
        assert weight.var().item() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", ["he_uniform", "he_normal", "orthogonal"])
def test_the_signal_keeps_its_size_through_six_layers_of_every_activation(name, activation):
    entry = ACTIVATIONS[activation]
    z = torch.randn(100, 200, generator=torch.Generator().manual_seed(1)).double()
    for layer in range(6):
        weight, bias = filled(INITIALIZERS[name], (200, 200), seed=layer, activation=entry)
        z = entry.forward(z) @ weight.T + bias
        assert 0.5 < z.square().mean() < 2


def test_an_unknown_activation_is_refused_by_name():
    with pytest.raises(ValueError, match="Did you mean 'relu'"):
        filled(INITIALIZERS["he_normal"], activation="rellu")


def test_a_function_of_your_own_fills_the_weights():
    function = torch.nn.init.trunc_normal_
    entry = get_initializer(function)
    weight, bias = filled(entry)
    expected = torch.empty(OUT, IN, dtype=torch.float64)
    function(expected, generator=torch.Generator().manual_seed(0))
    assert torch.equal(weight, expected)
    assert not bias.any()
    assert entry == get_initializer(entry) == pickle.loads(pickle.dumps(entry))


@pytest.mark.parametrize("function", [torch.nn.init.ones_, lambda weight: weight.normal_()])
def test_a_function_without_a_generator_is_seeded_for(function):
    before = torch.random.get_rng_state()
    weights = []
    for _ in range(2):
        weight = torch.empty(4, 3)
        get_initializer(function).init_(weight, None, torch.Generator().manual_seed(0))
        weights.append(weight)
    assert torch.equal(*weights)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_function_that_returns_its_weights_is_told_to_fill_them():
    def half(weight, generator=None):
        return torch.full_like(weight, 0.5)

    with pytest.raises(ValueError, match="must fill the tensor it is given in place"):
        filled(get_initializer(half))


@pytest.mark.parametrize("activation", ["logistic", "relu", "tanh", "identity"])
def test_glorot_sklearn_has_the_bounds_of_sklearn(activation):
    theirs = MLPClassifier(activation=activation)
    theirs._random_state = np.random.RandomState(0)
    coef, intercept = theirs._init_coef(IN, OUT, np.float64)
    weight, bias = filled(INITIALIZERS["glorot_sklearn"], activation=activation)
    assert stats.ks_2samp(weight.numpy().ravel(), coef.ravel()).pvalue > 1e-3
    assert stats.ks_2samp(bias.numpy(), intercept).pvalue > 1e-3
    factor = 2 if activation == "logistic" else 6
    assert bias.abs().max() <= math.sqrt(factor / (IN + OUT))


@every_initializer
def test_biases_start_at_zero_but_those_of_sklearn(initializer):
    _, bias = filled(initializer)
    assert bool((bias == 0).all()) == (initializer.name != "glorot_sklearn")


@every_initializer
def test_seed_decides_and_the_global_stream_is_left_alone(initializer):
    state = torch.get_rng_state()
    first, again, other = (filled(initializer, seed=seed)[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (initializer.name == "zeros")
    assert torch.equal(torch.get_rng_state(), state)


@every_initializer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 1), (7, 1), (1, 7), (8, 3, 5, 5), (4, 0)])
def test_any_shape_and_precision_is_filled_in_place(initializer, dtype, shape):
    weight, bias = filled(initializer, shape, dtype=dtype)
    assert weight.dtype == dtype
    assert weight.isfinite().all()
    assert (weight != 9.0).all()
    assert (bias != 9.0).all()


@every_initializer
def test_parameters_of_a_module_are_filled_without_a_gradient(initializer):
    layer = torch.nn.Linear(5, 4)
    initializer.init_(layer.weight, layer.bias, torch.Generator().manual_seed(0))
    assert layer.weight.requires_grad
    assert layer.weight.grad_fn is None
    no_bias = torch.nn.Linear(5, 4, bias=False)
    initializer.init_(no_bias.weight, no_bias.bias)


def test_convolutions_count_their_kernel():
    weight = torch.empty(16, 8, 3, 3)
    assert fans(weight) == (72, 144)
    INITIALIZERS["he_uniform"].init_(weight, generator=torch.Generator().manual_seed(0))
    assert math.sqrt(6 / 72) * 0.95 < weight.abs().max() <= math.sqrt(6 / 72)


@every_initializer
def test_a_vector_is_refused_with_the_reason(initializer):
    with pytest.raises(ValueError, match=r"at least 2 dimensions \(out, in\); got shape \(3,\)"):
        initializer.init_(torch.zeros(3))


@every_initializer
def test_entries_compare_hash_and_survive_pickling(initializer):
    again = pickle.loads(pickle.dumps(initializer))
    assert again == initializer
    assert hash(again) == hash(initializer)
    assert get_initializer(initializer.name) == initializer


def test_get_initializer_says_what_is_wrong():
    with pytest.raises(ValueError, match="Did you mean 'xavier_normal'"):
        get_initializer("xavier_norml")
    with pytest.raises(ValueError, match="std must be a finite number greater than 0"):
        get_initializer("small_random", std=0)
