"""Nets that begin with a linear head: held-out rows, views of images, folds; layouts of images."""

import numpy as np
import pytest
from torch import nn

from mlfund import ImageTransferRegressor
from mlfund.augmentation import RandomFlip, RandomResizedCrop
from mlfund.backbones import TorchBackbone
from mlfund.estimators import _transfer_heads, _transfer_strategy
from mlfund.estimators._transfer_tuning import TuningRegressor
from tests.estimators.test_transfer import BACKBONE, SIDE, TUNED, X, Y, classifier

PROBE_FIRST = "linear_probe_then_fine_tune"
QUIET = {"backbone_lr": 0.0, "head_lr": 1e-12, "augmentation": None, "max_iter": 1}


def always_tune(**known):
    return _transfer_strategy.Choice(PROBE_FIRST, "A test wants it.")


@pytest.mark.parametrize("strategy", [PROBE_FIRST, "auto"])
def test_the_probe_has_not_seen_the_rows_that_say_when_to_stop(strategy, monkeypatch):
    monkeypatch.setattr(_transfer_strategy, "choose", always_tune)
    rng = np.random.default_rng(0)
    # More features than rows: what is fitted to noise knows the label of each row it saw.
    noise = rng.integers(0, 255, (80, SIDE, SIDE, 3), dtype=np.uint8)
    y = rng.permutation(np.repeat([0, 1], 40))
    source = TorchBackbone(
        nn.Sequential(nn.Flatten(), nn.LayerNorm(3 * SIDE * SIDE)), image_size=(SIDE, SIDE)
    )
    options = {"test_time_augmentation": None, "validation_fraction": 0.4, "early_stopping": True}
    model = classifier(backbone=source, strategy=strategy, **QUIET, **options).fit(noise, y)
    assert model.history_["valid_score"].iloc[0] < 0.8
    assert not hasattr(model, "head_")


@pytest.mark.parametrize("strategy", [PROBE_FIRST, "full"])
@pytest.mark.parametrize("weighted", [False, True])
def test_targets_are_standardised_by_the_rows_that_train(strategy, weighted, monkeypatch):
    told, fit = {}, TuningRegressor.fit

    def watched(self, X, y, sample_weight=None, **validation):
        told.update(validation, y=y, weight=sample_weight)
        return fit(self, X, y, sample_weight, **validation)

    monkeypatch.setattr(TuningRegressor, "fit", watched)
    y = 100 + 5.0 * (Y == "up") + X[:, 0, 0, 0] / 10
    weight = np.where(np.arange(40) % 4, 0.5 + np.arange(40) / 40, 0.0) if weighted else None
    model = ImageTransferRegressor(
        BACKBONE,
        strategy=strategy,
        early_stopping=True,
        validation_fraction=0.2,
        max_iter=1,
        cache=False,
        random_state=0,
    ).fit(X, y, weight)
    n_rows = 30 if weighted else 40
    assert (len(told["y"]), len(told["y_val"])) == (n_rows * 4 // 5, n_rows // 5)
    of_rows = told["weight"]
    assert np.average(told["y"], weights=of_rows) == pytest.approx(0, abs=1e-9)
    assert np.average(told["y"] ** 2, weights=of_rows) == pytest.approx(1)
    if weighted:
        assert of_rows.min() > 0
        assert told["sample_weight_val"].min() > 0
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("strategy", TUNED)
def test_too_few_rows_to_hold_out_are_named(strategy):
    with pytest.raises(ValueError, match="validation set is too small"):
        classifier(strategy=strategy, early_stopping=True, validation_fraction=0.3).fit(
            X[:3], ["up", "down", "up"]
        )


def sides(n=40):
    """Images whose class is which side is bright, and their labels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (n, SIDE, SIDE, 3), dtype=np.uint8)
    left = np.arange(n) % 2 == 0
    images[left, :, :3] += 150
    images[~left, :, 5:] += 150
    return images, left


def columns():
    body = nn.Sequential(nn.AvgPool2d((8, 2)), nn.Flatten(), nn.LayerNorm(12))
    return TorchBackbone(body, image_size=(SIDE, SIDE))


def test_a_net_trained_without_mirror_images_tells_left_from_right():
    images, left = sides()
    options = {"strategy": "full", "max_iter": 20, "head_lr": 0.05}
    crops = RandomResizedCrop(0.5)
    model = classifier(backbone=columns(), augmentation=crops, **options).fit(images, left)
    assert model.score(images, left) == 1.0
    mirrored = classifier(backbone=columns(), **options).fit(images, left)
    assert mirrored.score(images, left) < 0.8


def test_a_net_goes_by_what_its_probe_found_about_mirror_images():
    images, left = sides()
    model = classifier(backbone=columns(), strategy=PROBE_FIRST).fit(images, left)
    assert model.views_ is None
    plan = model.tuned_.plan
    assert plan.views is None
    assert not any(isinstance(one, RandomFlip) for one in plan.augmentations)
    assert model.score(images, left) == 1.0


@pytest.mark.parametrize(
    ("augmentation", "views", "expected"),
    [
        ("auto", "auto", "flip"),
        ("auto", None, None),
        (None, "auto", None),
        (["resized_crop"], "auto", None),
        (["resized_crop", "flip"], "auto", "flip"),
        ("alternating_flip", "auto", "flip"),
        (RandomFlip("vertical"), "auto", None),
        (RandomFlip("both"), "auto", "flip"),
        (None, "flip_zoom", "flip"),
    ],
)
def test_nets_average_over_mirror_images_where_they_were_trained_on_them(
    augmentation, views, expected
):
    model = classifier(
        strategy="full", augmentation=augmentation, test_time_augmentation=views, max_iter=1
    )
    assert model.fit(X, Y).tuned_.plan.views == expected


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
def test_views_are_compared_on_the_same_folds(random_state, monkeypatch):
    seeds, fit = [], _transfer_heads.fit_linear_classifier

    def watched(*given):
        head = fit(*given)
        seeds.append(head.cv.random_state)
        return head

    monkeypatch.setattr(_transfer_heads, "fit_linear_classifier", watched)
    classifier(random_state=random_state).fit(X, Y)
    assert len(seeds) == 3
    assert len(set(seeds)) == 1


@pytest.mark.parametrize("strategy", ["feature_extraction", "full"])
def test_arrays_as_torch_has_them_go_in_with_channels_first(strategy):
    first = X.transpose(0, 3, 1, 2)
    expected = classifier(strategy=strategy).fit(X, Y).predict_proba(X)
    model = classifier(strategy=strategy, channels="first").fit(first, Y)
    np.testing.assert_array_equal(model.predict_proba(first), expected)
    with pytest.raises(ValueError, match="give channels='first'"):
        classifier(strategy=strategy).fit(first, Y)
