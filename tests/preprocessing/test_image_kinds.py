"""What kind of images X holds: single images, frames of other libraries, what is no image."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from mlfund._check import DataError
from mlfund.preprocessing._image_kinds import ARRAY, ENCODED, PATH, read_kind

PATHS = ["a.png", "b.png"]


@pytest.mark.parametrize("given", [np.zeros, torch.zeros])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", ["first", "last"])
def test_one_image_is_not_taken_for_several(channels, n_channels, given):
    shape = (n_channels, 9, 8) if channels == "first" else (9, 8, n_channels)
    sentence = f"X has shape {shape}, that of one image; give X[None] for one"
    with pytest.raises(DataError, match=re.escape(sentence)) as raised:
        read_kind(given(shape), channels)
    stacks = "and stacks of up to 4 grey images as (n, 1, height, width)." in str(raised.value)
    assert stacks == (channels == "first")
    _, [image] = read_kind(given(shape)[None], channels)
    assert image.shape == (9, 8, n_channels)


@pytest.mark.parametrize("channels", ["first", "last"])
def test_stacks_of_grey_images_are_taken_whichever_end_counts(channels):
    X = np.random.default_rng(0).random((5, 9, 8))
    _, images = read_kind(X, channels)
    np.testing.assert_array_equal(np.stack(images)[..., 0], X)
    few = X[:3, None] if channels == "first" else X[:3]
    _, images = read_kind(few, channels)
    np.testing.assert_array_equal(np.stack(images)[..., 0], X[:3])


def test_a_tensor_that_may_be_one_image_in_colours_is_warned_of():
    X = torch.rand(3, 9, 8)
    sentence = (
        "X is a tensor of shape (3, 9, 8) and is read as 3 grey images; give X[None] with "
        "channels='first' if it is one image in colours, or X[..., None] if it is not."
    )
    with pytest.warns(UserWarning, match=f"^{re.escape(sentence)}$") as caught:
        _, images = read_kind(X)
    assert len(images) == 3
    assert caught[0].filename == __file__
    # One image of one channel is the same, whichever axis is that of rows.
    silent = [X[:1], X[:2], X.numpy(), X[..., None], torch.rand(4, 9, 8), list(X)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for other in silent:
            assert len(read_kind(other)[1]) == len(other)
        assert read_kind(X[None], "first")[1][0].shape == (9, 8, 3)


class Frame:
    """A table with the interface of polars: columns by name, no places."""

    def __init__(self, columns):
        self._columns = columns
        self.columns = list(columns)
        self.shape = (len(next(iter(columns.values()))), len(columns))

    def __getitem__(self, name):
        return pd.Series(self._columns[name], dtype=object)

    def to_numpy(self):
        return np.array(list(self._columns.values()), dtype=object).T


def test_frames_without_places_are_read_by_name():
    assert read_kind(Frame({"photo": PATHS})) == (PATH, PATHS)
    with pytest.raises(DataError, match=r"X has 2 columns \('a', 'b'\); give the one that holds"):
        read_kind(Frame({"a": PATHS, "b": PATHS}))


def test_frames_of_polars_are_read():
    pl = pytest.importorskip("polars")
    assert read_kind(pl.DataFrame({"photo": PATHS})) == (PATH, PATHS)
    assert read_kind(pl.Series(PATHS)) == (PATH, PATHS)
    assert read_kind(pl.DataFrame({"file": [b"one", b"two"]})) == (ENCODED, [b"one", b"two"])
    with pytest.raises(DataError, match=r"X has 2 columns \('a', 'b'\); give the one that holds"):
        read_kind(pl.DataFrame({"a": PATHS, "b": PATHS}))
    with pytest.raises(DataError, match="Row 1 of X is None, a missing value"):
        read_kind(pl.DataFrame({"photo": ["a.png", None]}))
    kind, rows = read_kind(pl.DataFrame(np.zeros((2, 12))), image_shape=(4, 3))
    assert (kind, rows[0].shape) == (ARRAY, (4, 3, 1))


@pytest.mark.parametrize("ragged", [[[1, 2], [3]], ([[1, 2]], [3, 4])])
def test_lists_that_make_no_array_are_named_by_their_row(ragged):
    sentence = (
        f"Row 1 of X is a {type(ragged).__name__} whose parts differ in shape; images are arrays"
    )
    with pytest.raises(DataError, match=sentence) as raised:
        read_kind([[[1, 2], [3, 4]], ragged])
    assert "inhomogeneous" not in str(raised.value)
    assert str(raised.value).endswith(".")


def test_loaders_of_torch_are_told_what_to_give_and_not_read():
    class Unread(TensorDataset):
        def __getitem__(self, index):
            raise AssertionError

    loader = DataLoader(Unread(torch.rand(4, 3, 9, 8), torch.arange(4)), batch_size=2)
    with pytest.raises(DataError, match=r"X is a DataLoader; .*torch\.cat.*channels='first'\.$"):
        read_kind(loader)
    # Its batches, images beside labels, are no images either.
    batches = list(DataLoader(TensorDataset(torch.rand(4, 3, 9, 8), torch.arange(4)), 2))
    with pytest.raises(DataError, match="Row 0 of X is a list whose parts differ in shape"):
        read_kind(batches)
