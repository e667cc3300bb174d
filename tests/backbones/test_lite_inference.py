"""The net for inference makes the embeddings of the net that is trained, in every size."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mlfund.backbones import _depthwise_kernel as kernel
from mlfund.backbones import _lite_inference as inference
from mlfund.backbones._folding import folded
from mlfund.backbones._threads import in_threads
from mlfund.backbones.efficientnet_lite import InvertedResidual, SameConv2d, efficientnet_lite0

compiled = pytest.mark.skipif(
    not kernel.available(), reason="the depthwise loop takes a C compiler at installation"
)


def with_statistics(net, seed=0):
    """Norms that do something, as after training."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias.data):
                tensor.normal_(0, 0.2, generator=generator)
            for tensor in (module.running_var, module.weight.data):
                tensor.uniform_(0.5, 2, generator=generator)
    return net.eval().requires_grad_(False)


@compiled
@settings(max_examples=30)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.sampled_from([1, 5, 16, 33, 48, 70, 96, 130]),
    size=st.sampled_from([1, 3, 5]),
    stride=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_depthwise_loop_is_torchs_convolution(height, width, channels, size, stride, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2, channels, height, width, generator=generator) * 3
    conv = SameConv2d(channels, channels, size, stride, groups=channels, bias=True)
    conv.requires_grad_(False)
    expected = F.relu6(conv(images)).permute(0, 2, 3, 1)
    loop = inference.Depthwise(conv)
    seen = images.permute(0, 2, 3, 1).contiguous()
    whole = torch.full(expected.shape, torch.nan)
    where = {"stride": stride, "above": loop.before(height), "left": loop.before(width)}
    kernel.depthwise_relu6(whole, seen, loop.weight, loop.bias, **where)
    torch.testing.assert_close(whole, expected, rtol=1e-5, atol=1e-5)
    # one row at a time, from the rows of the images that it needs
    for row in range(expected.shape[1]):
        start = row * stride - where["above"]
        first, stop = max(start, 0), min(start + size, height)
        one = torch.full_like(whole[:, :1], torch.nan)
        part = seen[:, first:stop].contiguous()
        kernel.depthwise_relu6(
            one, part, loop.weight, loop.bias, **where, first_seen=first, first_row=row
        )
        assert torch.equal(one[:, 0], whole[:, row])


@compiled
def test_depthwise_loop_keeps_nan_and_refuses_what_it_cannot_read():
    weight, bias = torch.ones(1, 1, 48), torch.zeros(48)
    seen = torch.full((1, 1, 1, 48), torch.nan)
    out = torch.zeros(1, 1, 1, 48)
    where = {"stride": 1, "above": 0, "left": 0}
    kernel.depthwise_relu6(out, seen, weight, bias, **where)
    assert out.isnan().all()
    with pytest.raises(ValueError, match="needs seen as a contiguous float32 tensor"):
        kernel.depthwise_relu6(out, seen.double(), weight, bias, **where)
    with pytest.raises(ValueError, match="needs bias as a contiguous float32 tensor"):
        kernel.depthwise_relu6(out, seen, weight, bias[:7], **where)


@compiled
@pytest.mark.parametrize("band_values", [1, 2_000, 10**9])
@pytest.mark.parametrize("size", [(13, 10), (8, 8)])
@pytest.mark.parametrize("options", [(8, 8, 3, 1, 6), (8, 12, 5, 2, 6), (8, 4, 3, 1, 1)])
def test_bands_make_the_block(band_values, size, options, monkeypatch):
    monkeypatch.setattr(inference, "BAND_VALUES", band_values)
    n_channels, filters, size_of_kernel, stride, expansion = options
    torch.manual_seed(0)
    block = InvertedResidual(n_channels, filters, size_of_kernel, stride, expansion)
    block = with_statistics(block)
    images = torch.randn(3, n_channels, *size)
    expected = block(images)
    found = inference._banded(folded(block, images))(images.permute(0, 2, 3, 1).contiguous())
    torch.testing.assert_close(found.permute(0, 3, 1, 2), expected, rtol=1e-4, atol=1e-5)


@compiled
@pytest.mark.parametrize("n", [1, 3, 11])
@pytest.mark.parametrize("threads", [1, 2])
def test_net_is_the_one_that_is_trained(n, threads):
    torch.manual_seed(1)
    net = with_statistics(efficientnet_lite0())
    images = torch.randn(n, 3, 45, 64)
    expected = net(images).flatten(1)
    fast = inference.LiteInference(net)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = fast(images)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    scale = expected.abs().max()
    np.testing.assert_allclose(found / scale, expected / scale, atol=5e-6)


@compiled
@pytest.mark.parametrize("n_frozen", [1, 4, 8])
@pytest.mark.parametrize("size", [(45, 64), (32, 32)])
def test_frozen_parts_run_as_in_inference_and_the_others_get_their_gradients(n_frozen, size):
    torch.manual_seed(2)
    net = with_statistics(efficientnet_lite0())
    net[n_frozen:].requires_grad_(True)
    images = torch.randn(5, 3, *size)
    trained = [p for p in net.parameters() if p.requires_grad]
    plain = net(images)
    expected = torch.autograd.grad(plain.square().mean(), trained)
    half = inference.FrozenBelow(net, n_frozen)
    found = half(images)
    gradients = torch.autograd.grad(found.square().mean(), trained)
    scale = plain.detach().abs().max()
    torch.testing.assert_close(found / scale, plain / scale, rtol=0, atol=5e-6)
    for one, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))
    assert not any(p.requires_grad for p in half.lower.parameters())


def test_frozen_parts_run_as_they_are_in_other_precisions(monkeypatch):
    net = with_statistics(efficientnet_lite0())
    half = inference.FrozenBelow(net, 3)
    monkeypatch.delattr(inference, "LiteInference")
    images = torch.randn(2, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(half(images), net(images), rtol=0, atol=0)


def test_threads_keep_the_order_and_hand_on_errors():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = in_threads(lambda k: (k, torch.is_grad_enabled(), torch.get_num_threads()), range(9))
        assert seen == [(k, False, 1) for k in range(9)]
        with pytest.raises(ZeroDivisionError):
            in_threads(lambda k: 1 // k, [1, 0])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert torch.is_grad_enabled()
