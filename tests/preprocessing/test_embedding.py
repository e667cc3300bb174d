"""embed: rows of images and texts through a frozen backbone, each distinct one once."""

import numpy as np
import pytest
import torch
from PIL import Image

from mlfund import EmbeddingCache
from mlfund.backbones import (
    EfficientNetLite0,
    HuggingFaceText,
    ImageTextBackbone,
    TimmBackbone,
    TorchvisionBackbone,
    get_backbone,
    shared_encoder,
)
from mlfund.preprocessing._embedding import embed, name_of
from mlfund.preprocessing.image_inputs import given_images, image_rows
from tests.backbones.tiny import (
    SIDE,
    CountingBody,
    LetterEncoder,
    Letters,
    image_source,
    images,
)


@pytest.fixture
def cache(tmp_path):
    return EmbeddingCache(tmp_path / "cache")


@pytest.fixture(autouse=True)
def nothing_computed():
    CountingBody.batches.clear()
    LetterEncoder.texts.clear()


def n_computed():
    return sum(CountingBody.batches)


def reference(source, X, **size):
    """Embeddings by the encoder itself, one row at a time."""
    encoder = source.load()
    encoder = encoder.with_size(**size) if size else encoder
    rows = torch.from_numpy(image_rows(X, encoder.pixels.size[:2]))
    with torch.inference_mode():
        return torch.cat([encoder(row[None]) for row in rows]).numpy()


def test_embeddings_are_those_of_the_encoder(cache):
    source, X = image_source(), images()
    expected = reference(source, X)
    CountingBody.batches.clear()
    found = embed(source, X, cache=cache, batch_size=7)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found.dtype == np.float32
    assert max(CountingBody.batches) == 7
    assert n_computed() == 20


NAMES = {
    "efficientnet_lite0": EfficientNetLite0(),
    "all-MiniLM-L6-v2": HuggingFaceText("all-MiniLM-L6-v2"),
    "timm:resnet18": TimmBackbone("resnet18"),
    "torchvision:resnet18": TorchvisionBackbone("resnet18"),
    "models/clip": ImageTextBackbone("models/clip"),
    "Letters": Letters(),
    "TorchBackbone": image_source(),
}


@pytest.mark.parametrize("name", NAMES)
def test_backbones_are_called_what_users_call_them(name):
    assert name_of(NAMES[name]) == name


def test_a_backbone_with_its_weights_has_the_name_of_the_one_without(cache):
    source, X = get_backbone("efficientnet_lite0").standalone(), images(2, (32, 32))
    embed(source, X, cache=cache, image_size=32)
    assert [rows.backbone for rows in cache.info().backbones] == ["efficientnet_lite0"]
    cache.clear("efficientnet_lite0")
    assert cache.info().n_rows == 0


def test_what_comes_from_the_cache_is_what_was_computed(cache):
    source, X = image_source(), images()
    first = embed(source, X, cache=cache)
    order = np.random.default_rng(0).permutation(20)
    np.testing.assert_array_equal(embed(source, X[order], cache=cache), first[order])
    np.testing.assert_array_equal(embed(source, X[[3, 3]], cache=cache), first[[3, 3]])
    assert n_computed() == 20


def test_a_row_does_not_depend_on_its_batch():
    source, X = image_source(), images(13)
    whole = embed(source, X, cache=False)
    for batch_size in (1, 4):
        other = embed(source, X[::-1], cache=False, batch_size=batch_size)[::-1]
        np.testing.assert_allclose(other, whole, rtol=1e-5, atol=1e-6)
    texts = ["a", "quite a long text", "bb", "a"]
    whole = embed(Letters(), texts, cache=False)
    alone = np.concatenate([embed(Letters(), [text], cache=False) for text in texts])
    np.testing.assert_allclose(alone, whole, rtol=1e-6)


def test_one_pixel_misses_the_cache(cache):
    source, X = image_source(), images()
    before = embed(source, X, cache=cache)
    X[5, 2, 3, 1] ^= 1
    after = embed(source, X, cache=cache)
    assert n_computed() == 21
    changed = np.flatnonzero((after != before).any(axis=1))
    assert changed.tolist() == [5]


def test_weights_size_and_mirror_are_other_embeddings(cache):
    X = images()
    results = [
        embed(image_source(), X, cache=cache),
        embed(image_source(1), X, cache=cache),
        embed(image_source(), X, cache=cache, image_size=(6, 9)),
        embed(image_source(), X, cache=cache, mirrored=True),
    ]
    assert n_computed() == 80
    assert len({rows.tobytes() for rows in results}) == 4
    resized = reference(image_source(), X, height=6, width=9)
    np.testing.assert_allclose(results[2], resized, rtol=1e-5, atol=1e-6)
    mirror = reference(image_source(), X[:, :, ::-1])
    np.testing.assert_allclose(results[3], mirror, rtol=1e-5, atol=1e-6)


def test_files_that_are_known_are_not_decoded(cache, tmp_path, monkeypatch):
    paths = []
    for number, pixels in enumerate(images(6, (12, 10))):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(pixels).save(paths[-1])
    found = embed(image_source(), paths, cache=cache)
    np.testing.assert_allclose(found, reference(image_source(), paths), rtol=1e-5, atol=1e-6)
    monkeypatch.setattr(Image, "open", None)
    renamed = [path.rename(path.with_name(f"x{path.name}")) for path in paths]
    np.testing.assert_array_equal(embed(image_source(), renamed, cache=cache), found)


def test_equal_rows_are_computed_once_without_a_cache():
    X = np.repeat(images(3), 5, axis=0)
    assert embed(image_source(), X, cache=False).shape == (15, 6)
    assert n_computed() == 3
    texts = ["one", "two", "one", "one"]
    rows = embed(Letters(), texts, cache=False)
    assert sorted(LetterEncoder.texts) == ["one", "two"]
    np.testing.assert_array_equal(rows[0], rows[3])


def test_texts_are_kept(cache):
    first = embed(Letters(), ["good", "bad", "ugly"], cache=cache)
    again = embed(Letters(), ["ugly", "new", "good"], cache=cache)
    np.testing.assert_array_equal(again[[0, 2]], first[[2, 0]])
    assert LetterEncoder.texts[3:] == ["new"]
    assert embed(Letters(1), ["good"], cache=cache)[0].tolist() != first[0].tolist()


def test_what_is_known_needs_no_backbone(cache, monkeypatch):
    source, X = image_source(), images()
    first = embed(source, X, cache=cache)
    monkeypatch.setattr("mlfund.preprocessing._embedding.shared_encoder", None)
    np.testing.assert_array_equal(embed(source, X, cache=cache), first)


def test_one_encoder_serves_all(cache):
    source = image_source()
    embed(source, images(3), cache=cache)
    encoder = shared_encoder(source)
    embed(source, images(4), cache=cache, image_size=5)
    assert shared_encoder(source) is encoder
    assert encoder.pixels.size == (SIDE, SIDE, 3)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_checked_images_are_taken_as_they_are(cache):
    X = images()
    given = given_images(X)
    np.testing.assert_array_equal(
        embed(image_source(), given, cache=cache), embed(image_source(), X, cache=cache)
    )


def test_progress_is_told(cache, capsys, monkeypatch):
    monkeypatch.setattr("mlfund._progress_line.FIRST_SECONDS", 0.0)
    embed(image_source(), images(10), cache=cache, batch_size=1, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("0/10 rows embedded")
    assert lines[-1].startswith("10/10 rows embedded")
    embed(image_source(), images(10), cache=cache)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an integer greater than 0"),
        ({"device": "tpu"}, "device='tpu' is not known"),
        ({"cache": 3}, "cache=3 is not known"),
        ({"image_size": (0, 4)}, "0, 4"),
    ],
)
def test_parameters_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        embed(image_source(), images(2), **{"cache": False, **options})


def test_the_wrong_kind_is_refused():
    with pytest.raises(ValueError, match="the backbone reads texts"):
        embed(Letters(), images(2), cache=False)
    with pytest.raises(ValueError, match="there"):
        embed(image_source(), ["no file of this name"], cache=False)
