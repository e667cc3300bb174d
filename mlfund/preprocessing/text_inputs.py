"""Texts in the forms that users have them in, and keys by what they say."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from mlfund._check import DataError

__all__ = ["text_keys", "text_rows"]

# 128 bits: among a billion texts, two share a key with probability 1e-21.
KEY_BYTES = 16
# Characters of a cell that a message shows.
SHOWN = 40


def text_rows(X: Any) -> list[str]:
    """Return the texts that `X` holds, one a row.

    Parameters
    ----------
    X : list, tuple, Series, ndarray or DataFrame
        n texts: a list of strings, a Series, an array (n,) or (n, 1), a DataFrame of one column.
        Tables of other libraries are read through their `to_pandas`.

    Returns
    -------
    texts : list of str
        As they were given: nothing is stripped, lower-cased or normalised.

    Raises
    ------
    DataError
        If there is no row or more than one column, or a row is missing, is no text or holds
        nothing but white space.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlfund.preprocessing.text_inputs import text_rows
    >>> text_rows(pd.DataFrame({"review": ["A gem.", "Too long."]}))
    ['A gem.', 'Too long.']
    >>> text_rows(["A gem.", None])
    Traceback (most recent call last):
        ...
    mlfund._check.DataError: Row 1 of X is missing (None); drop the row or fill it with a text.
    """
    cells = _cells(X)
    if not cells:
        raise DataError("X holds no text: 0 sample(s), and a minimum of 1 is required.")
    return [_text(cell, row) for row, cell in enumerate(cells)]


def text_keys(texts: Iterable[str]) -> list[bytes]:
    """Return a key of 16 bytes for each text: equal texts have equal keys, in every process.

    Examples
    --------
    >>> from mlfund.preprocessing.text_inputs import text_keys
    >>> one, other, again = text_keys(["A gem.", "a gem.", "A gem."])
    >>> one == again, one == other, len(one)
    (True, False, 16)
    """
    hashed = hashlib.blake2b
    return [
        # Files that were read with errors="surrogateescape" hold halves of characters.
        hashed(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()
        for text in texts
    ]


def _cells(X: Any) -> list[Any]:
    """Return the rows of one column of anything."""
    if isinstance(X, str | bytes):
        raise DataError(f"X is one {type(X).__name__}; give a list with a text for each row.")
    if isinstance(X, list | tuple):
        return list(X)
    if not hasattr(X, "iloc") and hasattr(X, "to_pandas"):
        X = X.to_pandas()
    if not hasattr(X, "__array__"):
        raise DataError(
            f"X is a {type(X).__name__}; give texts as a list, a Series, an array or a DataFrame "
            "of one column."
        )
    shape = tuple(X.shape)
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
        if len(shape) > 2:
            raise DataError(
                f"X has {len(shape)} axes, as images have, and the backbone reads texts: give one "
                "string a row, or a backbone of images."
            )
        what = f"{shape[1]} columns" if len(shape) == 2 else f"{len(shape)} axes"
        raise DataError(
            f"X has {what}, and texts are read from one column; select it, for instance by "
            "X['text'] or a ColumnTransformer."
        )
    cells: list[Any] = np.asarray(X, dtype=object).ravel().tolist()
    return cells


def _text(cell: Any, row: int) -> str:
    if isinstance(cell, str):
        if not cell or cell.isspace():
            raise DataError(f"Row {row} of X is an empty text; drop the row or fill it with one.")
        # numpy's own strings become Python's.
        return cell if type(cell) is str else str(cell)
    if _is_missing(cell):
        raise DataError(f"Row {row} of X is missing ({cell}); drop the row or fill it with a text.")
    if _is_image(cell):
        raise DataError(
            f"Row {row} of X is an image ({type(cell).__name__}), and the backbone reads texts: "
            "give one string a row, or a backbone of images."
        )
    shown = repr(cell)
    shown = shown if len(shown) <= SHOWN else shown[:SHOWN] + "..."
    raise DataError(
        f"Row {row} of X is {shown} of type {type(cell).__name__}, and texts are strings; "
        f"{_advice(cell)}."
    )


def _advice(cell: Any) -> str:
    """Return how what is no string becomes one."""
    if isinstance(cell, bytes | bytearray):
        # Their str() is the text of a literal, b'...'.
        return "decode each, for instance by row.decode()"
    if isinstance(cell, list | tuple | np.ndarray):
        return "give one string a row, for instance by ' '.join(row)"
    return "convert the column, for instance by X.astype(str)"


def _is_image(cell: Any) -> bool:
    """Whether a cell is an array with axes, or an image of Pillow."""
    # Without Pillow nobody has images of it.
    pillow = sys.modules.get("PIL.Image")
    is_picture = pillow is not None and isinstance(cell, pillow.Image)
    return is_picture or getattr(cell, "ndim", 0) > 1


def _is_missing(cell: Any) -> bool:
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(cell, float | np.floating) and bool(np.isnan(cell))
