"""Laws that hold for every normalisation of hidden units."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from mlfund.nets.norm_layers import BatchNorm, arrays_of, load_arrays
from mlfund.nets.norm_stages import normalisation_stage
from mlfund.nets.normalisation import NORMALIZATIONS, get_normalization

EPS = 1e-12
UNITS = 64
# With an eps that does not blur the statistics, and more than one group.
ENTRIES = {
    "batch": get_normalization("batch", eps=EPS),
    "layer": get_normalization("layer", eps=EPS),
    "group": get_normalization("group", eps=EPS, n_groups=4),
    "instance": get_normalization("instance", eps=EPS),
}
every_entry = pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)


def rows(n=50, units=UNITS, seed=0):
    generator = torch.Generator().manual_seed(seed)
    spread = torch.linspace(0.1, 5, units).double()
    return 3 + spread * torch.randn(n, units, generator=generator).double()


def module(entry, units=UNITS, seed=3):
    """A module whose scale and shift, if it has them, are not 1 and 0."""
    layer = entry.module(units, torch.float64)
    rng = np.random.default_rng(seed)
    load_arrays(layer, {"scale": rng.uniform(0.5, 2, units), "shift": rng.normal(size=units)})
    return layer


def test_every_normalisation_is_under_law_here():
    assert {*ENTRIES, "none"} == set(NORMALIZATIONS)
    assert all(NORMALIZATIONS[name].name == name for name in NORMALIZATIONS)


def test_none_is_nothing():
    none = get_normalization(None)
    assert none is NORMALIZATIONS["none"]
    assert none.module(3) is None
    z = rows().numpy()
    assert none.numpy(z, {}) is z


def test_batch_gives_every_unit_mean_zero_and_variance_one():
    z = ENTRIES["batch"].module(UNITS, torch.float64)(rows())
    torch.testing.assert_close(z.mean(0), torch.zeros(UNITS).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(z.var(0, correction=0), torch.ones(UNITS).double())


@pytest.mark.parametrize(("name", "groups"), [("layer", 1), ("instance", 1), ("group", 4)])
def test_the_others_give_every_row_mean_zero_and_variance_one(name, groups):
    z = ENTRIES[name].module(UNITS, torch.float64)(rows()).view(50, groups, -1)
    torch.testing.assert_close(z.mean(2), torch.zeros(50, groups).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(z.var(2, correction=0), torch.ones(50, groups).double())


def test_layer_group_and_instance_are_torchs():
    z = rows()
    shapes = {"layer": nn.LayerNorm(UNITS), "group": nn.GroupNorm(4, UNITS)}
    for name, theirs in shapes.items():
        ours = module(ENTRIES[name])
        theirs = theirs.double()
        theirs.eps = EPS
        theirs.load_state_dict(ours.state_dict())
        torch.testing.assert_close(normalisation_stage(ours).forward(z, None), theirs(z))
    instance = normalisation_stage(ENTRIES["instance"].module(UNITS)).forward(z, None)
    # Its two dimensions are (channels, positions): a row is a channel of UNITS positions.
    torch.testing.assert_close(instance, nn.InstanceNorm1d(len(z), eps=EPS)(z))


def test_batch_is_torchs_but_for_the_variance_that_prediction_uses():
    ours = module(get_normalization("batch"))
    theirs = nn.BatchNorm1d(UNITS, momentum=None).double()
    theirs.load_state_dict(ours.state_dict())
    for seed in range(10):
        torch.testing.assert_close(ours(rows(seed=seed)), theirs(rows(seed=seed)))
    # Up to 1 / momentum batches the averages are plain ones.
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var * 49 / 50)
    theirs.momentum = 0.1
    ours(rows(seed=10)), theirs(rows(seed=10))
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    ours.eval(), theirs.eval()
    theirs.running_var *= 49 / 50
    theirs.running_var.copy_(ours.running_var)
    torch.testing.assert_close(ours(rows(seed=11)), theirs(rows(seed=11)))


def test_after_one_batch_prediction_normalises_as_training_did():
    layer = module(ENTRIES["batch"])
    in_training = layer(rows())
    torch.testing.assert_close(layer.eval()(rows()), in_training)


def test_batch_counts_a_row_of_weight_two_twice():
    z, weight = rows(6), torch.tensor([1.0, 2, 1, 3, 1, 1]).double()
    weighted, repeated = module(ENTRIES["batch"]), module(ENTRIES["batch"])
    index = torch.repeat_interleave(torch.arange(6), weight.long())
    expected = repeated(z[index])
    torch.testing.assert_close(weighted(z, weight / weight.sum())[index], expected)
    torch.testing.assert_close(weighted.running_mean, repeated.running_mean)
    torch.testing.assert_close(weighted.running_var, repeated.running_var)


@every_entry
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_the_stage_is_autograds(entry, training, weighted):
    layer, twin = module(entry), module(entry)
    if isinstance(layer, BatchNorm):
        for each in (layer, twin):
            each(rows(seed=9))
            each.train(training)
    weight = torch.linspace(1, 2, 50).double() if weighted else None
    shares = None if weight is None else weight / weight.sum()
    z = rows().requires_grad_()
    output = layer(z, shares) if entry.over_rows else layer(z)
    delta = torch.randn(50, UNITS, generator=torch.Generator().manual_seed(1)).double()
    expected = torch.autograd.grad(output, [z, *layer.parameters()], delta)
    for parameter in twin.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)
    stage = normalisation_stage(twin)
    with torch.no_grad():
        # A larger and a smaller batch before must leave no trace in the gradient.
        if not entry.over_rows:
            stage.forward(rows(80), None), stage.forward(rows(3), None)
        torch.testing.assert_close(stage.forward(z.detach(), shares), output.detach())
        gradient = stage.backward(delta.clone())
    torch.testing.assert_close(z.detach(), rows())
    torch.testing.assert_close(gradient, expected[0], rtol=1e-9, atol=1e-11)
    for parameter, its_gradient in zip(twin.parameters(), expected[1:], strict=True):
        torch.testing.assert_close(parameter.grad, its_gradient, rtol=1e-9, atol=1e-11)
    for name, array in arrays_of(twin).items():
        np.testing.assert_allclose(array, arrays_of(layer)[name], rtol=1e-12)


@every_entry
def test_frozen_scales_and_shifts_are_left_alone(entry):
    layer = module(entry).requires_grad_(False)
    stage = normalisation_stage(layer)
    stage.forward(rows(), None)
    assert stage.backward(torch.ones(50, UNITS).double()).isfinite().all()
    assert all(parameter.grad is None for parameter in layer.parameters())


@every_entry
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpy_is_the_module_after_training(entry, dtype):
    layer = module(entry).to(torch.from_numpy(np.zeros(0, dtype)).dtype)
    for seed in range(15):
        layer(torch.from_numpy(rows(seed=seed).numpy().astype(dtype)))
    z = rows(seed=20).numpy().astype(dtype)
    expected = layer.eval()(torch.from_numpy(z.copy())).detach().numpy()
    found = entry.numpy(z, arrays_of(layer))
    assert found.dtype == dtype
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@every_entry
def test_a_row_alone_is_as_in_company_in_prediction(entry):
    layer = module(entry).eval()
    torch.testing.assert_close(layer(rows())[7:8], layer(rows()[7:8]))


@every_entry
def test_a_batch_of_one_row(entry):
    layer, one = module(entry), rows(1)
    if entry.over_rows:
        with pytest.raises(ValueError, match="cannot start from a batch of one row"):
            layer(one)
        layer(rows())
    before = arrays_of(layer)
    expected = layer.eval()(one)
    layer.train()
    stage = normalisation_stage(layer)
    torch.testing.assert_close(layer(one), expected)
    torch.testing.assert_close(stage.forward(one, None), expected)
    assert stage.backward(torch.ones_like(one)).isfinite().all()
    assert {k: v.tolist() for k, v in arrays_of(layer).items()} == {
        k: v.tolist() for k, v in before.items()
    }


@every_entry
def test_constant_units_and_rows_give_no_nan(entry):
    layer = get_normalization(entry.name).module(UNITS, torch.float64)
    stage = normalisation_stage(layer)
    assert stage.forward(torch.full((9, UNITS), 4.0).double(), None).abs().max() < 1e-10
    assert stage.backward(torch.ones(9, UNITS).double()).isfinite().all()


@every_entry
def test_a_stage_takes_and_gives_bfloat16_and_computes_in_float32(entry):
    layer = get_normalization(entry.name).module(UNITS)
    z = rows().to(torch.bfloat16)
    stage = normalisation_stage(layer)
    out = stage.forward(z, None)
    assert out.dtype == stage.backward(torch.ones_like(out)).dtype == torch.bfloat16
    expected = layer(z.float())
    torch.testing.assert_close(out.float(), expected, rtol=0.01, atol=0.01)


def test_batch_statistics_keep_their_digits_under_autocast():
    layer, z = ENTRIES["batch"].module(UNITS), rows().float()
    expected = layer(z)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(z), expected)


@pytest.mark.parametrize(
    ("units", "groups"), [(1, 1), (16, 1), (31, 1), (32, 2), (100, 5), (128, 8), (4096, 32)]
)
def test_groups_of_at_least_sixteen_units_when_none_are_asked_for(units, groups):
    assert get_normalization("group").groups_of(units) == groups


def test_one_group_is_layer_normalisation():
    one, layer = module(get_normalization("group", n_groups=1)), module(get_normalization("layer"))
    assert torch.equal(one(rows()), layer(rows()))


def test_what_is_refused_and_why():
    with pytest.raises(ValueError, match="n_groups=3 does not divide a hidden layer of 64 units"):
        get_normalization("group", n_groups=3).module(UNITS)
    with pytest.raises(ValueError, match="Did you mean 'batch'"):
        get_normalization("bacth")
    with pytest.raises(ValueError, match="momentum must be a number strictly between 0 and 1"):
        get_normalization("batch", momentum=0)
    with pytest.raises(ValueError, match="eps must be a finite number greater than 0"):
        get_normalization("layer", eps=0)
    with pytest.raises(ValueError, match="n_groups must be an integer greater than 0"):
        get_normalization("group", n_groups=0)


@pytest.mark.parametrize("entry", NORMALIZATIONS.values(), ids=NORMALIZATIONS)
def test_entries_compare_hash_and_survive_pickling(entry):
    again = pickle.loads(pickle.dumps(entry))
    assert again == entry
    assert hash(again) == hash(entry)
    assert get_normalization(entry) == entry == get_normalization(entry.name)


@pytest.mark.gpu
@every_entry
def test_cuda_computes_what_the_cpu_does(entry):
    arrays = []
    for device in ("cpu", "cuda"):
        layer = module(entry).to(device)
        for parameter in layer.parameters():
            parameter.grad = torch.zeros_like(parameter)
        stage = normalisation_stage(layer)
        for seed in range(12):
            output = stage.forward(rows(seed=seed).to(device), None)
        gradient = stage.backward(torch.ones_like(output))
        found = [output, gradient, *(parameter.grad for parameter in layer.parameters())]
        arrays.append([*(t.cpu().numpy() for t in found), *arrays_of(layer).values()])
    for ours, theirs in zip(*arrays, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
