"""ImageScaler: what it learns, in which forms images come, what it refuses."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlfund import ImageScaler, LogisticRegression, PixelRows
from mlfund.preprocessing._image_rows import read_pixels, shape_of_size

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (40, 6, 5, 3), dtype=np.uint8)


def as_first(images):
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def test_moments_are_those_of_all_pixels_of_a_channel():
    scaler = ImageScaler().fit(COLOURS)
    pixels = COLOURS.reshape(-1, 3).astype(float)
    np.testing.assert_allclose(scaler.mean_, pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scaler.scale_, pixels.std(axis=0), rtol=1e-12)
    assert scaler.image_size_ == (6, 5, 3)
    assert scaler.n_features_in_ == 90
    scaled = scaler.transform(COLOURS)
    reference = StandardScaler().fit(pixels).transform(pixels)
    np.testing.assert_allclose(scaled.reshape(-1, 3), reference, atol=1e-5)


def test_moments_do_not_depend_on_the_block(monkeypatch):
    from mlfund.preprocessing import images

    expected = ImageScaler().fit(COLOURS)
    monkeypatch.setattr(images, "BLOCK_VALUES", 200)
    found = ImageScaler().fit(COLOURS)
    np.testing.assert_allclose(found.mean_, expected.mean_, rtol=1e-13)
    np.testing.assert_allclose(found.scale_, expected.scale_, rtol=1e-13)


def test_forms_of_the_same_images_give_the_same_result():
    expected = ImageScaler().fit_transform(COLOURS)
    first = ImageScaler(channels="first").fit_transform(as_first(COLOURS))
    np.testing.assert_array_equal(first, as_first(expected))
    flat = ImageScaler(image_shape=(6, 5, 3)).fit_transform(COLOURS.reshape(40, -1))
    np.testing.assert_array_equal(flat, expected.reshape(40, -1))
    flat_first = ImageScaler(channels="first", image_shape=(3, 6, 5))
    found = flat_first.fit_transform(as_first(COLOURS).reshape(40, -1))
    np.testing.assert_array_equal(found, as_first(expected).reshape(40, -1))
    np.testing.assert_array_equal(ImageScaler().fit_transform(list(COLOURS)), expected)
    np.testing.assert_array_equal(ImageScaler().fit_transform(torch.tensor(COLOURS)), expected)


def test_grey_images_need_no_channel():
    grey = COLOURS[..., 0]
    expected = ImageScaler().fit_transform(grey[..., None])[..., 0]
    np.testing.assert_array_equal(ImageScaler().fit_transform(grey), expected)
    square = grey[:, :5]
    np.testing.assert_array_equal(
        ImageScaler().fit_transform(square.reshape(40, -1)),
        ImageScaler().fit_transform(square).reshape(40, -1),
    )
    row = ImageScaler(image_shape="row").fit(grey.reshape(40, -1))
    assert row.image_size_ == (1, 30, 1)


@given(st.sampled_from(["uint8", "int16", "float32", "float64"]), st.booleans(), st.booleans())
def test_transform_is_undone_and_keeps_the_precision(dtype, with_mean, with_std):
    images = COLOURS.astype(dtype)
    scaler = ImageScaler(with_mean=with_mean, with_std=with_std)
    scaled = scaler.fit_transform(images)
    double = dtype == "float64"
    assert scaled.dtype == (np.float64 if double else np.float32)
    tol = 1e-10 if double else 1e-4
    np.testing.assert_allclose(scaler.inverse_transform(scaled), images, atol=tol, rtol=1e-5)
    if not with_mean and not with_std:
        np.testing.assert_array_equal(scaled, images)


# What an image is read in: bytes and floats as they are, others in the precision of nets.
READ_IN = {
    "uint8": "uint8",
    "bool": "float32",
    "uint16": "float32",
    "int64": "float32",
    "float16": "float32",
    "float32": "float32",
    "float64": "float64",
    ">f8": "float64",
    ">f4": "float32",
    "longdouble": "float64",
}


@pytest.mark.parametrize(("given", "dtype"), READ_IN.items())
def test_only_float64_images_are_read_in_float64(given, dtype):
    images = (COLOURS > 99 if given == "bool" else COLOURS).astype(given)
    pixels = read_pixels(images)
    assert pixels.dtype == dtype
    assert pixels.dtype.isnative
    np.testing.assert_array_equal(pixels, images)
    scaled = "float64" if dtype == "float64" else "float32"
    assert ImageScaler().fit_transform(images).dtype == scaled
    assert PixelRows().fit_transform(images).dtype == scaled


@pytest.mark.parametrize(("given", "dtype"), READ_IN.items())
def test_rows_are_read_as_images_are(given, dtype):
    images = (COLOURS > 99 if given == "bool" else COLOURS).astype(given)
    flat = images.reshape(40, -1)
    forms = [flat]
    if given in ("uint8", "bool", "int64", "float64"):
        forms += [torch.tensor(flat), pd.DataFrame(flat)]
    if given in ("bool", "int64", "float64"):
        forms += [flat.tolist()]
    for rows in forms:
        scaler = ImageScaler(image_shape=(6, 5, 3))
        assert scaler._read(rows, reset=True)[0].dtype == dtype
        expected = ImageScaler().fit_transform(images).reshape(40, -1)
        # Sums run in another order over columns of frames.
        np.testing.assert_allclose(scaler.fit_transform(rows), expected, rtol=1e-6, atol=1e-6)


def test_rows_beyond_bytes_and_lists_of_fractions_keep_their_values():
    for rows in (np.full((3, 4), 300), pd.DataFrame(np.full((3, 4), -7)), [[0.5] * 4] * 3):
        scaler = ImageScaler(with_std=False)
        np.testing.assert_array_equal(scaler.fit(rows).mean_, [np.asarray(rows)[0, 0]])
        np.testing.assert_array_equal(PixelRows().fit_transform(rows), rows)


def test_arrays_of_images_are_given_back_as_arrays_whatever_is_set_as_output():
    y = COLOURS[:, 0, 0, 0] > 127
    expected = ImageScaler().fit_transform(COLOURS)
    scaler = ImageScaler().set_output(transform="pandas")
    for X in (COLOURS, list(COLOURS), pd.Series(list(COLOURS))):
        np.testing.assert_array_equal(scaler.fit_transform(X), expected)
        np.testing.assert_array_equal(scaler.transform(X), expected)
    rows = scaler.transform(COLOURS.reshape(40, -1))
    assert isinstance(rows, pd.DataFrame)
    np.testing.assert_array_equal(rows, expected.reshape(40, -1))
    assert isinstance(scaler.fit_transform(COLOURS[:, :5, :, 0].reshape(40, -1)), pd.DataFrame)
    with config_context(transform_output="pandas"):
        pipeline = make_pipeline(ImageScaler(), PixelRows(), LogisticRegression()).fit(COLOURS, y)
        assert isinstance(ImageScaler().fit_transform(COLOURS[..., 0]), np.ndarray)
    assert pipeline[-1].feature_names_in_[0] == "pixelrows0"


@pytest.mark.parametrize("channels", ["last", "first"])
def test_flattened_images_are_of_the_size_that_was_fitted(channels):
    images = COLOURS if channels == "last" else as_first(COLOURS)
    flat = images.reshape(40, -1)
    scaler = ImageScaler(channels=channels).fit(images)
    np.testing.assert_array_equal(scaler.transform(flat), scaler.transform(images).reshape(40, -1))
    back = scaler.inverse_transform(scaler.transform(flat))
    np.testing.assert_allclose(back, flat, atol=1e-3)
    rows = PixelRows(channels=channels).fit(images)
    np.testing.assert_array_equal(rows.transform(flat), rows.transform(images))
    with pytest.raises(ValueError, match="X has 88 features, but ImageScaler is expecting 90"):
        scaler.transform(flat[:, 2:])


def test_a_size_is_a_shape_with_the_channels_at_either_end():
    assert shape_of_size((6, 5, 3), "last") == (6, 5, 3)
    assert shape_of_size((6, 5, 3), "first") == (3, 6, 5)


def test_statistics_come_from_the_training_images_alone():
    train, held_out = COLOURS[:30], COLOURS[30:]
    scaler = ImageScaler().fit(train)
    before = pickle.dumps((scaler.mean_, scaler.scale_))
    scaler.transform(held_out // 2)
    assert pickle.dumps((scaler.mean_, scaler.scale_)) == before
    np.testing.assert_array_equal(clone(scaler).fit(train).mean_, scaler.mean_)


def test_a_channel_without_spread_is_left_as_it_is():
    images = COLOURS.copy()
    images[..., 1] = 7
    scaler = ImageScaler().fit(images)
    assert scaler.scale_[1] == 1
    np.testing.assert_array_equal(scaler.transform(images)[..., 1], 0)


def test_input_is_not_changed():
    images = COLOURS.astype(np.float64)
    images.flags.writeable = False
    ImageScaler().fit_transform(images)
    np.testing.assert_array_equal(images, COLOURS)


def test_far_from_zero_the_spread_keeps_its_digits():
    images = (RNG.standard_normal((50, 4, 4)) + 1e7).astype(np.float64)
    scaler = ImageScaler().fit(images)
    assert scaler.scale_[0] == pytest.approx(images.std(), rel=1e-8)


def test_in_a_pipeline_and_with_names():
    flat = pd.DataFrame(COLOURS.reshape(40, -1)).rename(columns="p{}".format)
    y = COLOURS[:, 0, 0, 0] > 127
    pipeline = make_pipeline(ImageScaler(image_shape=(6, 5, 3)), LogisticRegression())
    assert pipeline.fit(flat, y).score(flat, y) > 0.9
    scaler = pipeline[0].set_output(transform="pandas")
    assert list(scaler.transform(flat).columns) == list(flat.columns)


@pytest.mark.parametrize(("shape", "channels"), [((2, 2, 5), "last"), ((6, 3, 4), "first")])
def test_many_channels_of_few_pixels_are_taken_where_the_shape_says_so(shape, channels):
    X = RNG.random((20, *shape))
    scaled = ImageScaler(channels=channels, image_shape=shape).fit_transform(X)
    axes = (0, 1, 2) if channels == "last" else (0, 2, 3)
    np.testing.assert_allclose(scaled.mean(axis=axes), 0, atol=1e-12)
    assert scaled.shape == X.shape
    with pytest.raises(ValueError, match=re.escape(f"say so by image_shape={shape}")):
        ImageScaler(channels=channels).fit(X)


def test_arrays_and_columns_of_images_are_lists_of_them():
    objects = np.empty(len(COLOURS), dtype=object)
    objects[:] = list(COLOURS)
    expected = ImageScaler().fit(COLOURS)
    for X in (objects, pd.Series(list(COLOURS))):
        scaler = ImageScaler().fit(X)
        np.testing.assert_array_equal(scaler.mean_, expected.mean_)
        assert scaler.image_size_ == expected.image_size_
    objects[1] = objects[1][:3]
    with pytest.raises(ValueError, match="differ in size"):
        ImageScaler().fit(objects)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ImageScaler().fit(np.zeros((4, 12))), "12 values are no square image"),
        (lambda: ImageScaler(image_shape=(3, 3)).fit(np.zeros((4, 12))), "is 9 values"),
        (lambda: ImageScaler(image_shape=(3, 0)).fit(np.zeros((4, 12))), "image_shape must be"),
        (lambda: ImageScaler(image_shape="column").fit(np.zeros((4, 12))), "image_shape"),
        (lambda: ImageScaler(channels="none").fit(COLOURS), "channels"),
        (lambda: ImageScaler().fit(as_first(COLOURS)), "give channels='first'"),
        (lambda: ImageScaler(channels="first").fit(COLOURS), "give channels='last'"),
        (lambda: ImageScaler(image_shape=(5, 6, 3)).fit(COLOURS), "says otherwise"),
        (lambda: ImageScaler().fit(np.zeros((2, 2, 2, 2, 2))), "5 axes"),
        (lambda: ImageScaler().fit(np.zeros((0, 4, 4))), "no pixels"),
        (lambda: ImageScaler().fit(np.full((2, 4, 4), np.nan)), "NaN or infinite"),
        (lambda: ImageScaler().fit(np.full((2, 4, 4), "a")), "pixels are numbers"),
        (lambda: ImageScaler().fit([np.zeros((4, 4)), np.zeros((5, 4))]), "differ in size"),
        (lambda: ImageScaler().fit(COLOURS).transform(COLOURS[:, :5]), "fitted on images of 6 x 5"),
        (lambda: ImageScaler().fit(COLOURS).transform(COLOURS[..., :1]), "1 channel,"),
    ],
)
def test_what_are_no_images_is_said(make, message):
    with pytest.raises(ValueError, match=message):
        make()
