"""Backbone: a value that nothing changes, and that goes everywhere whole."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone

from mlfund import Backbone, load, save
from mlfund.nets.convnet import ReadPixels
from mlfund.nets.layers import Activate, Conv, GlobalPool, Norm, build

LAYERS = (Conv(4), Norm(), Activate(), GlobalPool())
PIXELS = ReadPixels((6, 5, 3), (1.0, 2.0, 3.0), (1.0, 1.0, 2.0))


def weights(seed=0):
    torch.manual_seed(seed)
    return {name: t.numpy() for name, t in build(LAYERS, (3, 6, 5)).state_dict().items()}


@pytest.fixture
def backbone():
    return Backbone(LAYERS, PIXELS, weights(), "Somewhere")


def test_copies_are_the_value_itself(backbone):
    assert clone(backbone) is backbone
    assert copy.copy(backbone) is backbone
    assert copy.deepcopy(backbone) is backbone


def test_a_backbone_is_saved_and_loaded_by_itself(backbone, tmp_path):
    save(backbone, tmp_path / "backbone.skops")
    assert load(tmp_path / "backbone.skops") == backbone


def test_equality_is_that_of_content(backbone):
    again = Backbone(list(LAYERS), PIXELS, weights(), "Elsewhere")
    assert again == backbone
    assert hash(again) == hash(backbone)
    assert again != Backbone(LAYERS, PIXELS, weights(1))
    assert again != Backbone(LAYERS, dataclasses.replace(PIXELS, mean=(0.0,) * 3), weights())
    assert again != "somewhere"


def test_nothing_changes_it(backbone):
    given = weights()
    made = Backbone(LAYERS, PIXELS, given)
    given["0.weight"][:] = 0
    assert made == backbone
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.source = "mine"
    with pytest.raises(ValueError, match="read-only"):
        made.weights["0.weight"][:] = 0
    with pytest.raises(TypeError):
        made.weights["0.weight"] = 0


def test_pickles_and_notices_a_change(backbone):
    again = pickle.loads(pickle.dumps(backbone))
    assert again == backbone
    assert again.weights["0.weight"].flags.writeable is False
    state = backbone.__getstate__()
    state["weights"]["0.bias"] = state["weights"]["0.bias"] + 1
    with pytest.raises(ValueError, match="changed after it was saved"):
        Backbone.__new__(Backbone).__setstate__(state)


def test_says_what_it_is(backbone):
    assert repr(backbone) == f"<Backbone Somewhere, 6 x 5 x 3 to 4, {backbone.fingerprint[:8]}>"
    assert backbone.image_size == (6, 5, 3)
    assert backbone.n_features == 4


def test_writes_its_weights_in_the_dtype_of_the_module(backbone):
    module = build(LAYERS, (3, 6, 5)).double()
    backbone.load_into(module)
    for name, tensor in module.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), backbone.weights[name])
    assert module[0].weight.dtype == torch.float64
    assert module[1].num_batches_tracked.dtype == torch.int64


def test_weights_of_other_layers_are_refused():
    with pytest.raises(ValueError, match=r"1\.bias has shape \(4,\), and the layers need None"):
        Backbone((LAYERS[0], GlobalPool()), PIXELS, weights())
