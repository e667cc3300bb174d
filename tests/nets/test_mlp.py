from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlfund._engine.data import Batch
from mlfund._engine.objective import Objective
from mlfund._engine.parameters import FlatParameters
from mlfund.losses import get_loss
from mlfund.nets.activations import ACTIVATIONS, get_activation
from mlfund.nets.mlp import MLP
from mlfund.nets.normalisation import NORMALIZATIONS, get_normalization
from mlfund.nets.prediction import raw_scores

ROWS = 9
LAYOUTS = [
    ("none", "before"),
    *((name, place) for name in NORMALIZATIONS if name != "none" for place in ("before", "after")),
]
every_layout = pytest.mark.parametrize(("normalization", "position"), LAYOUTS)


def make_net(hidden=(6, 8), seed=0, state=None, dtype=np.float64, **architecture):
    rng = np.random.default_rng(seed)
    pairs = list(pairwise([3, *hidden, 2]))
    net = MLP(
        [rng.normal(size=pair).astype(dtype) for pair in pairs],
        [rng.normal(size=pair[1]).astype(dtype) for pair in pairs],
        layer_state=state,
        generator=torch.Generator().manual_seed(0),
        **architecture,
    )
    if state is None:
        # Scales, shifts and slopes that are not 1, 0 and all alike.
        with torch.no_grad():
            for parameter in [*net.norms.parameters(), *net.slopes]:
                parameter += torch.from_numpy(rng.uniform(0, 1, parameter.shape).astype(dtype))
    return net


def make_batch(weighted=False, rows=ROWS, seed=1, dtype=np.float64):
    rng = np.random.default_rng(seed)
    weight = torch.from_numpy(rng.uniform(0.5, 2, rows).astype(dtype)) if weighted else None
    total = float(rows) if weight is None else float(weight.sum())
    X, y = (torch.from_numpy(rng.normal(size=(rows, k)).astype(dtype)) for k in (3, 2))
    return Batch.of(X, y, weight, total)


OBJECTIVE = Objective(get_loss("squared_error"), 2)


def gradients_of(net, batch):
    """The objective and the gradients of everything that is trained, by autograd."""
    loss = OBJECTIVE(net(batch[0], batch.weight), batch)
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    return loss.item(), torch.autograd.grad(loss, trained)


@every_layout
@pytest.mark.parametrize(("dropout", "weighted"), [(0.0, False), (0.3, True)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_backprop_is_autograds(normalization, position, dropout, weighted, activation):
    architecture = {
        "activation": activation,
        "normalization": normalization,
        "normalization_position": position,
        "dropout": dropout,
    }
    net, twin = make_net(**architecture), make_net(**architecture)
    batch = make_batch(weighted)
    expected, gradients = gradients_of(net, batch)
    FlatParameters(parameter for parameter in twin.parameters() if parameter.requires_grad)
    value, raw = twin.backprop(OBJECTIVE.with_gradient)(batch)
    assert value.item() == pytest.approx(expected, rel=1e-11)
    assert not raw.requires_grad
    trained = [parameter for parameter in twin.parameters() if parameter.requires_grad]
    for parameter, gradient in zip(trained, gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-8, atol=1e-10)
    for name, buffer in net.named_buffers():
        torch.testing.assert_close(dict(twin.named_buffers())[name], buffer)


def test_gradients_are_finite_differences():
    # Autograd and the stages could share a mistake of the formula.
    net = make_net(activation="mish", normalization="batch", normalization_position="after")
    batch = make_batch(weighted=True)
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    FlatParameters(trained)
    backprop = net.backprop(OBJECTIVE.with_gradient)
    backprop(batch)
    gradients = [parameter.grad.clone() for parameter in trained]
    step = 1e-6
    for parameter, gradient in zip(trained, gradients, strict=True):
        flat = parameter.detach().view(-1)
        for i in range(0, flat.numel(), 5):
            values = []
            for sign in (1, -1):
                flat[i] += sign * step
                values.append(backprop(batch)[0].item())
                flat[i] -= sign * step
            difference = (values[0] - values[1]) / (2 * step)
            assert gradient.view(-1)[i].item() == pytest.approx(difference, rel=1e-5, abs=1e-7)


@every_layout
@pytest.mark.parametrize("activation", ["relu", "gelu", "prelu"])
def test_a_smaller_batch_after_a_larger_one(normalization, position, activation):
    architecture = {
        "activation": activation,
        "normalization": normalization,
        "normalization_position": position,
    }
    net, twin = make_net(**architecture), make_net(**architecture)
    large, small = make_batch(rows=12, seed=2), make_batch(rows=4)
    gradients_of(net, large)
    _, gradients = gradients_of(net, small)
    trained = [parameter for parameter in twin.parameters() if parameter.requires_grad]
    FlatParameters(trained)
    backprop = twin.backprop(OBJECTIVE.with_gradient)
    backprop(large)
    backprop(small)
    for parameter, gradient in zip(trained, gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-8, atol=1e-10)


@every_layout
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpy_predicts_as_the_net_and_a_net_comes_back_from_its_arrays(
    normalization, position, dtype
):
    tolerance = 2e-4 if dtype == np.float32 else 1e-10
    X = make_batch(rows=5, seed=3, dtype=dtype)[0]
    for activation in ACTIVATIONS:
        architecture = {
            "activation": activation,
            "normalization": normalization,
            "normalization_position": position,
        }
        net = make_net(dtype=dtype, **architecture)
        for seed in range(3):
            net(make_batch(seed=seed, dtype=dtype)[0])
        expected = net.eval()(X).detach().numpy()
        coefs, intercepts, state = net.coefs(), net.intercepts(), net.layer_state()
        found = raw_scores(X.numpy(), coefs, intercepts, layer_state=state, **architecture)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
        again = MLP(coefs, intercepts, layer_state=state, **architecture).eval()
        assert torch.equal(again(X), net(X))


def test_a_plain_net_has_no_state_and_predicts_without():
    net = make_net()
    assert net.layer_state() == [{}, {}]
    X = make_batch()[0]
    found = raw_scores(X.numpy(), net.coefs(), net.intercepts(), activation="relu")
    np.testing.assert_allclose(found, net(X).detach().numpy(), rtol=1e-12)


@every_layout
def test_weights_of_rows_are_repetition(normalization, position):
    architecture = {"normalization": normalization, "normalization_position": position}
    batch = make_batch()
    weight = torch.tensor([1, 2, 1, 1, 3, 1, 1, 2, 1])
    index = torch.repeat_interleave(torch.arange(ROWS), weight)
    weighted = Batch.of(batch[0], batch[1], weight.double(), float(weight.sum()))
    repeated = Batch.of(batch[0][index], batch[1][index], None, float(len(index)))
    nets = []
    for rows in (weighted, repeated):
        net = make_net(**architecture)
        FlatParameters(parameter for parameter in net.parameters() if parameter.requires_grad)
        net.backprop(OBJECTIVE.with_gradient)(rows)
        nets.append(net)
    for ours, theirs in zip(*(net.parameters() for net in nets), strict=True):
        if ours.requires_grad:
            torch.testing.assert_close(ours.grad, theirs.grad)
    for ours, theirs in zip(*(net.buffers() for net in nets), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert nets[0].takes_weight == (normalization == "batch")


def test_a_bias_that_batch_normalisation_cancels_is_frozen_at_zero():
    before = make_net(normalization="batch")
    assert [bias.requires_grad for bias in before.biases] == [False, False, True]
    assert not before.biases[0].any()
    assert before.biases[2].any()
    after = make_net(normalization="batch", normalization_position="after")
    assert all(bias.requires_grad for bias in after.biases)


def test_only_matrices_are_weights():
    net = make_net(activation="prelu", normalization="layer")
    flat = FlatParameters(net.parameters())
    assert len(flat.weights) == sum(weight.numel() for weight in net.weights)


@settings(max_examples=25, deadline=None)
@given(
    scale=st.floats(0.01, 100),
    shift=st.floats(-100, 100),
    name=st.sampled_from(["batch", "layer", "instance"]),
)
def test_normalised_layers_do_not_see_the_scale_of_their_input(scale, shift, name):
    net = make_net(normalization=get_normalization(name, eps=1e-14))
    other = make_net(normalization=get_normalization(name, eps=1e-14))
    with torch.no_grad():
        # Of the product, bias included; rows see one shift for all units.
        for weight, bias in zip(other.weights[:-1], other.biases[:-1], strict=True):
            weight *= scale
            bias.mul_(scale).add_(shift)
    X = make_batch()[0]
    torch.testing.assert_close(other(X), net(X), rtol=1e-5, atol=1e-7)


def test_hidden_outputs_are_those_of_the_forward_pass():
    net = make_net(activation="tanh", normalization="layer", normalization_position="after").eval()
    X = make_batch()[0]
    hidden = net.hidden(X)
    assert [tuple(h.shape) for h in hidden] == [(ROWS, 6), (ROWS, 8)]
    torch.testing.assert_close(hidden[-1] @ net.weights[-1] + net.biases[-1], net(X))
    first = torch.tanh(X @ net.weights[0] + net.biases[0])
    torch.testing.assert_close(hidden[0], net.norms[0](first))


def test_dropout_comes_last_and_is_off_in_evaluation():
    net = make_net((400,), normalization="layer", activation="identity", dropout=0.5)
    X = make_batch()[0]
    share = (net.hidden(X)[0] == 0).double().mean().item()
    assert share == pytest.approx(0.5, abs=0.03)
    assert not (net.eval().hidden(X)[0] == 0).any()


def test_an_activation_with_options_and_a_slope_for_each_unit():
    net = make_net(activation=get_activation("prelu", slope=0.1))
    start = MLP(net.coefs(), net.intercepts(), activation=get_activation("prelu", slope=0.1))
    assert [slope.tolist() for slope in start.slopes] == [[0.1] * 6, [0.1] * 8]
    assert [sorted(state) for state in start.layer_state()] == [["slope"], ["slope"]]


def test_what_is_refused_and_why():
    with pytest.raises(ValueError, match="normalization_position='behind' is not known"):
        make_net(normalization="layer", normalization_position="behind")
    with pytest.raises(ValueError, match="n_groups=4 does not divide a hidden layer of 6 units"):
        make_net(normalization=get_normalization("group", n_groups=4))
    with pytest.raises(ValueError, match="1 rates for 2 hidden layers"):
        make_net(dropout=[0.1])
