"""`backbone` and `strategy` of CNNClassifier and CNNRegressor."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

import mlfund
from mlfund import Backbone, CNNClassifier, CNNRegressor
from mlfund.nets.layers import Activate, Conv, Drop, GlobalPool, Norm, Pool

SMALL = [Conv(8), Norm(), Activate(), Pool(), Drop(0.2), GlobalPool("max")]
X, Y = load_digits(return_X_y=True)
X, Y = X[:240].reshape(-1, 8, 8).astype(np.uint8), Y[:240]
OPTIONS = {"max_iter": 2, "random_state": 0}


def body(net):
    return {name: t.numpy() for name, t in net.module_.body.state_dict().items()}


@pytest.fixture(scope="module")
def teacher():
    return CNNClassifier(SMALL, max_iter=40, batch_size=32, random_state=1).fit(X, Y)


@pytest.fixture(scope="module")
def backbone(teacher):
    return Backbone(SMALL, teacher.module_.pixels, body(teacher), "CNNClassifier")


@pytest.mark.parametrize("averaging", [None, "ema"])
@pytest.mark.parametrize("cls", [CNNClassifier, CNNRegressor])
def test_frozen_layers_stay_as_they_are_to_the_bit(backbone, cls, averaging):
    net = cls(backbone=backbone, strategy="feature_extraction", averaging=averaging, **OPTIONS)
    net.fit(X, Y)
    for name, array in body(net).items():
        np.testing.assert_array_equal(array, backbone.weights[name])
    start = cls(backbone=backbone, strategy="feature_extraction", max_iter=1, random_state=0)
    assert net.loss_ < start.fit(X, Y).loss_


def test_full_training_starts_from_the_weights(backbone):
    net = CNNClassifier(backbone=backbone, learning_rate_init=1e-9, **OPTIONS).fit(X, Y)
    np.testing.assert_allclose(body(net)["0.weight"], backbone.weights["0.weight"], atol=1e-7)
    moved = CNNClassifier(backbone=backbone, strategy="full", **OPTIONS).fit(X, Y)
    assert np.abs(body(moved)["0.weight"] - backbone.weights["0.weight"]).max() > 1e-3


def test_pixels_are_read_as_the_backbone_reads_them(backbone, teacher):
    net = CNNClassifier(backbone=backbone, **OPTIONS).fit(X[:60], Y[:60])
    assert net.module_.pixels == teacher.module_.pixels


def test_a_head_can_be_trained_before_all_layers(backbone):
    net = CNNClassifier(
        backbone=backbone, strategy="feature_extraction", warm_start=True, **OPTIONS
    )
    net.fit(X, Y).set_params(strategy="full").fit(X, Y)
    assert np.abs(body(net)["0.weight"] - backbone.weights["0.weight"]).max() > 1e-3


def test_searches_choose_between_starts(backbone):
    grid = {"backbone": [None, backbone], "learning_rate_init": [0.02]}
    net = CNNClassifier(SMALL, max_iter=30, batch_size=16, random_state=0)
    search = GridSearchCV(net, grid, cv=2).fit(X, Y)
    scratch, pretrained = search.cv_results_["mean_test_score"]
    assert pretrained > scratch
    assert search.best_params_["backbone"] is backbone


def test_saves_and_loads_with_its_backbone(backbone, tmp_path):
    net = CNNClassifier(backbone=backbone, **OPTIONS).fit(X, Y)
    mlfund.save(net, tmp_path / "net.skops")
    again = mlfund.load(tmp_path / "net.skops")
    assert again.backbone == backbone
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))
    assert clone(net).backbone is backbone


def test_a_checkpoint_knows_the_backbone(backbone, tmp_path):
    net = CNNClassifier(backbone=backbone, checkpoint_dir=tmp_path, checkpoint_every=1, **OPTIONS)
    expected = CNNClassifier(backbone=backbone, **OPTIONS).fit(X, Y)
    np.testing.assert_array_equal(net.fit(X, Y).predict_proba(X), expected.predict_proba(X))


@pytest.mark.parametrize(
    ("options", "images", "message"),
    [
        ({"strategy": "full"}, X, "strategy='full' says which layers .* give a backbone"),
        ({"backbone": "resnet"}, X, "must be an mlfund.backbones.Backbone"),
        ({"backbone": ..., "strategy": "frozen"}, X, "'strategy' parameter"),
        ({"backbone": ...}, X[:, :6], "6 x 8 pixels and 1 channel, and the backbone .* 8 x 8"),
        ({"backbone": ...}, np.repeat(X[..., None], 3, 3), "and 3 channels, and the backbone"),
        ({"backbone": ..., "architecture": "lenet"}, X, "leave architecture out"),
    ],
)
def test_what_does_not_go_together_is_refused(backbone, options, images, message):
    options = {name: backbone if value is ... else value for name, value in options.items()}
    with pytest.raises(ValueError, match=message):
        CNNClassifier(**options, **OPTIONS).fit(images, Y)


def test_pixels_in_another_unit_than_those_of_the_backbone_are_noticed(backbone):
    with pytest.warns(UserWarning, match="images of the backbone are typically up to"):
        CNNClassifier(backbone=backbone, **OPTIONS).fit(X / 16, Y)
