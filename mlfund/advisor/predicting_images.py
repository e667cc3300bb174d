"""Predictions for new images by a saved pipeline, read as those that it was fitted on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlfund._check import DataError, require
from mlfund.advisor.predicting import predict_frame
from mlfund.advisor.reading_images import loaded, shapes
from mlfund.preprocessing.image_folders import images_in, read_files


def fitted_size(model: Any) -> tuple[int, int, int] | None:
    """Return height, width and channels of the images that a model was fitted on, if it was.

    Parameters
    ----------
    model : estimator
        A pipeline of the advisor, or an estimator of images.
    """
    for _, step in getattr(model, "steps", [("model", model)]):
        # Regressors stand inside of one that scales targets.
        size = getattr(getattr(step, "regressor_", step), "image_size_", None)
        if size is not None:
            height, width, channels = size
            return int(height), int(width), int(channels)
    return None


def predict_images(model: Any, path: str | os.PathLike[str]) -> pd.DataFrame:
    """Return one row of predictions for each image, in the order of files or array.

    Parameters
    ----------
    model : estimator
        Fitted on images, see `fitted_size`.
    path : str or path-like
        A folder of images, of which those in folders of it are read, too; they are resized to
        the size of the images of `fit`, and made grey or coloured as those were. Or an npz or npy
        file with one array of images.

    Returns
    -------
    table : DataFrame of shape (n, ...)
        As `predict_frame` makes it; for a folder with the column ``file`` in front.

    Raises
    ------
    DataError
        If there are no images, or they do not fit the model.
    """
    root = Path(path)
    if not root.is_dir():
        return predict_frame(model, _array(root))
    size = fitted_size(model)
    assert size is not None
    require("PIL.Image", "images")
    files = list(images_in(root))
    if not files:
        raise DataError(f"{root} has no images in it.")
    mode = "L" if size[2] == 1 else "RGB"
    predictions = predict_frame(model, read_files(root, files, size[:2], mode))
    predictions.insert(0, "file", [str(file.relative_to(root)) for file in files])
    return predictions


def _array(path: Path) -> np.ndarray:
    arrays = {name: array for name, array in loaded(path).items() if array.ndim >= 3}
    tests = [name for name in arrays if "test" in name.lower()]
    chosen = tests if len(arrays) > 1 else list(arrays)
    if len(chosen) != 1:
        has = shapes(arrays) or "none"
        raise DataError(
            f"{path.name} should have one array of images, (n, height, width) or (n, height, "
            f"width, channels), or one with test in its name; it has {has}."
        )
    return arrays[chosen[0]]
