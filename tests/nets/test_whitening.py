"""The layer that whitens patches, and the nets that begin with it."""

import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mlfund import CNNClassifier
from mlfund.nets.layers import Activate, Conv, GlobalPool, Norm, Pool, Whiten, whitening_filters

RNG = np.random.default_rng(0)
# Neighbouring pixels and channels that are alike, as in pictures.
ROUGH = RNG.normal(size=(60, 3, 12, 11))
IMAGES = torch.from_numpy(ROUGH + 0.5 * np.roll(ROUGH, 1, axis=3) + ROUGH[:, ::-1]).float()
BYTES = RNG.integers(0, 255, (64, 9, 9), dtype=np.uint8)
CLASSES = np.arange(64) % 2


@pytest.mark.parametrize("kernel", [(2, 2), (3, 2), (1, 1)])
def test_responses_are_uncorrelated_with_a_spread_of_one(kernel):
    filters = whitening_filters(IMAGES.double(), kernel, 1e-12)
    responses = F.conv2d(IMAGES.double(), filters).movedim(1, 0).flatten(1)
    moments = responses @ responses.T / responses.shape[1]
    torch.testing.assert_close(moments, torch.eye(len(filters), dtype=torch.float64))
    # The most variable direction has the smallest filter.
    norms = filters.flatten(1).norm(dim=1)
    assert bool((norms.diff() >= 0).all())


def test_directions_without_variance_are_not_blown_up():
    constant = torch.ones(5, 1, 6, 6) * torch.arange(5.0).view(5, 1, 1, 1)
    filters = whitening_filters(constant, (2, 2), 1e-2)
    assert float(filters.abs().max()) <= 10.0 + 1e-4


def test_shapes_and_work():
    layer = Whiten()
    assert layer.output((3, 32, 32)) == (24, 31, 31)
    assert layer.multiply_adds((3, 32, 32)) == 24 * 31 * 31 * 12
    assert tuple(layer.module((3, 8, 8))(torch.zeros(2, 3, 8, 8)).shape) == (2, 24, 7, 7)
    assert pickle.loads(pickle.dumps(layer)) == layer
    with pytest.raises(ValueError, match="regularisation"):
        Whiten(regularisation=0.0)


def net(**options):
    layers = [Whiten(2), Activate(), Conv(6, bias=False), Norm(), Activate(), GlobalPool("max")]
    given = {"max_iter": 2, "batch_size": 16, "random_state": 0, **options}
    return CNNClassifier(given.pop("architecture", layers), **given)


def test_filters_follow_from_the_training_images_and_stay():
    model = net().fit(BYTES, CLASSES)
    first = model.module_.body[0]
    images = model.module_.pixels.images(torch.from_numpy(BYTES.reshape(64, -1)))
    expected = whitening_filters(images, (2, 2))
    torch.testing.assert_close(first.weight.detach(), torch.cat([expected, -expected]))
    assert bool(first.bias.detach().abs().sum() > 0)
    longer = net(max_iter=4).fit(BYTES, CLASSES)
    assert torch.equal(longer.module_.body[0].weight, first.weight)


def test_filters_stay_in_a_training_that_goes_on():
    model = net(schedule=None).fit(BYTES, CLASSES)
    before = model.module_.body[0].weight.detach().clone()
    again = pickle.loads(pickle.dumps(model)).partial_fit(BYTES, CLASSES)
    assert torch.equal(again.module_.body[0].weight, before)
    assert not torch.equal(again.module_.body[2].weight, model.module_.body[2].weight)


def test_a_layer_further_in_whitens_what_reaches_it():
    model = net(architecture=[Pool(kernel=3), Whiten(2), GlobalPool()]).fit(BYTES, CLASSES)
    images = model.module_.pixels.images(torch.from_numpy(BYTES.reshape(64, -1)))
    expected = whitening_filters(F.max_pool2d(images, 3), (2, 2))
    torch.testing.assert_close(model.module_.body[1].weight[:4].detach(), expected)


def test_the_fast_net_begins_with_it():
    model = net(architecture="fast", max_iter=1).fit(BYTES, CLASSES)
    assert not model.module_.body[0].weight.requires_grad
    assert model.predict(BYTES).shape == (64,)
