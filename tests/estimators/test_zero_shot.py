"""Zero-shot classification with tiny random models: the plumbing, against transformers itself.

Nothing here says how well images are classified; random weights know nothing.
"""

import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from mlfund import ZeroShotImageClassifier, load, save
from mlfund.backbones._image_text import ImageTextBackbone
from tests.image_text_models import MOST_TOKENS, SIDE, write_clip, write_siglip

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

# Of the size that the models take: libraries round differently when they resize.
RNG = np.random.default_rng(0)
NOISE, COLOURS = RNG.integers(0, 60, (6, SIDE, SIDE, 3)), RNG.integers(0, 195, (6, 1, 1, 3))
IMAGES = (NOISE + COLOURS).astype(np.uint8)
NAMES = ["tulip", "daisy", "sweet_pea"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("models") / "clip")


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    return write_siglip(tmp_path_factory.mktemp("models") / "siglip")


def make(folder, classes=NAMES, **options):
    return ZeroShotImageClassifier(folder, classes, cache=False, **options)


def inputs(folder, prompts, **padding):
    """What the model takes, by the library's own tokenizer and plain arithmetic on pixels."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    pixels = IMAGES / 255
    tokens = tokenizer(prompts, return_tensors="pt", **(padding or {"padding": True}))
    return model, tokens, torch.from_numpy(pixels).permute(0, 3, 1, 2).float()


@torch.no_grad()
def test_probabilities_are_those_of_clip(clip):
    prompts = [f"a photo of a {name}." for name in ("daisy", "sweet pea", "tulip")]
    model, tokens, pixels = inputs(clip, prompts)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([0.48, 0.46, 0.41], [0.27, 0.26, 0.28]))
    wanted = model(**tokens, pixel_values=(pixels - mean) / std).logits_per_image.softmax(1)
    zero_shot = make(clip).fit()
    assert zero_shot.classes_.tolist() == ["daisy", "sweet_pea", "tulip"]
    found = zero_shot.predict_proba(IMAGES)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    # A test that every model would pass says nothing.
    assert found.max(axis=1).min() < 0.999
    assert np.ptp(found, axis=0).min() > 0.01
    np.testing.assert_array_equal(zero_shot.predict(IMAGES), zero_shot.classes_[found.argmax(1)])


@torch.no_grad()
def test_probabilities_are_those_of_siglip(siglip):
    prompts = ["a photo of a daisy.", "a photo of a sweet pea.", "a photo of a tulip."]
    padding = {"padding": "max_length", "max_length": MOST_TOKENS}
    model, tokens, pixels = inputs(siglip, prompts, **padding)
    tokens.pop("attention_mask")
    wanted = model(**tokens, pixel_values=(pixels - 0.5) / 0.5).logits_per_image.softmax(1)
    np.testing.assert_allclose(make(siglip).fit().predict_proba(IMAGES), wanted, atol=1e-5)


def test_captions_of_a_class_are_averaged_as_directions(clip):
    prompts = ["a rose", "one red rose", "the daisy"]
    found, scale = ImageTextBackbone(str(clip)).embed_prompts(prompts)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    zero_shot = make(clip, {"rose": prompts[:2], "daisy": prompts[2]}).fit()
    assert zero_shot.captions_ == [["the daisy"], ["a rose", "one red rose"]]
    mean = found[:2].mean(axis=0)
    wanted = np.stack([found[2], mean / np.linalg.norm(mean)])
    np.testing.assert_allclose(zero_shot.text_embeddings_, wanted, atol=1e-6)
    assert zero_shot.scale_ == scale == pytest.approx(1 / 0.07, rel=1e-3)


def test_templates_are_filled_with_names(clip):
    templates = ["a {}.", "many {} here"]
    zero_shot = make(clip, ["b_c", "a"], templates=templates).fit()
    assert zero_shot.captions_ == [["a a.", "many a here"], ["a b c.", "many b c here"]]
    same = make(clip, {"a": ["a a.", "many a here"], "b_c": ["a b c.", "many b c here"]}).fit()
    np.testing.assert_array_equal(zero_shot.text_embeddings_, same.text_embeddings_)
    once = make(clip, ["b", "a"], templates="the {}").fit()
    assert once.captions_ == [["the a"], ["the b"]]


def test_classes_may_be_those_of_y_or_numbers(clip):
    labels = ["b", "a", "b", "c", "a", "a"]
    from_y = make(clip, None).fit(IMAGES, labels)
    np.testing.assert_array_equal(from_y.classes_, ["a", "b", "c"])
    assert from_y.score(IMAGES, from_y.predict(IMAGES)) == 1
    numbers = make(clip, {3: "a rose", 1: "a tree"}).fit()
    assert numbers.classes_.tolist() == [1, 3]
    assert set(numbers.predict(IMAGES).tolist()) <= {1, 3}


def test_images_come_in_all_forms_and_through_the_cache(clip, tmp_path):
    paths = [tmp_path / f"{k}.png" for k in range(6)]
    for path, image in zip(paths, IMAGES, strict=True):
        Image.fromarray(image).save(path)
    zero_shot = make(clip, device="cpu", batch_size=4, n_jobs=2).fit()
    wanted = zero_shot.predict_proba(IMAGES)
    for X in (paths, [Image.fromarray(image) for image in IMAGES], IMAGES / 255):
        np.testing.assert_allclose(zero_shot.predict_proba(X), wanted, atol=1e-6)
    first = clone(zero_shot).set_params(channels="first").fit()
    X = IMAGES.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(first.predict_proba(X), wanted, atol=1e-6)
    cached = clone(zero_shot).set_params(cache=tmp_path / "cache").fit()
    for _ in range(2):
        np.testing.assert_allclose(cached.predict_proba(paths), wanted, atol=1e-6)
    assert any((tmp_path / "cache").rglob("*"))


def test_clone_search_pickle_and_save(clip, tmp_path):
    zero_shot = make(str(clip)).fit()
    labels = np.array(["daisy", "tulip"] * 3)
    scores = cross_val_score(zero_shot, IMAGES, labels, cv=3)
    assert scores.shape == (3,)
    wanted = zero_shot.predict_proba(IMAGES)
    written = pickle.dumps(zero_shot)
    assert len(written) < 10_000
    np.testing.assert_array_equal(pickle.loads(written).predict_proba(IMAGES), wanted)
    save(zero_shot, tmp_path / "model.mlfund")
    np.testing.assert_array_equal(load(tmp_path / "model.mlfund").predict_proba(IMAGES), wanted)
    tags = get_tags(zero_shot)
    assert not tags.input_tags.two_d_array
    assert tags.input_tags.string
    assert not tags.target_tags.required


def test_other_weights_than_those_of_fit_are_refused(clip, tmp_path):
    folder = tmp_path / "clip"
    shutil.copytree(clip, folder)
    written = pickle.dumps(make(str(folder)).fit())
    write_clip(folder, seed=1)
    changed = pickle.loads(written)
    with pytest.raises(ValueError, match="have changed"):
        changed.predict(IMAGES)
    shutil.rmtree(folder)
    missing = pickle.loads(written)
    with pytest.raises(FileNotFoundError, match="is no folder of a model"):
        missing.predict(IMAGES)


def test_a_fit_that_fails_leaves_nothing_of_itself_or_of_former_ones(clip, tmp_path):
    animals, flower = ["cat", "dog", "cow"], ["tulip"] * 6
    unfitted = make(clip, animals)
    with pytest.raises(ValueError, match="not among classes"):
        unfitted.fit(IMAGES, flower)
    with pytest.raises(NotFittedError):
        check_is_fitted(unfitted)
    for change in ({"classes": animals}, {"templates": ["a photo"]}, {"backbone": tmp_path}):
        zero_shot = make(clip).fit().set_params(**change)
        with pytest.raises((ValueError, FileNotFoundError)):
            zero_shot.fit(IMAGES, flower)
        with pytest.raises(NotFittedError):
            zero_shot.predict(IMAGES)
        zero_shot.set_params(backbone=clip, classes=animals, templates=["a {}."]).fit()
        assert set(zero_shot.predict(IMAGES)) <= set(animals)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
def test_what_is_not_fitted_says_so(clip, method):
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        getattr(make(clip), method)(IMAGES)


REFUSED = {
    "no classes": ({"classes": None}, "There is nothing to choose from: give classes="),
    "one class": ({"classes": ["a"]}, r"classes has 1 class \('a'\), and two are needed"),
    "a text": ({"classes": "daisy"}, "classes='daisy' is one text; give a list of names"),
    "twice": ({"classes": ["a", "b", "a"]}, "classes has 'a' more than once"),
    "no caption": ({"classes": {"a": "x", "b": []}}, r"no caption for 'b', \[\]; give it a text"),
    "a number": (
        {"classes": {"a": "b", "c": 3}},
        r"classes has no caption for 'c', \[3\]; give it a text",
    ),
    "None as caption": ({"classes": {"a": "b", "c": None}}, "no caption for 'c'"),
    "no names": ({"classes": 3}, "classes=3 is no list of names; give one"),
    "tuples": (
        {"classes": [("a", "b"), ("c", "d")]},
        r"classes has the name \('a', 'b'\), a tuple; give each class a text or a number",
    ),
    "tuples as keys": ({"classes": {("a",): "x", ("b", "c"): "y"}}, r"the name \('a',\), a tuple"),
    "bytes": ({"classes": [b"a", b"b"]}, "the name b'a', a bytes; give each class a text"),
    "lists": ({"classes": [["a"], ["b"]]}, r"the name \['a'\], a list"),
    "template of a number": ({"templates": 3}, "templates has 3; each is a text"),
    "blank": ({"classes": {"a": "x", "b": " "}}, "no caption for 'b'"),
    "template": ({"templates": ["a photo"]}, r"templates has 'a photo'; each is a text with \{\}"),
    "no template": ({"templates": []}, "templates has nothing"),
    "types": (
        {"classes": [1, "b"]},
        r"names of several types \(numbers, strings\); give all as str",
    ),
    "types of keys": ({"classes": {1: "a rose", "b": "a tree"}}, "names of several types"),
    "None": ({"classes": {"a": "x", None: "y"}}, "classes has None or NaN, which names no class"),
    "NaN": ({"classes": ["a", float("nan")]}, "classes has None or NaN"),
    "backbone": ({"backbone": 3}, "backbone must be the folder of a model of images and texts"),
    "long": (
        {"templates": ["{}" + " word" * 50]},
        "has .* tokens, and the model reads 40; shorten",
    ),
}


def test_captions_that_are_too_long_are_told_once(clip, caplog):
    logging = transformers.utils.logging
    logging.enable_propagation()
    try:
        with pytest.raises(ValueError, match="tokens, and the model reads 40; shorten"):
            make(clip, templates=["{}" + " word" * 50]).fit()
    finally:
        logging.disable_propagation()
    assert not caplog.records


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_in_a_sentence(clip, name):
    options, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        make(clip).set_params(**options).fit()


def test_labels_that_are_no_classes_are_refused(clip):
    with pytest.raises(ValueError, match="y has labels that are not among classes: 'rose'; add"):
        make(clip).fit(IMAGES, ["daisy", "rose"] * 3)


def test_labels_that_name_no_class_are_refused(clip):
    for missing in (None, float("nan"), pd.NA):
        with pytest.raises(ValueError, match="The label in row 2 of y is missing; leave"):
            make(clip, None).fit(None, ["a", "b", missing, "b"])
        with pytest.raises(ValueError, match="The label in row 1 of y is missing"):
            make(clip).fit(None, pd.Series(["daisy", missing], dtype=object))
    with pytest.raises(ValueError, match=r"names of several types \(numbers, strings\)"):
        make(clip, None).fit(None, [1, "b", 1])
    for several in ([("a", "b")] * 6, [["a", "b"], ["c", "d", "e"]] * 3):
        for classes in (None, ["a", "b"]):
            with pytest.raises(
                ValueError, match=r"y has several labels for an image, .*; give one"
            ):
                make(clip, classes).fit(IMAGES, several)
    with pytest.raises(ValueError, match=r"classes has 1 class \(5\), and two are needed"):
        make(clip, None).fit(None, 5)
    assert make(clip, None).fit(None, [["a"], ["b"]]).classes_.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="X has 6 rows and y has 5; give a label for each image"):
        make(clip).fit(IMAGES, ["daisy"] * 5)


def test_logarithms_are_those_of_the_probabilities(clip):
    zero_shot = make(clip).fit()
    wanted = np.log(zero_shot.predict_proba(IMAGES))
    np.testing.assert_array_equal(zero_shot.predict_log_proba(IMAGES), wanted)


def test_the_folder_may_be_in_the_home_of_the_user(clip, monkeypatch):
    monkeypatch.setenv("HOME", str(clip.parent))
    monkeypatch.setenv("USERPROFILE", str(clip.parent))
    found = make("~/clip").fit().predict_proba(IMAGES)
    np.testing.assert_array_equal(found, make(clip).fit().predict_proba(IMAGES))
