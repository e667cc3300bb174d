"""Presets of the convolutional nets, and predictions averaged over views."""

import inspect
import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from mlfund import BatchedGridSearchCV, CNNClassifier, CNNRegressor, load, save
from mlfund.augmentation import RandomShift
from mlfund.diagnostics import diagnose
from mlfund.estimators._cnn_presets import PRESETS, Preset, is_auto
from mlfund.nets.architectures import ARCHITECTURES
from mlfund.nets.layers import Activate, Conv, GlobalPool, Norm, Pool
from mlfund.nets.views import VIEWS, View

RNG = np.random.default_rng(0)
X = RNG.integers(0, 255, (60, 10, 10), dtype=np.uint8)
Y = np.where(X[:, :5].mean(axis=(1, 2)) > X[:, 5:].mean(axis=(1, 2)), "top", "bottom")
SMALL = [Conv(4), Pool(), Norm(), Activate(), GlobalPool("max")]
QUICK = {"max_iter": 2, "random_state": 0}


def auto_parameters(cls):
    signature = inspect.signature(cls).parameters
    # "auto" is a precision, the same for all presets.
    return {name for name, p in signature.items() if is_auto(p.default)} - {"precision"}


@pytest.mark.parametrize("cls", [CNNClassifier, CNNRegressor])
def test_every_automatic_parameter_has_a_setting_and_every_setting_a_parameter(cls, monkeypatch):
    monkeypatch.setitem(PRESETS, "fast", Preset("small", max_iter=1, least_steps=2))
    y = Y if cls is CNNClassifier else X.mean(axis=(1, 2))
    net = cls(preset="fast", random_state=0).fit(X, y)
    assert set(net.settings_) == auto_parameters(cls)
    assert not any(is_auto(value) for value in net.settings_.values())


def test_parameters_are_as_they_were_after_a_fit_and_after_a_failure():
    net = CNNClassifier(**QUICK)
    before = net.get_params()
    net.fit(X, Y)
    assert net.get_params() == before
    assert clone(net).get_params() == before
    with pytest.raises(ValueError, match="NaN"):
        net.fit(np.where(X > 200, np.nan, X), Y)
    assert net.get_params() == before


def test_what_is_given_wins_and_the_rest_is_as_spelled_out():
    net = CNNClassifier(preset="accurate", architecture=SMALL, **QUICK).fit(X, Y)
    assert not {"architecture", "max_iter"} & set(net.settings_)
    spelled = CNNClassifier(SMALL, **QUICK, **net.settings_).fit(X, Y)
    np.testing.assert_array_equal(spelled.predict_proba(X), net.predict_proba(X))
    assert spelled.settings_ == {}


def test_trainings_are_diagnosed_with_what_a_preset_stands_for():
    net = CNNClassifier(SMALL, max_iter=3, random_state=0)
    assert diagnose(net, X[:40], Y[:40], random_state=0).findings


def test_automatic_batches_are_of_the_rows_that_remain():
    weight = np.repeat([0.0, 1.0], [10, len(X) - 10])
    net = CNNClassifier(SMALL, early_stopping=True, max_iter=2, random_state=0)
    # Warnings are errors.
    net.fit(X[:40], Y[:40])
    net.set_params(early_stopping=False).fit(X[:40], Y[:40], sample_weight=weight[:40])


def test_views_are_the_presets_too_where_that_is_said_after_the_fit():
    images = np.pad(X, ((0, 0), (0, 8), (0, 8)))
    net = CNNClassifier(SMALL, test_time_augmentation=None, **QUICK).fit(images, Y)
    expected = clone(net).set_params(test_time_augmentation="shift").fit(images, Y)
    found = net.set_params(test_time_augmentation="auto").predict_proba(images)
    np.testing.assert_array_equal(found, expected.predict_proba(images))


@pytest.mark.parametrize("name", PRESETS)
def test_only_classes_of_images_with_pixels_enough_are_predicted_from_moved_views(name):
    views = PRESETS[name].views
    assert views((28, 28, 1), classifies=True) == "shift"
    # A pixel is much of a small image, and a number depends on where things are.
    assert views((10, 40, 3), classifies=True) is None
    assert views((1, 784, 1), classifies=True) is None
    assert views((28, 28, 1), classifies=False) is None


def test_small_images_and_numbers_are_predicted_as_they_are():
    net = CNNClassifier(SMALL, **QUICK).fit(X, Y)
    assert net.settings_["test_time_augmentation"] is None
    expected = clone(net).set_params(test_time_augmentation=None).fit(X, Y)
    np.testing.assert_array_equal(net.predict_proba(X), expected.predict_proba(X))
    images = np.pad(X, ((0, 0), (0, 20), (0, 20)))
    regressor = CNNRegressor(SMALL, **QUICK).fit(images, X.mean(axis=(1, 2)))
    assert regressor.settings_["test_time_augmentation"] is None


def test_views_of_one_row_are_moved_along_it():
    row = torch.arange(1.0, 9).view(1, 1, 1, 8)
    for views in VIEWS.values():
        for view in views:
            seen = view.of(row)
            assert seen.shape == row.shape
            assert (seen != 0).sum() >= 7


def test_a_mistaken_name_of_views_is_told_at_predict_too():
    net = CNNClassifier(SMALL, **QUICK).fit(X, Y).set_params(test_time_augmentation="shifts")
    with pytest.raises(ValueError, match=r"test_time_augmentation='shifts'.* mean 'shift'"):
        net.predict(X)


def test_what_a_preset_chose_is_saved_and_loaded(tmp_path):
    images = np.pad(X, ((0, 0), (0, 8), (0, 8)))
    net = CNNClassifier(SMALL, augmentation="auto", max_iter=1, random_state=0).fit(images, Y)
    assert net.settings_["augmentation"] == [RandomShift(1)]
    save(net, tmp_path / "net.skops")
    loaded = load(tmp_path / "net.skops")
    assert loaded.settings_ == net.settings_
    np.testing.assert_array_equal(loaded.predict(images), net.predict(images))


def test_a_preset_of_its_own_name_can_be_searched():
    search = GridSearchCV(
        CNNClassifier(SMALL, **QUICK), {"preset": ["fast", "accurate"]}, cv=2
    ).fit(X, Y)
    assert len(search.cv_results_["mean_test_score"]) == 2
    with pytest.raises(ValueError, match="Did you mean 'accurate'"):
        CNNClassifier(preset="acurate").fit(X, Y)


def test_few_images_are_seen_more_often_and_never_more_than_many():
    preset = Preset("small", max_iter=2, least_steps=400)
    assert preset.settings(60_000)["max_iter"] == 2
    assert preset.settings(128 * 40)["max_iter"] == 10
    few = preset.settings(50)
    assert (few["batch_size"], few["max_iter"]) == (50, 400)
    for n in (1, 50, 127, 300, 5_000, 100_000):
        settings = preset.settings(n)
        steps = -(-n // settings["batch_size"]) * settings["max_iter"]
        assert 400 <= steps < 400 + 2 * n / 128 + 1 or settings["max_iter"] == 2


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_of_things_that_exist(name):
    preset = PRESETS[name]
    assert preset.architecture in ARCHITECTURES
    assert preset.test_time_augmentation in {None, *VIEWS}
    net = CNNClassifier(preset=name, max_iter=1, random_state=0).fit(X, Y)
    assert net.predict(X).shape == (60,)


def test_images_are_moved_by_a_share_of_their_side_and_tiny_ones_not_at_all():
    preset = Preset("small", max_iter=1, shift=1 / 14)
    assert preset.augmentation((28, 28, 1), classifies=True) == [RandomShift(2)]
    assert preset.augmentation((32, 64, 3), classifies=True) == [RandomShift(2)]
    for size in ((1, 784, 1), (7, 7, 1)):
        assert preset.augmentation(size, classifies=True) == []
    assert Preset("small", max_iter=1).augmentation((28, 28, 1), classifies=True) == []


def test_regressors_take_images_as_they_are():
    images = np.repeat(np.repeat(X, 3, axis=1), 3, axis=2)
    for preset in ("default", "accurate"):
        options = {"preset": preset, "architecture": SMALL, **QUICK}
        settings = CNNRegressor(**options).fit(images, X.mean(axis=(1, 2))).settings_
        assert settings["augmentation"] == []
        assert settings["test_time_augmentation"] is None
        assert CNNClassifier(**options).fit(images, Y).settings_["augmentation"]


@pytest.mark.parametrize(
    "loss",
    ["hinge", lambda raw, y: torch.nn.functional.cross_entropy(raw, y, reduction="none")],
    ids=["hinge", "own"],
)
def test_auto_spreads_no_targets_where_a_loss_takes_classes(loss):
    y = np.arange(60) % (2 if loss == "hinge" else 3)
    net = CNNClassifier(SMALL, loss=loss, **QUICK).fit(X, y)
    assert net.settings_["label_smoothing"] is None
    assert net.predict(X).shape == (60,)
    with pytest.raises(ValueError, match="label_smoothing"):
        CNNClassifier(SMALL, loss=loss, label_smoothing=0.1, **QUICK).fit(X, y)


@pytest.mark.parametrize("loss", [None, "log_loss", "focal", "focal_binary"])
def test_auto_spreads_targets_where_a_loss_takes_probabilities(loss):
    net = CNNClassifier(SMALL, loss=loss, **QUICK).fit(X, Y)
    assert net.settings_["label_smoothing"] == PRESETS["default"].label_smoothing


def test_a_preset_that_does_not_exist_is_named_after_the_fit_too():
    net = CNNClassifier(SMALL, **QUICK).fit(X, Y).set_params(preset="nope")
    with pytest.raises(ValueError, match=r"preset=.nope. is not known"):
        net.predict(X)


def test_a_stream_of_no_known_length_learns_at_one_rate():
    net = CNNClassifier(SMALL, random_state=0)
    for _ in range(4):
        net.partial_fit(X, Y, classes=np.unique(Y))
    assert net.settings_["schedule"] is None
    assert net.schedule == "one_cycle"
    assert set(net.history_["lr"]) == {net.settings_["learning_rate_init"]}


def test_a_schedule_that_has_ended_is_told_in_partial_fit():
    net = CNNClassifier(SMALL, max_iter=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            net.partial_fit(X, Y, classes=np.unique(Y))
    with pytest.warns(UserWarning, match="'one_cycle' of max_iter=2 epochs has ended"):
        net.partial_fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.set_params(schedule="invscaling").partial_fit(X, Y)


def test_verbose_says_what_was_chosen(capsys):
    net = CNNClassifier(SMALL, verbose=True, **QUICK).fit(X, Y)
    told = capsys.readouterr().out.splitlines()[0]
    assert told.startswith("preset='default': ")
    assert "batch_size=60" in told
    assert "architecture" not in told
    assert "preset='default': " in str(net.summary()).splitlines()[-1]


def test_searches_over_stacks_fall_back_with_a_reason():
    grid = {"learning_rate_init": [1e-3, 1e-2]}
    net = CNNClassifier(SMALL, **QUICK)
    batched = BatchedGridSearchCV(net, grid, cv=2).fit(X, Y)
    assert sum(batched.batched_reasons_.values()) == 2
    one_by_one = GridSearchCV(net, grid, cv=2).fit(X, Y)
    np.testing.assert_allclose(
        batched.cv_results_["mean_test_score"], one_by_one.cv_results_["mean_test_score"]
    )


@pytest.mark.parametrize("views", VIEWS)
def test_predictions_average_the_scores_of_views(views):
    net = CNNClassifier(SMALL, **QUICK).fit(X, Y)
    pixels = net.module_.pixels
    images = pixels.images(torch.from_numpy(X.reshape(60, -1)))
    expected = 0.0
    for view in VIEWS[views]:
        with torch.no_grad():
            expected = expected + view.weight * net.module_(moved(images, view))
    net.set_params(test_time_augmentation=views)
    np.testing.assert_allclose(raw(net), expected, rtol=1e-4, atol=1e-5)
    again = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))


def raw(net):
    """Return log-odds, (n, 1)."""
    proba = net.predict_proba(X)[:, 1:].astype(np.float64)
    return np.log(proba / (1 - proba))


def moved(images, view):
    """Return a view by another way: a loop over pixels."""
    out = torch.zeros_like(images)
    source = images.flip(3) if view.mirrored else images
    high, wide = images.shape[2:]
    for i in range(high):
        for j in range(wide):
            a, b = i - view.down, j - view.right
            if 0 <= a < high and 0 <= b < wide:
                out[:, :, i, j] = source[:, :, a, b]
    return out


def test_weights_of_views_sum_to_one_and_mirror_images_are_alike():
    for views in VIEWS.values():
        assert sum(view.weight for view in views) == pytest.approx(1)
        assert views[0][:3] == View(False, 0, 0, 1.0)[:3]
    net = CNNClassifier(SMALL, test_time_augmentation="flip", **QUICK).fit(X, Y)
    np.testing.assert_allclose(
        net.predict_proba(X), net.predict_proba(X[:, :, ::-1]), rtol=1e-5, atol=1e-6
    )


def test_regressors_average_views_too():
    y = X.mean(axis=(1, 2))
    net = CNNRegressor(SMALL, test_time_augmentation=None, **QUICK).fit(X, y)
    plain = net.predict(X), net.predict(X[:, :, ::-1])
    net.set_params(test_time_augmentation="flip")
    np.testing.assert_allclose(net.predict(X), np.mean(plain, axis=0), rtol=1e-5)
