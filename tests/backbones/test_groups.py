"""Layer groups of any module: in order, each tensor once."""

import pytest
import torch
from torch import nn

from mlfund.backbones._groups import layer_groups


class Attentive(nn.Module):
    """As vision transformers are: tensors of the net itself, and of its tower."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 4))
        self.stem = nn.Linear(3, 4)
        self.tower = Tower()
        self.norm = nn.LayerNorm(4)


class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("positions", torch.zeros(1, 5, 4))
        layers = [nn.TransformerEncoderLayer(4, 2, 8) for _ in range(3)]
        self.layers = nn.Sequential(*layers)


def residual():
    """As torchvision's residual nets are."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)),
        nn.Sequential(nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8)), nn.Conv2d(8, 9, 3)),
        nn.AdaptiveAvgPool2d(1),
        nn.Identity(),
    )


def shared():
    linear = nn.Linear(4, 4)
    return nn.Sequential(linear, nn.ReLU(), linear, nn.Linear(4, 2))


@pytest.mark.parametrize(
    ("module", "n_groups"),
    [(Attentive(), 4), (residual(), 4), (shared(), 2), (nn.Linear(3, 2), 1), (nn.ReLU(), 1)],
)
def test_groups_hold_each_tensor_once(module, n_groups):
    groups = layer_groups(module)
    assert len(groups) == n_groups
    held = [id(t) for group in groups for t in (*group.parameters(), *group.buffers())]
    assert sorted(held) == sorted({id(t) for t in (*module.parameters(), *module.buffers())})


def test_groups_go_from_stem_to_top():
    net = Attentive()
    stem, first, *_, last = layer_groups(net)
    assert any(parameter is net.token for parameter in stem.parameters())
    assert any(buffer is net.tower.positions for buffer in stem.buffers())
    assert any(part is net.tower.layers[0] for part in first.modules())
    assert any(part is net.norm for part in last.modules())
    # norms, activations and pooling are with the layer before
    assert [len(group) for group in layer_groups(residual())] == [2, 1, 1, 3]
