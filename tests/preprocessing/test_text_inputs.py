"""text_rows and text_keys: forms of X, what is refused, keys of content."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import sparse

from mlfund._check import DataError
from mlfund.preprocessing.text_inputs import text_keys, text_rows

TEXTS = ["A gem.", " too  long ", "né à Paris 🙂", "naïve"]


@pytest.mark.parametrize(
    "X",
    [
        TEXTS,
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        np.array(TEXTS, dtype=np.dtypes.StringDType()),
        np.array(TEXTS)[:, None],
        pd.Series(TEXTS, index=[3, 1, 2, 0]),
        pd.Series(TEXTS, dtype="string"),
        pd.Series(TEXTS, dtype="category"),
        pd.Series(TEXTS, dtype=object),
        pd.DataFrame({"text": TEXTS}),
        pd.Index(TEXTS),
    ],
    ids=lambda X: f"{type(X).__name__}-{getattr(X, 'dtype', '')}",
)
def test_all_forms_give_the_texts_as_they_are(X):
    found = text_rows(X)
    assert found == TEXTS
    assert {type(text) for text in found} == {str}


class Foreign:
    """A table of another library."""

    def to_pandas(self):
        return pd.Series(TEXTS)


def test_tables_of_other_libraries_are_read():
    assert text_rows(Foreign()) == TEXTS


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (["a", None], "Row 1 of X is missing (None); drop the row or fill it with a text."),
        ([float("nan"), "a"], "Row 0 of X is missing (nan)"),
        (pd.Series(["a", None], dtype="string"), "Row 1 of X is missing"),
        (pd.Series(["a", pd.NA], dtype=object), "Row 1 of X is missing (<NA>)"),
        ([pd.NaT], "Row 0 of X is missing (NaT)"),
        (["a", 3], "Row 1 of X is 3 of type int, and texts are strings"),
        (np.zeros((3, 1)), "Row 0 of X is 0.0 of type float"),
        ([b"bytes"], "Row 0 of X is b'bytes' of type bytes"),
        ([b"bytes"], "texts are strings; decode each, for instance by row.decode()."),
        ([["a"], ["b"]], "Row 0 of X is ['a'] of type list"),
        ([("a", "b")], "texts are strings; give one string a row, for instance by ' '.join(row)."),
        ([Image.new("L", (4, 4))], "Row 0 of X is an image (Image), and the backbone reads texts"),
        ([np.zeros((8, 8, 3))], "Row 0 of X is an image (ndarray), and the backbone reads texts"),
        (["a", " \n\t"], "Row 1 of X is an empty text; drop the row or fill it with one."),
        (["", "b"], "Row 0 of X is an empty text"),
        ("a text", "X is one str; give a list with a text for each row."),
        ([], "X holds no text: 0 sample(s), and a minimum of 1 is required."),
        (np.empty(0, dtype=object), "X holds no text"),
        (pd.DataFrame({"a": TEXTS, "b": TEXTS}), "X has 2 columns, and texts are read from one"),
        (np.zeros((2, 2, 2)), "X has 3 axes, as images have, and the backbone reads texts"),
        (torch.zeros((2, 3, 4, 4)), "X has 4 axes, as images have, and the backbone reads texts"),
        (np.array("text"), "X has 0 axes"),
        (sparse.eye_array(3).tocsr(), "X is a csr_array; give texts as a list"),
        ({"a": 1}, "X is a dict; give texts as a list"),
        ((text for text in TEXTS), "X is a generator"),
        (None, "X is a NoneType"),
    ],
)
def test_what_is_no_text_is_refused_in_a_sentence(X, message):
    with pytest.raises(DataError, match=re.escape(message)):
        text_rows(X)


@given(st.lists(st.text(max_size=8), max_size=6))
def test_keys_are_equal_where_texts_are(texts):
    keys = text_keys(texts)
    assert len(set(keys)) == len(set(texts))
    assert text_keys(reversed(texts)) == keys[::-1]
    assert all(len(key) == 16 for key in keys)


def test_keys_are_the_same_in_every_process():
    # Written once, so that stored embeddings stay valid.
    assert text_keys(["A gem."])[0].hex() == "f6783ea0c21031e316e590788abe6ab2"


def test_broken_characters_have_keys_of_their_own():
    one, other = text_keys(["\ud83d", "\ud83e"])
    assert one != other
