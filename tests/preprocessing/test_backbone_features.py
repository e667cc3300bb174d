"""BackboneFeatures: as a transformer among others, saved small, and never with other weights."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks, get_tags

import mlfund
from mlfund import BackboneFeatures, EmbeddingCache, LogisticRegression
from mlfund.backbones import HuggingFaceText, get_backbone
from mlfund.preprocessing._embedding import embed
from tests.backbones.text_models import save_bert
from tests.backbones.tiny import CountingBody, LetterEncoder, Letters, image_source, images

Y = np.arange(20) % 2
TEXTS = [f"{'good' if label else 'bad'} {number}" for number, label in enumerate(Y)]


@pytest.fixture
def cache(tmp_path):
    return EmbeddingCache(tmp_path / "cache")


@pytest.fixture(autouse=True)
def nothing_computed():
    CountingBody.batches.clear()
    LetterEncoder.texts.clear()


@pytest.fixture
def paths(tmp_path):
    found = []
    for number, pixels in enumerate(images(20, (9, 7))):
        found.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(pixels).save(found[-1])
    return found


def n_computed():
    return sum(CountingBody.batches)


# Of scikit-learn's checks, those that make no table of numbers.
CHECKS = [
    estimator_checks.check_estimator_cloneable,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_estimator_tags_renamed,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_mixin_order,
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_set_params,
    estimator_checks.check_valid_tag_types,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_checks_of_scikit_learn_without_rows(check):
    check("BackboneFeatures", BackboneFeatures())


def test_tags_say_strings_and_images():
    tags = get_tags(BackboneFeatures())
    assert tags.input_tags.string
    assert tags.input_tags.three_d_array
    assert not tags.input_tags.two_d_array
    assert not tags.requires_fit
    assert not tags.target_tags.required


def test_all_forms_of_a_column_give_the_same(paths, cache):
    transformer = BackboneFeatures(image_source(), cache=cache)
    expected = transformer.fit_transform(paths)
    assert expected.shape == (20, 6)
    for X in (
        np.array(paths),
        np.array(paths, dtype=object),
        pd.Series(paths, name="photo"),
        pd.DataFrame({"photo": paths}),
    ):
        np.testing.assert_array_equal(clone(transformer).fit_transform(X), expected)
    assert n_computed() == 20


def test_names(paths, cache):
    transformer = BackboneFeatures(image_source(), cache=cache)
    frame = pd.DataFrame({"photo": paths})
    assert transformer.fit(frame).get_feature_names_out()[:2].tolist() == ["photo_0", "photo_1"]
    assert transformer.feature_names_in_.tolist() == ["photo"]
    assert transformer.n_features_in_ == 1
    with pytest.raises(ValueError, match="feature names"):
        transformer.transform(frame.rename(columns={"photo": "picture"}))
    assert transformer.fit(frame["photo"]).get_feature_names_out()[5] == "photo_5"
    assert transformer.fit(paths).get_feature_names_out()[5] == "backbonefeatures_5"
    assert not hasattr(transformer, "feature_names_in_")
    assert transformer.fit(images()).n_features_in_ == 8 * 8 * 3


def test_pandas_out_keeps_the_index(paths, cache):
    frame = pd.DataFrame({"photo": paths}, index=range(100, 120))
    out = BackboneFeatures(image_source(), cache=cache).set_output(transform="pandas")
    table = out.fit_transform(frame)
    assert table.index.tolist() == list(range(100, 120))
    assert table.columns[0] == "photo_0"
    assert (table.dtypes == np.float32).all()
    assert out.fit_transform(images()).shape == (20, 6)


def test_beside_columns_of_numbers(paths, cache):
    frame = pd.DataFrame({"photo": paths, "remark": TEXTS, "price": np.arange(20.0)})
    columns = ColumnTransformer(
        [
            ("image", BackboneFeatures(image_source(), cache=cache), "photo"),
            ("text", BackboneFeatures(Letters(), cache=cache), ["remark"]),
            ("numbers", StandardScaler(), ["price"]),
        ],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    table = columns.fit_transform(frame)
    assert table.columns[[0, 6, 10]].tolist() == ["photo_0", "remark_0", "price"]
    expected = embed(image_source(), paths, cache=False)
    np.testing.assert_allclose(table.iloc[:, :6], expected, rtol=1e-5, atol=1e-6)
    model = make_pipeline(columns, LogisticRegression())
    assert cross_val_score(model, frame, Y, cv=3).shape == (3,)
    assert len(set(LetterEncoder.texts)) == len(LetterEncoder.texts) == 20


def test_no_fit_is_needed(cache):
    transformer = BackboneFeatures(image_source(), cache=cache)
    X = images()
    np.testing.assert_array_equal(transformer.transform(X), transformer.fit(X).transform(X))


def test_parameters_reach_the_backbone(cache):
    X = images(3, (10, 10)).transpose(0, 3, 1, 2)
    found = BackboneFeatures(
        image_source(), image_size=(6, 7), channels="first", cache=cache, batch_size=1, n_jobs=1
    ).fit_transform(X)
    expected = embed(image_source(), X, image_size=(6, 7), channels="first", cache=False)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert CountingBody.batches[:3] == [1, 1, 1]


def test_folds_and_candidates_share_each_row(cache):
    model = make_pipeline(BackboneFeatures(image_source(), cache=cache), StandardScaler())
    model.steps.append(("head", SklearnLogisticRegression()))
    X = images()
    search = GridSearchCV(model, {"head__C": np.logspace(-3, 3, 50)}, cv=2).fit(X, Y)
    assert n_computed() == 20
    assert len(pickle.dumps(search.best_estimator_)) < 15_000
    search.predict(X)
    assert n_computed() == 20


def test_workers_share_the_folder(tmp_path):
    text = BackboneFeatures(Letters(), cache=tmp_path)
    model = make_pipeline(text, SklearnLogisticRegression())
    serial = cross_val_score(model, TEXTS, Y, cv=4)
    mlfund.EmbeddingCache(tmp_path).clear()
    np.testing.assert_array_equal(cross_val_score(model, TEXTS, Y, cv=4, n_jobs=2), serial)
    assert mlfund.EmbeddingCache(tmp_path).info().n_rows == 20


def test_clone_hands_the_backbone_and_the_cache_on(cache):
    source = image_source()
    transformer = BackboneFeatures(source, cache=cache).fit(images())
    again = clone(transformer)
    assert again.backbone is source
    assert again.cache is cache
    assert not hasattr(again, "backbone_")


def test_saved_models_are_small_and_transform_alike(cache, tmp_path):
    X = images(4, (40, 40))
    model = make_pipeline(BackboneFeatures(cache=cache, image_size=48), LogisticRegression())
    model.fit(X, [0, 1, 0, 1])
    expected = model.predict_proba(X)
    for again in (pickle.loads(pickle.dumps(model)), _saved(model, tmp_path / "model.skops")):
        np.testing.assert_array_equal(again.predict_proba(X), expected)
        assert again[0].backbone_ == get_backbone("efficientnet_lite0")
    assert len(pickle.dumps(model)) < 20_000
    assert len(pickle.dumps(model[0])) < 1000


def _saved(model, path):
    mlfund.save(model, path)
    assert path.stat().st_size < 40_000
    return mlfund.load(path)


def test_other_weights_are_refused_in_use_not_in_loading(monkeypatch):
    fitted = BackboneFeatures(Letters(), cache=False).fit(TEXTS)
    fitted.get_feature_names_out()  # the length of embeddings is known from here on
    content = pickle.dumps(fitted)
    monkeypatch.setattr(Letters, "fingerprint", "another")
    model = pickle.loads(content)
    for use in (lambda: model.transform(TEXTS), model.get_feature_names_out):
        with pytest.raises(ValueError, match=r"weights of .* have changed.*fit again\.$"):
            use()


def test_other_weights_are_refused_whose_length_is_known(monkeypatch):
    content = pickle.dumps(BackboneFeatures(Letters(), cache=False).fit(TEXTS))
    monkeypatch.setattr(Letters, "fingerprint", "a third")
    BackboneFeatures(Letters(), cache=False).fit_transform(TEXTS)
    model = pickle.loads(content)
    with pytest.raises(ValueError, match=r"weights of .* have changed.*fit again\.$"):
        model.get_feature_names_out()


def test_loading_asks_no_hub_and_reads_no_weights(monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    folder = save_bert(tmp_path / "model")
    asked = []

    def fetched(name, **options):
        asked.append(name)
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", fetched)
    source = HuggingFaceText("stranger/model", download=True)
    model = BackboneFeatures(source, cache=False).fit(TEXTS)
    expected = model.transform(TEXTS)
    content, path = pickle.dumps(model), tmp_path / "model.skops"
    mlfund.save(model, path)
    asked.clear()
    for load in (lambda: pickle.loads(content), lambda: mlfund.load(path)):
        again = load()
        assert not asked
        np.testing.assert_array_equal(again.transform(TEXTS), expected)
        assert asked
        asked.clear()


def test_missing_weights_are_missed_in_use_not_in_loading(monkeypatch):
    content = pickle.dumps(BackboneFeatures(Letters(), cache=False).fit(TEXTS))

    def missing(self):
        raise FileNotFoundError("There is no file of weights.")

    monkeypatch.setattr(Letters, "fingerprint", property(missing))
    model = pickle.loads(content)
    with pytest.raises(FileNotFoundError, match="no file of weights"):
        model.transform(TEXTS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("efficientnet_lite", "Did you mean 'efficientnet_lite0'"),
        (3, "backbone must be a name"),
    ],
)
def test_unknown_backbones(given, message):
    with pytest.raises(ValueError, match=message):
        BackboneFeatures(given).fit(images())


@pytest.mark.parametrize("X", [["fine", ""], ["fine", None], ["fine", 3.0]])
def test_rows_that_are_no_texts_are_found_by_fit(X):
    with pytest.raises(ValueError, match="Row 1 of X"):
        BackboneFeatures(Letters()).fit(X)


OFFLINE = """
import socket, sys
def refuse(*args, **kwargs):
    raise OSError("the network was asked for")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
import numpy as np
from mlfund import BackboneFeatures
images = np.zeros((2, 20, 20, 3), dtype=np.uint8)
image = BackboneFeatures(image_size=32, cache=sys.argv[1]).fit_transform(images)
text = BackboneFeatures("all-MiniLM-L6-v2", cache=sys.argv[1]).fit_transform(["a gem", "dull"])
print(image.shape, text.shape)
"""


def test_offline_with_the_weights_of_the_packages(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", OFFLINE, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.stdout.split("\n")[0] == "(2, 1280) (2, 384)", done.stderr
