"""Transfer learning on backbones of a few weights: what is trained, frozen, saved, refused."""

import copy
import importlib.util
import itertools
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from torch import nn

import mlfund
from mlfund import (
    ContrastiveEncoder,
    ImageTransferClassifier,
    ImageTransferRegressor,
    TextTransferClassifier,
    TextTransferRegressor,
)
from mlfund.backbones import TorchBackbone
from mlfund.estimators._transfer_net import TransferNet
from tests.backbones.tiny import Letters

SIDE = 8
TUNED = ["fine_tune_top", "full", "linear_probe_then_fine_tune", "gradual"]


class NormedBody(nn.Module):
    """Three groups of convolution and batch normalisation, with statistics of a pretraining."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        widths = (3, 4, 6, 8)
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.Dropout(0.1), nn.ReLU()
                )
                for a, b in itertools.pairwise(widths)
            )
        )
        self.train()
        with torch.no_grad():
            for _ in range(3):
                self(torch.randn(16, 3, SIDE, SIDE))
        self.eval()

    def forward(self, images):
        return self.blocks(images).mean((2, 3))


BACKBONE = TorchBackbone(NormedBody(), image_size=(SIDE, SIDE))


def photographs(n=40, seed=0):
    """Images whose class is which half is bright, and their labels."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 120, (n, SIDE, SIDE, 3), dtype=np.uint8)
    top = rng.integers(0, 2, n).astype(bool)
    X[top, :4, :, 0] += 120
    X[~top, 4:, :, 1] += 120
    return X, np.where(top, "up", "down")


X, Y = photographs()


def classifier(**options):
    defaults = {
        "backbone": BACKBONE,
        "cache": False,
        "random_state": 0,
        "max_iter": 3,
        "batch_size": 16,
        "backbone_lr": 1e-3,
        "head_lr": 1e-2,
    }
    return ImageTransferClassifier(**defaults | options)


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def moved(before, module):
    after = module.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}


class EveryMode(Callback):
    """Records, batch by batch, whether frozen layers and normalisations are in evaluation mode."""

    def __init__(self):
        self.seen = []

    def on_batch_begin(self, net, training=None, **kwargs):
        if training:
            encoder = net.module_.module.encoder
            norms = [m for m in encoder.modules() if isinstance(m, nn.BatchNorm2d)]
            self.seen.append(any(norm.training for norm in norms))


@pytest.mark.parametrize("strategy", TUNED)
def test_a_tuned_model_learns_and_moves_what_its_strategy_says(strategy):
    recorder = EveryMode()
    rates = {"head_lr": 0.2, "backbone_lr": 0.02}
    model = classifier(strategy=strategy, max_iter=12, callbacks=[recorder], **rates).fit(X, Y)
    before = state(BACKBONE.load())
    assert model.score(*photographs(60, seed=1)) > 0.9
    assert (model.strategy_, model.n_iter_) == (strategy, 12)
    changed = moved(before, model.module_.encoder)
    statistics = {name for name in before if "running" in name or "tracked" in name}
    assert not changed & statistics
    if strategy == "fine_tune_top":
        assert changed
        assert all(".blocks.2." in f".{name}" for name in changed)
    else:
        assert changed == set(before) - statistics
    assert recorder.seen
    assert not any(recorder.seen)


@pytest.mark.parametrize("strategy", [*TUNED, "feature_extraction"])
def test_what_is_frozen_stays_bit_for_bit_after_fit_and_predict(strategy):
    encoder = BACKBONE.load()
    model = classifier(strategy=strategy, n_unfrozen_groups=2).fit(X, Y)
    model.predict(X)
    if strategy == "feature_extraction":
        with pytest.raises(AttributeError, match="trained no net"):
            _ = model.module_
    elif strategy == "fine_tune_top":
        frozen = encoder.groups()[0].state_dict()
        after = model.module_.encoder.groups()[0].state_dict()
        assert all(torch.equal(frozen[name], after[name]) for name in frozen)
    assert not moved(state(encoder), BACKBONE.load())


def test_frozen_layers_are_in_evaluation_mode_whatever_train_says():
    net = TransferNet(BACKBONE.load(), 2)
    net.freeze_below(1)
    for mode in (True, False, True):
        net.train(mode)
        parts = list(net.encoder.body.blocks[0].modules())
        assert not any(part.training for part in parts)
        top = [m for m in net.encoder.groups()[-1].modules() if isinstance(m, nn.Dropout)]
        assert [part.training for part in top] == [mode] * len(top)
        assert net.head.training is mode
    before = state(net.encoder)
    net.train()
    net(torch.rand(4, 3, SIDE, SIDE)).sum().backward()
    assert not moved(before, net.encoder)
    assert all(p.grad is None for p in net.encoder.groups()[0].parameters())


def test_gradual_trains_one_group_after_the_other():
    net = classifier(strategy="gradual", max_iter=6).fit(X, Y)
    history = net.history_
    assert len(history) == 6
    groups = net.tuned_._rate_groups(_Wrapped(net.module_))
    assert [group.first_epoch for group in groups] == [0, 1, 2, 3]


class _Wrapped:
    def __init__(self, module):
        self.module = module


def test_rates_fall_from_the_head_to_the_stem():
    model = classifier(strategy="full", layer_decay=0.5).fit(X, Y)
    groups = model.tuned_._rate_groups(_Wrapped(model.module_))
    assert [group.multiplier for group in groups] == pytest.approx([1, 0.1, 0.05, 0.025])
    assert groups[0].modules == (model.module_.head,)


def test_a_net_begins_with_the_probe_it_is_given():
    quiet = {"backbone_lr": 0.0, "head_lr": 1e-12, "augmentation": None, "max_iter": 1}
    views = {"test_time_augmentation": "flip"}
    probe = classifier(strategy="feature_extraction", **views).fit(X, Y)
    tuned = classifier(strategy="linear_probe_then_fine_tune", **quiet, **views).fit(X, Y)
    np.testing.assert_allclose(tuned.predict_proba(X), probe.predict_proba(X), atol=1e-4)
    target = 100 + 5 * (Y == "up") + X[:, 0, 0, 0] / 100
    options = {"backbone": BACKBONE, "cache": False, "random_state": 0}
    ridge = ImageTransferRegressor(strategy="feature_extraction", **options, **views)
    net = ImageTransferRegressor(
        strategy="linear_probe_then_fine_tune", **options, **quiet, **views
    )
    np.testing.assert_allclose(
        net.fit(X, target).predict(X), ridge.fit(X, target).predict(X), atol=1e-3
    )


@pytest.mark.parametrize("strategy", ["feature_extraction", "full"])
def test_predictions_do_not_depend_on_the_rows_beside(strategy):
    model = classifier(strategy=strategy).fit(X, Y)
    alone = np.concatenate([model.predict_proba(X[i : i + 1]) for i in range(8)])
    np.testing.assert_allclose(model.predict_proba(X)[:8], alone, atol=1e-6)


@pytest.mark.parametrize("strategy", ["auto", *TUNED])
def test_a_fit_is_the_same_twice_and_leaves_random_states_alone(strategy):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first = classifier(strategy=strategy).fit(X, Y).predict_proba(X)
    assert torch.equal(torch.rand(2), expected)
    np.testing.assert_array_equal(classifier(strategy=strategy).fit(X, Y).predict_proba(X), first)


def test_images_come_in_any_form(tmp_path):
    image = pytest.importorskip("PIL.Image")
    paths = []
    for place, pixels in enumerate(X):
        paths.append(str(tmp_path / f"{place}.png"))
        image.fromarray(pixels).save(paths[-1])
    expected = classifier().fit(X, Y).predict_proba(X)
    for form in (list(X), paths, pd.Series(paths), pd.DataFrame({"file": paths}), X / 255.0):
        np.testing.assert_allclose(
            classifier().fit(form, Y).predict_proba(form), expected, atol=1e-4
        )
    frame = pd.DataFrame({"file": paths})
    model = classifier(strategy="full").fit(frame, Y)
    assert list(model.feature_names_in_) == ["file"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"file": "path"}))
    (tmp_path / "3.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"3\.png"):
        classifier().fit(paths, Y)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (X.reshape(len(X), -1), "reshape flattened ones"),
        (["a.png", 3], "X"),
        (["nowhere.png"] * 40, "nowhere"),
        (None, "X"),
    ],
)
def test_what_is_no_image_is_one_sentence(form, message):
    with pytest.raises((ValueError, FileNotFoundError, TypeError), match=message):
        classifier().fit(form, Y)


def test_backbones_that_are_none_and_fitted_encoders_are_refused():
    with pytest.raises(ValueError, match="Did you mean 'efficientnet_lite0'"):
        classifier(backbone="efficientnet_lite").fit(X, Y)
    with pytest.raises(ValueError, match="export_backbone"):
        classifier(backbone=ContrastiveEncoder()).fit(X, Y)
    with pytest.raises(ValueError, match="takes texts"):
        classifier(backbone=Letters()).fit(X, Y)


def test_weights_of_rows_and_classes_count_in_a_tuned_net():
    weight = np.where(Y == "up", 1.0, 0.0)
    weight[np.flatnonzero(Y == "down")[:1]] = 1e-3
    model = classifier(strategy="full").fit(X, Y, sample_weight=weight)
    assert (model.predict(X) == "up").mean() > 0.9
    with pytest.raises(ValueError, match="class 'down' have weight 0"):
        classifier().fit(X, Y, sample_weight=(Y == "up").astype(float))


def test_early_stopping_keeps_the_best_epoch():
    model = classifier(
        strategy="full", early_stopping=True, max_iter=30, n_iter_no_change=2, head_lr=0.1
    ).fit(X, Y)
    history = model.history_
    assert history["valid_score"].max() == model.tuned_.best_validation_score_
    assert len(history) < 30


def test_progressive_resizing_trains_on_smaller_images_first(monkeypatch):
    sides = []
    source = TorchBackbone(NormedBody(), image_size=(64, 64))
    forward = TransferNet.forward

    def watched(net, rows):
        if net.training:
            sides.append(tuple(rows.shape[2:]))
        return forward(net, rows)

    monkeypatch.setattr(TransferNet, "forward", watched)
    options = {"strategy": "full", "max_iter": 4, "batch_size": 40, "progressive_resizing": True}
    classifier(backbone=source, **options).fit(X, Y)
    assert sides == [(32, 32), (64, 64), (64, 64), (64, 64)]


def test_mirror_images_are_averaged_only_where_that_helps():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 60, (40, SIDE, SIDE, 3), dtype=np.uint8)
    left = np.arange(40) % 2 == 0
    X[left, :, :3] += 150
    X[~left, :, 5:] += 150
    body = nn.Sequential(nn.AvgPool2d((8, 2)), nn.Flatten())
    source = TorchBackbone(body, image_size=(SIDE, SIDE))
    chosen = classifier(backbone=source).fit(X, left)
    assert chosen.views_ is None
    assert chosen.score(X, left) == 1.0
    assert (
        classifier(backbone=source, test_time_augmentation="flip").fit(X, left).score(X, left) < 1
    )


def test_auto_says_what_it_chose_and_why(capsys):
    model = classifier(verbose=True).fit(X, Y)
    assert model.strategy_ == "feature_extraction"
    assert "40 rows are few" in model.explanation_
    assert model.explanation_ in capsys.readouterr().out
    forest = classifier(head=RandomForestClassifier()).fit(X, Y)
    assert "nothing below it is trained" in forest.explanation_


# ---------------------------------------------------------------- persistence


@pytest.mark.parametrize("strategy", ["feature_extraction", "fine_tune_top", "full"])
def test_a_pickle_predicts_bit_for_bit(strategy):
    model = classifier(strategy=strategy).fit(X, Y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    twice = pickle.loads(pickle.dumps(again))
    np.testing.assert_array_equal(twice.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(copy.deepcopy(model).predict_proba(X), model.predict_proba(X))


class CountingNorms(nn.Module):
    """Instance normalisation with statistics, and buffers of its own that training changes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 6, 3)
        self.norm = nn.InstanceNorm2d(6, affine=True, track_running_stats=True)
        self.top = nn.Conv2d(6, 6, 3)
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, images):
        x = self.top(self.norm(self.stem(images)).relu()).mean((2, 3))
        if self.training:
            self.batches += 1
            self.mean = 0.5 * self.mean + 0.5 * x.detach().mean(0)
        return x - self.mean * self.batches.clamp(max=1)


@pytest.mark.parametrize(
    ("strategy", "early_stopping"), [("full", False), ("full", True), ("fine_tune_top", False)]
)
def test_a_pickle_holds_buffers_that_training_changed(strategy, early_stopping):
    source = TorchBackbone(CountingNorms(), image_size=(SIDE, SIDE))
    options = {"early_stopping": early_stopping, "validation_fraction": 0.25}
    model = classifier(backbone=source, strategy=strategy, **options).fit(X, Y)
    trained, body = model.module_.encoder.state_dict(), source.module
    assert any(int(trained[name]) > 0 for name in trained if name.endswith("batches"))
    # Statistics of a pretraining are kept, whatever normalises by them.
    kept = [name for name in trained if name.endswith("norm.running_mean")]
    assert len(kept) == 1
    assert torch.equal(trained[kept[0]], body.norm.running_mean)
    again = pickle.loads(pickle.dumps(model))
    twice = pickle.loads(pickle.dumps(again))
    for one in (again, twice, pickle.loads(pickle.dumps(twice))):
        np.testing.assert_array_equal(one.predict_proba(X), model.predict_proba(X))
        assert all(
            torch.equal(value, trained[name]) and value.dtype == trained[name].dtype
            for name, value in one.module_.encoder.state_dict().items()
        )


def test_buffers_of_frozen_layers_stay_in_the_backbone():
    model = classifier(strategy="fine_tune_top").fit(X, Y)
    held = model.tuned_.__getstate__()["_net_weights"]
    statistics = [name for name in held if name.endswith("running_mean")]
    assert len(statistics) == 1
    assert "blocks.2" in statistics[0]


def test_pickles_hold_only_what_was_trained(tmp_path):
    y, weight_bytes = [0, 1] * 4, 3_000_000 * 4
    X = np.zeros((8, 32, 32, 3), dtype=np.uint8)
    X[::2, ::4] = 250
    options = {"cache": False, "random_state": 0, "image_size": 32, "max_iter": 1}
    frozen = ImageTransferClassifier(**options).fit(X, y)
    assert len(pickle.dumps(frozen)) < 100_000
    top = ImageTransferClassifier(strategy="fine_tune_top", **options, batch_size=8).fit(X, y)
    assert len(pickle.dumps(top)) < weight_bytes / 2
    whole, small = tmp_path / "whole.skops", tmp_path / "small.skops"
    mlfund.save(frozen, small)
    mlfund.save(frozen, whole, standalone=True)
    assert small.stat().st_size < 100_000
    assert whole.stat().st_size > weight_bytes / 2
    for path in (small, whole):
        again = mlfund.load(path)
        np.testing.assert_array_equal(again.predict_proba(X), frozen.predict_proba(X))


def test_missing_and_changed_weights_are_one_sentence(tmp_path, monkeypatch):
    model = TextTransferClassifier(Letters(0), cache=False, random_state=0)
    texts = ["abc", "abd", "xyz", "xyw"] * 3
    model.fit(texts, ["a", "a", "x", "x"] * 3)
    saved = pickle.dumps(model)
    monkeypatch.setattr(Letters, "fingerprint", property(lambda self: "others"))
    again = pickle.loads(saved)
    with pytest.raises(ValueError, match="have changed"):
        again.predict(texts)


def test_clone_and_searches_over_heads_and_strategies():
    assert clone(classifier()).get_params()["backbone"] is BACKBONE
    search = GridSearchCV(
        classifier(max_iter=1),
        [
            {"head": ["linear", LogisticRegression(C=0.1), RandomForestClassifier(5)]},
            {"strategy": ["full"], "backbone_lr": [1e-4, 1e-3]},
        ],
        cv=2,
        error_score="raise",
    ).fit(X, Y)
    assert len(search.cv_results_["params"]) == 5
    assert search.best_score_ > 0.8
    model = classifier(head=LogisticRegression()).set_params(head__C=3.0)
    assert model.fit(X, Y).head_.C == 3.0


def test_joblib_holds_a_tuned_text_model(tmp_path):
    texts, y = ["abc", "abd", "xyz", "xyw"] * 5, ["a", "a", "x", "x"] * 5
    options = {"cache": False, "random_state": 0, "strategy": "full", "max_iter": 30}
    model = TextTransferClassifier(Letters(), **options, backbone_lr=0.05, head_lr=0.05)
    model.fit(texts, y)
    assert model.score(texts, y) == 1.0
    joblib.dump(model, tmp_path / "model.joblib")
    again = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(again.predict_proba(texts), model.predict_proba(texts))
    longer = [*texts, "abcdefghijkl"]
    np.testing.assert_allclose(
        model.predict_proba(longer)[:20], model.predict_proba(texts), atol=1e-6
    )


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", ""], "empty"),
        (["a", None], "missing"),
        (["a", 3], "strings"),
        ("abc", "list"),
    ],
)
def test_what_is_no_text_is_one_sentence(texts, message):
    with pytest.raises(ValueError, match=message):
        TextTransferClassifier(Letters(), cache=False).fit(texts, [0, 1])


def test_real_targets_of_texts():
    texts = [letter * 3 for letter in "abcdefghij"]
    y = np.arange(10.0) * 100
    model = TextTransferRegressor(Letters(), cache=False).fit(texts, y)
    assert model.predict(texts).shape == (10,)
    tuned = TextTransferRegressor(
        Letters(), cache=False, strategy="full", max_iter=60, head_lr=0.1, backbone_lr=0.1
    ).fit(texts, y)
    assert tuned.score(texts, y) > 0.8
    two = TextTransferRegressor(Letters(), cache=False, strategy="full", max_iter=1)
    assert two.fit(texts, np.c_[y, -y]).predict(texts).shape == (10, 2)


def test_a_killed_training_goes_on(tmp_path):
    class Stop(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                raise RuntimeError("killed")

    options = {"strategy": "gradual", "max_iter": 4}
    expected = classifier(**options).fit(X, Y).predict_proba(X)
    options |= {"checkpoint_dir": str(tmp_path), "checkpoint_every": 1}
    with pytest.raises(RuntimeError, match="killed"):
        classifier(**options, callbacks=[Stop()]).fit(X, Y)
    assert list(tmp_path.glob("*/epoch-*.npz"))
    np.testing.assert_array_equal(classifier(**options).fit(X, Y).predict_proba(X), expected)


def test_adapters_are_saved_alone_and_a_whole_text_model_needs_no_package(tmp_path):
    pytest.importorskip("transformers")
    texts, y = (
        ["A delight.", "A wonderful film.", "A bore.", "A dreadful film."] * 2,
        [1, 1, 0, 0] * 2,
    )
    options = {"cache": False, "random_state": 0, "max_iter": 2}
    if _installed("peft"):
        before = mlfund.backbones.get_backbone("all-MiniLM-L6-v2").load().state_dict()
        lora = TextTransferClassifier(strategy="lora", lora_rank=2, **options).fit(texts, y)
        others = [name for name in lora.tuned_._trained if "lora_" not in name]
        assert sorted(others) == ["head.bias", "head.weight", "scale"]
        after = {name.replace(".base_layer", ""): t for name, t in _state_of(lora).items()}
        assert all(torch.equal(before[name], after[name]) for name in before)
        saved = pickle.dumps(lora)
        assert len(saved) < 1_000_000
        again = pickle.loads(saved)
        np.testing.assert_array_equal(again.predict_proba(texts), lora.predict_proba(texts))
    frozen = TextTransferClassifier(**options).fit(texts, y)
    assert frozen.head_.n_features_in_ == 3 * 384
    mlfund.save(frozen, tmp_path / "whole.skops", standalone=True)
    whole = mlfund.load(tmp_path / "whole.skops")
    assert whole.backbone_ != frozen.backbone_
    np.testing.assert_array_equal(whole.predict_proba(texts), frozen.predict_proba(texts))


def _state_of(model):
    return model.module_.encoder.state_dict()


def _installed(package):
    return importlib.util.find_spec(package) is not None
