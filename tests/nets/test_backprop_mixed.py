"""The pass in lower precision: the exact pass of the rounded net, up to rounding."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from mlfund._engine.data import Batch
from mlfund._engine.objective import Objective
from mlfund._engine.parameters import FlatParameters
from mlfund.losses import get_loss
from mlfund.nets.mlp import MLP


def problem(**options):
    rng = np.random.default_rng(0)
    sizes = [20, 32, 16, 3]
    net = MLP(
        [(rng.normal(size=s) / np.sqrt(s[0])).astype(np.float32) for s in pairwise(sizes)],
        [(0.1 * rng.normal(size=k)).astype(np.float32) for k in sizes[1:]],
        **options,
    )
    X = torch.from_numpy(rng.normal(size=(64, 20)).astype(np.float32))
    weight = torch.from_numpy(rng.uniform(0.5, 2, size=64).astype(np.float32))
    y = torch.from_numpy(rng.integers(3, size=64))
    batch = Batch.of(X, y, weight, float(weight.sum()))
    return net, Objective(get_loss("log_loss_multinomial"), 3), batch


def gradients(net, objective, batch, dtype):
    flat = FlatParameters(p for p in net.parameters() if p.requires_grad)
    value, raw = net.backprop(objective.with_gradient, dtype)(batch)
    return value, raw, [p.grad.clone() for p in flat.parts], flat.grad.clone()


@pytest.mark.parametrize(
    "options",
    [{}, {"activation": "tanh"}, {"normalization": "batch"}, {"normalization": "layer"}],
    ids=str,
)
def test_near_the_exact_pass(options):
    net, objective, batch = problem(**options)
    value, raw, _, exact = gradients(net, objective, batch, None)
    rounded_value, rounded_raw, parts, rounded = gradients(net, objective, batch, torch.bfloat16)
    assert rounded_raw.dtype == rounded.dtype == torch.float32
    assert rounded_value.item() == pytest.approx(value.item(), rel=0.02)
    torch.testing.assert_close(rounded_raw, raw, rtol=0.1, atol=0.1)
    assert (rounded - exact).norm() < 0.08 * exact.norm()
    assert all(torch.isfinite(part).all() for part in parts)


def test_as_near_to_the_exact_pass_as_autocast():
    net, objective, batch = problem()
    *_, exact = gradients(net, objective, batch, None)
    *_, ours = gradients(net, objective, batch, torch.bfloat16)
    flat = FlatParameters(net.parameters())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        raw = net(batch[0])
    objective(raw.float(), batch).backward()
    assert (ours - exact).norm() < 1.5 * (flat.grad - exact).norm()


def test_reads_the_weights_of_each_step_and_keeps_its_memory():
    net, objective, batch = problem()
    flat = FlatParameters(net.parameters())
    step = net.backprop(objective.with_gradient, torch.bfloat16)
    first = step(batch)[0].item()
    addresses = [tensor.data_ptr() for tensor in step._outputs]
    flat.flat.detach().zero_()
    assert step(batch)[0].item() == pytest.approx(np.log(3), rel=1e-3)
    assert first != pytest.approx(np.log(3), rel=1e-3)
    small = Batch.of(batch[0][:5], batch[1][:5], None, 5.0)
    step(small)
    assert [tensor.data_ptr() for tensor in step._outputs] == addresses


def test_the_parameters_own_dtype_gives_the_exact_pass():
    net, objective, batch = problem()
    *_, exact = gradients(net, objective, batch, None)
    *_, same = gradients(net, objective, batch, torch.float32)
    torch.testing.assert_close(same, exact)
