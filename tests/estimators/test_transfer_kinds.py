"""What estimators of transfer learning read, and what they refuse before they read."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError

from mlfund import (
    ImageTransferClassifier,
    ImageTransferRegressor,
    TextTransferClassifier,
    TextTransferRegressor,
)
from mlfund._check import DataError
from tests.backbones.tiny import image_source, images

X = images(12, (9, 9))
Y = np.arange(12) % 2
EMBEDDINGS = np.random.default_rng(0).normal(size=(12, 3))
TEXTS = [f"Film {k} is a gem." for k in range(12)]


def classifier(**options):
    return ImageTransferClassifier(image_source(), cache=False, random_state=0, **options)


def test_one_image_as_torch_has_it_is_not_three():
    first = torch.from_numpy(X.transpose(0, 3, 1, 2).copy())
    model = classifier(channels="first").fit(first, Y)
    with pytest.raises(DataError, match=r"\(3, 9, 9\), that of one image; give X\[None\]"):
        model.predict(first[0])
    assert model.predict(first[0][None]) == model.predict(first)[0]


@pytest.mark.parametrize("size", [(8.5, 8), (8.0, 8), [8], (8, 8, 3), (8, 0), ("8", "8")])
def test_sizes_that_are_no_pixels_are_refused(size):
    sentence = f"image_size must be (height, width), or one integer for both; got {size!r}."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        classifier(image_size=size).fit(X, Y)


def test_a_size_may_be_of_integers_of_numpy():
    sizes = (8, np.int64(8), (8, 8), [np.int32(8), 8], np.array([8, 8]).tolist())
    expected = classifier(image_size=8).fit(X, Y).predict_proba(X)
    for size in sizes:
        found = classifier(image_size=size).fit(X, Y).predict_proba(X)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "form", [list, tuple, np.array, pd.Series, lambda texts: pd.DataFrame({"text": texts})]
)
@pytest.mark.filterwarnings("ignore:X has feature names:UserWarning")
def test_texts_are_no_embeddings(form):
    sentence = (
        "X holds strings ('Film 0 is a gem.' for one), and backbone='precomputed' takes "
        "embeddings, numbers of shape (n, d); for texts, leave backbone out or give one that "
        "reads them, such as 'all-MiniLM-L6-v2'."
    )
    for model in (TextTransferClassifier("precomputed"), TextTransferRegressor("precomputed")):
        with pytest.raises(DataError, match=f"^{re.escape(sentence)}$"):
            model.fit(form(TEXTS), Y)
        model.fit(EMBEDDINGS, Y)
        with pytest.raises(DataError, match=f"^{re.escape(sentence)}$"):
            model.predict(form(TEXTS))


def test_paths_are_no_embeddings():
    paths = [f"{k}.png" for k in range(12)]
    for model in (ImageTransferClassifier("precomputed"), ImageTransferRegressor("precomputed")):
        with pytest.raises(DataError, match=r"for images, leave backbone out .*'efficientnet_lite"):
            model.fit(paths, Y)


def test_long_texts_and_columns_are_shown_in_part():
    with pytest.raises(DataError) as raised:
        TextTransferClassifier("precomputed").fit(["A long film. " * 1000, *TEXTS[1:]], Y)
    assert len(str(raised.value)) < 300
    frame = pd.DataFrame({"a": EMBEDDINGS[:, 0], "b": "up"})
    with pytest.raises(DataError, match=r"X holds strings \('up' for one\)"):
        TextTransferClassifier("precomputed").fit(frame, Y)


def test_what_else_is_wrong_with_embeddings_is_told_as_before():
    model = TextTransferClassifier("precomputed")
    with pytest.raises(NotFittedError):
        model.predict(TEXTS)
    with pytest.raises(ValueError, match="contains NaN"):
        model.fit(np.full((12, 3), np.nan), Y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(EMBEDDINGS, Y[:3])
    with pytest.raises(ValueError, match="2 features, but TextTransferClassifier is expecting 3"):
        model.fit(EMBEDDINGS, Y).predict(EMBEDDINGS[:, :2])
