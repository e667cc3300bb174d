"""Norms are folded where they act on what a convolution made, and nowhere else."""

import pytest
import torch
from torch import nn

from mlfund.backbones import ImageEncoder
from mlfund.backbones._folding import folded
from mlfund.nets.convnet import ReadPixels


class Preactivated(nn.Module):
    """Norms before convolutions, registered after them."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, images):
        return self.second(self.norm(self.first(images)).relu())


class Twice(nn.Module):
    """One convolution whose result goes to two places."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images):
        made = self.conv(images)
        return self.norm(made) + made


class InPlace(nn.Module):
    """A norm of what a ReLU made of the convolution, in its place."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)

    def forward(self, images):
        return self.norm(nn.functional.relu(self.conv(images), inplace=True))


class Apart(nn.Module):
    """A norm registered beside a convolution that it does not follow."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, images):
        return self.conv(self.norm(images))


def plain():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))


def norms(module):
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]


@pytest.mark.parametrize(("make", "kept"), [(plain, 0), (Preactivated, 0), (Twice, 1), (Apart, 1)])
def test_a_folded_net_returns_the_same(make, kept):
    torch.manual_seed(0)
    net = make()
    for norm in norms(net):
        nn.init.uniform_(norm.running_mean, -1, 1)
        nn.init.uniform_(norm.running_var, 0.2, 3)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    net.eval()
    images = torch.randn(2, 3, 9, 8)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    fast = folded(net, images)
    torch.testing.assert_close(fast(images), net(images), rtol=1e-4, atol=1e-5)
    assert len(norms(fast)) == kept
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert not any(parameter.requires_grad for parameter in fast.parameters())
    assert not fast.training
    # also of a net that is in training
    again = folded(net.train(), images)
    assert net.training
    assert torch.equal(again(images), fast(images))


@pytest.mark.parametrize(("make", "kept"), [(plain, 0), (InPlace, 1), (Twice, 1)])
def test_what_passes_for_a_black_image_is_not_folded_for_others(make, kept):
    net = make().eval()
    for norm in norms(net):
        # All of it is beyond zero where the convolution makes zeros, as of a black image.
        nn.init.constant_(norm.bias, 2.0)
    if make is Twice:
        nn.init.zeros_(net.conv.bias)
    pixels = ReadPixels((9, 8, 3), (127.0,) * 3, (60.0,) * 3)
    encoder = ImageEncoder(nn.Sequential(net, nn.AdaptiveAvgPool2d(1)), pixels, 4)
    fast = encoder.for_inference()
    images = torch.randn(3, 3, 9, 8)
    torch.testing.assert_close(fast(images), encoder(images), rtol=1e-4, atol=1e-5)
    assert len(norms(fast)) == kept


def test_folding_draws_nothing():
    before = torch.random.get_rng_state()
    pixels = ReadPixels((9, 8, 3), (127.0,) * 3, (60.0,) * 3)
    net = plain()
    torch.random.set_rng_state(before)
    ImageEncoder(nn.Sequential(net, nn.AdaptiveAvgPool2d(1)), pixels, 2).for_inference()
    assert torch.equal(torch.random.get_rng_state(), before)
