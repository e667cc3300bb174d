"""Convolutional nets that are torch modules of the user's own."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

from mlfund import Autoencoder, CNNClassifier, CNNRegressor
from mlfund.nets.layers import Conv, FromTorch

RNG = np.random.default_rng(0)
X = RNG.integers(0, 60, (120, 8, 8), dtype=np.uint8)
SIDE = RNG.integers(0, 2, 120)
X[np.arange(120), 4, 1 + 5 * SIDE] = 255
Y = np.array(["left", "right"])[SIDE]


class Own(nn.Module):
    """Reads its input as most modules do, by `view`."""

    def __init__(self, width=8):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3)
        self.drop = nn.Dropout(0.1)

    def forward(self, images):
        pixels = images.view(len(images), 1, 8, 8)
        return self.drop(self.conv(pixels).relu()).view(len(images), -1)


def sequential():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    )


def net(architecture, **options):
    options = {"max_iter": 10, "augmentation": None, "random_state": 0, **options}
    return CNNClassifier(architecture, **options)


@pytest.mark.parametrize(
    "make",
    [
        Own,
        sequential,
        lambda: [Conv(8), nn.GELU(), nn.Flatten()],
        lambda: nn.Sequential(nn.LazyConv2d(8, 3), nn.ReLU(), nn.Flatten()),
    ],
)
def test_learns_pickles_and_repeats(make):
    torch.manual_seed(0)
    model = net(make()).fit(X, Y)
    assert model.score(X, Y) > 0.9
    proba = model.predict_proba(X)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), proba)
    np.testing.assert_array_equal(clone(model).fit(X, Y).predict_proba(X), proba)


def test_the_module_given_stays_as_it_is_and_is_where_training_starts():
    own = Own().eval()
    before = {name: t.clone() for name, t in own.state_dict().items()}
    model = net(own, max_iter=1, learning_rate_init=1e-12, precision="float32").fit(X, Y)
    for name, t in own.state_dict().items():
        assert torch.equal(t, before[name])
    assert not own.training
    torch.testing.assert_close(model.module_.body[0].net.conv.weight, own.conv.weight)


def test_weights_that_come_frozen_stay_so():
    own = Own()
    own.conv.requires_grad_(False)
    model = net(own, warm_start=True, precision="float32").fit(X, Y)
    model = pickle.loads(pickle.dumps(model)).fit(X, Y)
    assert torch.equal(model.module_.body[0].net.conv.weight, own.conv.weight)
    assert model.score(X, Y) > 0.9


def test_modules_are_searched_and_trained_on():
    torch.manual_seed(0)
    grid = {"architecture": [Own(4), Own(8)]}
    search = GridSearchCV(net("small", max_iter=2), grid, cv=2).fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    model = net(Own(), warm_start=True).fit(X, Y).fit(X, Y)
    with pytest.raises(ValueError, match="other layers"):
        model.set_params(architecture=Own()).fit(X, Y)
    assert CNNRegressor(Own(), max_iter=2, random_state=0).fit(X, 1.0 * SIDE).predict(X).ndim == 1


def test_the_parts_of_a_sequential_are_layers():
    model = net(sequential(), max_iter=1).fit(X, Y)
    summary = model.summary()
    assert [row.shape for row in summary.rows] == [(8, 6, 6)] * 3 + [(8, 3, 3), (72,), (1,)]
    assert summary.rows[0].flop == 2 * 36 * 8 * 9
    assert summary.n_parameters == sum(p.numel() for p in model.module_.parameters())
    assert "FromTorch(Conv2d)" in str(summary)
    assert model.grad_cam(X[:2]).shape == (2, 8, 8)


@pytest.mark.parametrize("make", [Own, sequential])
def test_encoders_take_them_and_hand_them_on(make):
    encoders = [Autoencoder(make(), n_components=4, max_iter=1, random_state=0) for _ in range(2)]
    backbone, again = (encoder.fit(X).export_backbone() for encoder in encoders)
    assert encoders[0].transform(X).shape == (120, 4)
    # Their weights were drawn anew.
    assert backbone != again
    assert pickle.loads(pickle.dumps(backbone)) == backbone
    model = CNNClassifier(
        backbone=backbone, strategy="feature_extraction", max_iter=1, random_state=0
    ).fit(X, Y)
    assert clone(model).backbone is backbone
    for name, array in backbone.weights.items():
        np.testing.assert_array_equal(model.module_.body.state_dict()[name].numpy(), array)


def test_parts_that_share_weights_stay_together():
    conv = nn.Conv2d(1, 1, 3, padding=1)
    model = net(nn.Sequential(conv, nn.ReLU(), conv), max_iter=1).fit(X, Y)
    assert len(model.summary().rows) == 2
    assert sum(p.ndim == 4 for p in model.module_.parameters()) == 1


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (nn.Conv2d(3, 4, 3), "failed on one row of shape"),
        (nn.LSTM(8, 4), "failed on one row|returned"),
        (nn.Flatten(0), "must return one floating-point tensor"),
        ([Conv(4), nn.Linear], "torch modules"),
    ],
)
def test_modules_that_do_not_fit_are_refused(architecture, message):
    with pytest.raises(ValueError, match=message):
        net(architecture).fit(X, Y)
    with pytest.raises(ValueError, match="Call the class first"):
        FromTorch(Own)
