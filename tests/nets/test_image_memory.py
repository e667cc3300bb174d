"""Images run over the channels of a pixel first in memory, which convolutions are fastest with."""

import numpy as np
import pytest
import torch
from torch import nn

from mlfund import CNNClassifier, ImageTransferClassifier
from mlfund.backbones import TorchBackbone
from mlfund.nets.convnet import ReadPixels

AUGMENTATIONS = [None, "affine", "elastic", "resized_crop", "cutout", "erasing", "shift"]


@pytest.fixture
def layouts(monkeypatch):
    """Whether the outputs of convolutions are channels last, in the order they are made."""
    seen, plain = [], nn.Conv2d.forward

    def forward(self, images):
        found = plain(self, images)
        if len(images) > 2:  # not where sizes are tried
            seen.append(found.is_contiguous(memory_format=torch.channels_last))
        return found

    monkeypatch.setattr(nn.Conv2d, "forward", forward)
    return seen


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("channels_last", [True, False])
def test_images_are_the_same_in_either_layout(n_channels, channels_last):
    pixels = ReadPixels((4, 5, n_channels), mean=(3.0,) * n_channels, scale=(2.0,) * n_channels)
    rows = torch.arange(2 * 4 * 5 * n_channels, dtype=torch.uint8).view(2, -1)
    images = pixels.images(rows)
    given = images if channels_last else images.contiguous().clone()
    found = pixels.read(given)
    torch.testing.assert_close(found, images, rtol=0, atol=0)
    assert found.stride() == images.stride() == (20 * n_channels, 1, 5 * n_channels, n_channels)
    assert not channels_last or found.data_ptr() == images.data_ptr()
    torch.testing.assert_close(pixels.read(rows), images, rtol=0, atol=0)


def rows_of(n_channels):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (12, 16, 16, n_channels), dtype=np.uint8), np.arange(12) % 2


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("change", AUGMENTATIONS)
def test_augmentations_leave_the_layout_to_cnns(n_channels, change, layouts):
    CNNClassifier("lenet", max_iter=1, augmentation=change, random_state=0).fit(
        *rows_of(n_channels)
    )
    assert layouts
    assert all(layouts)


@pytest.mark.parametrize("change", AUGMENTATIONS)
def test_augmentations_leave_the_layout_to_backbones(change, layouts):
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1))
    backbone = TorchBackbone(body, image_size=(16, 16))
    options = {"strategy": "full", "max_iter": 1, "cache": False, "random_state": 0}
    ImageTransferClassifier(backbone, augmentation=change, **options).fit(*rows_of(3))
    assert layouts
    assert all(layouts)
