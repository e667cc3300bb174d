"""ImageScaler: what it learns, in which forms images come, what it refuses."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlfund import ImageScaler, LogisticRegression

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
    double = dtype in ("int16", "float64")
    assert scaled.dtype == (np.float64 if double else np.float32)
    tol = 1e-10 if double else 1e-4
    np.testing.assert_allclose(scaler.inverse_transform(scaled), images, atol=tol, rtol=1e-5)
    if not with_mean and not with_std:
        np.testing.assert_array_equal(scaled, images)


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
