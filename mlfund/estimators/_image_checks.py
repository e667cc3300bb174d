"""What is asked of images beside their size: several of them, in the unit of `fit`."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import pandas as pd

from mlfund._check import DataError, stacklevel_outside
from mlfund.nets.convnet import ReadPixels

# Pixels from 0 to 1 were scaled where those of `fit` are typically larger than this.
LEAST_OF_BYTES = 10.0
# Pixels so many times the size of the typical ones were not scaled where those of `fit` were.
MOST_TIMES = 50.0


def refuse_one_image(X: Any, size: tuple[int, int, int]) -> None:
    """Raise DataError if X has the shape of one image, and not that of several.

    Parameters
    ----------
    X : object
    size : (int, int, int)
        Height, width and channels of the images of `fit`.
    """
    high, wide, channels = size
    shape = tuple(getattr(X, "shape", ()))
    rows = [(high * wide * channels,), (high, wide, channels), (channels, high, wide)]
    single = rows[1:]
    if channels == 1:
        rows.append((high, wide))
        single.append((high, wide))
    if shape in single and shape[1:] not in rows:
        raise DataError(
            f"X has shape {shape}, that of one image; give an array of images, X[None] for one."
        )


def refuse_one_labelled_image(X: Any, y: Any) -> None:
    """Raise DataError if there is one label, and X has the shape of one image.

    Parameters
    ----------
    X, y : object
    """
    shape = tuple(getattr(X, "shape", ()))
    one_label = len(y) == 1 if isinstance(y, list) else getattr(y, "shape", ()) == (1,)
    if one_label and len(shape) in (2, 3) and shape[0] > 1:
        raise DataError(
            f"y has one label, and X has shape {shape}, that of one image; give arrays of "
            "images, X[None] for one."
        )


def refuse_paths(X: Any, name: str) -> None:
    """Raise DataError if X holds paths where an estimator of such a name takes arrays.

    Parameters
    ----------
    X : object
    name : str
    """
    first = next(iter(X), None) if isinstance(X, list | tuple | np.ndarray | pd.Series) else None
    if isinstance(first, str | os.PathLike):
        raise DataError(
            f"X holds paths such as {str(first)!r}, and {name} takes arrays of images; read the "
            "files, by load_image_folder for instance. ImageTransferClassifier takes paths."
        )


def warn_of_another_unit(X: np.ndarray, pixels: ReadPixels, *, who: str = "fit") -> None:
    """Warn if pixels were divided by 255, or the like, at either `fit` or now.

    Parameters
    ----------
    X : ndarray of shape (n, values)
        Flattened images.
    pixels : ReadPixels
        Mean and spread of the pixels of `fit`.
    who : str, default="fit"
        Who has seen these pixels.
    """
    if not X.shape[0]:
        return
    largest = max(float(X.max()), -float(X.min()))
    typical = max(abs(m) + 2 * s for m, s in zip(pixels.mean, pixels.scale, strict=True))
    scaled_now = largest <= 1 and typical >= LEAST_OF_BYTES and bool((X % 1).any())
    if scaled_now or largest > MOST_TIMES * typical:
        warnings.warn(
            f"The largest pixel of X is {largest:.3g}, and pixels of the images of {who} are "
            f"typically up to {typical:.3g}; give pixels in the unit that {who} saw, both in 0 to "
            "255 for instance, or both in 0 to 1.",
            UserWarning,
            stacklevel=stacklevel_outside(),
        )
