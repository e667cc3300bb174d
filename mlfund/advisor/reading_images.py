"""Images for the advisor: folders with one folder a class, and arrays in npz and npy files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlfund._check import DataError, nearest
from mlfund.advisor.target import refuse_channels_in_front
from mlfund.preprocessing._folder_layout import part_names
from mlfund.preprocessing.image_folders import load_image_folder

# A comparison of all candidates on so many small images takes minutes, not hours.
MOST_IMAGES = 2_000
SUFFIXES = (".npz", ".npy")


@dataclass(frozen=True)
class ImageFile:
    """Images and how they came out of their folder or file.

    Attributes
    ----------
    images : ndarray of shape (n, h, w) or (n, h, w, c)
    labels : Series of length n
        Its name is that of the target.
    name : str
        Of the folder or file.
    notes : tuple of str
        What the reader decided, a sentence each.
    """

    images: np.ndarray
    labels: pd.Series
    name: str
    notes: tuple[str, ...] = ()


def holds_images(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder, which no table is, or a file of arrays."""
    return Path(path).is_dir() or Path(path).suffix.lower() in SUFFIXES


def read_images(
    path: str | os.PathLike[str],
    *,
    target: str | None = None,
    size: tuple[int, int] | None = None,
    max_images: int = MOST_IMAGES,
    seed: int = 0,
) -> ImageFile:
    """Read images and their labels, at most `max_images` of them, drawn at random.

    Parameters
    ----------
    path : str or path-like
        A folder as `load_image_folder` reads it, of which parts "test" and "validation" are not
        read where there is "train"; an npz file with an array of images and one of labels, of
        which those with "train" in their name come first; or an npy file of images.
    target : str, optional
        The array of labels in an npz file, by name; for an npy file the npy file of labels.
    size : (int, int), optional
        Height and width to which the images of a folder are resized.
    max_images : int, default=2000
    seed : int, default=0
        Of the draw.

    Returns
    -------
    found : ImageFile

    Raises
    ------
    DataError
        If there is nothing of the kind; one sentence that names the file.
    """
    path = Path(path)
    if path.is_dir():
        if target is not None:
            raise DataError(
                f"{path} is a folder, whose folders are the classes; leave --target out, or name "
                "one file of it if you mean a table."
            )
        return _folder(path, size, max_images, seed)
    if size is not None:
        raise DataError("--image-size is for folders; resize the arrays of a file yourself.")
    is_npz = path.suffix.lower() == ".npz"
    images, labels, notes = _npz(path, target) if is_npz else _npy(path, target)
    cure = "save X.transpose(0, 2, 3, 1) instead of X"
    refuse_channels_in_front(images.shape, f"The images of {path.name} have", cure)
    if len(images) > max_images:
        notes.append(_drawn_note(max_images, len(images)))
        rows = np.sort(np.random.default_rng(seed).permutation(len(images))[:max_images])
        images, labels = images[rows], labels.iloc[rows].reset_index(drop=True)
    return ImageFile(images, labels, path.name, tuple(notes))


def _folder(path: Path, size: tuple[int, int] | None, most: int, seed: int) -> ImageFile:
    options: dict[str, Any] = {"size": size, "max_images": most, "random_state": seed}
    notes = []
    try:
        parts = part_names(path)
        if "train" in parts:
            options["split"] = "train"
            left = [part for part in parts if part != "train"]
            if left:
                notes.append(
                    f"The images in {' and '.join(left)} were left out; score the model on them at "
                    "the end."
                )
        data = load_image_folder(path, **options)
    except DataError as error:
        # What a parameter of Python is called on the command line.
        message = str(error).replace("say a size=(height, width)", "give --image-size HxW")
        raise DataError(message) from error
    if len(data.target) < data.n_found:
        notes.append(_drawn_note(len(data.target), data.n_found))
    labels = np.array(data.target_names)[data.target]
    return ImageFile(data.images, pd.Series(labels, name="class"), path.name, tuple(notes))


def _drawn_note(kept: int, found: int) -> str:
    return (
        f"{kept:,} of {found:,} images were drawn for the comparison; --max-images N takes more, "
        "at the price of time."
    )


def _npz(path: Path, target: str | None) -> tuple[np.ndarray, pd.Series, list[str]]:
    arrays = loaded(path)
    images = [name for name, array in arrays.items() if array.ndim >= 3]
    if not images:
        raise DataError(
            f"{path.name} has no array of images, (n, height, width) or (n, height, width, "
            f"channels); it has {shapes(arrays)}."
        )
    chosen = next((name for name in images if "train" in name.lower()), images[0])
    n = len(arrays[chosen])
    fitting = [name for name, array in arrays.items() if _is_column(array, n)]
    if target is not None and target not in arrays:
        found = nearest(target, fitting)
        hint = f"did you mean {found!r}?" if found else f"it has {shapes(arrays)}."
        raise DataError(f"{path.name} has no array {target!r}; {hint}")
    if target is None:
        trained = [name for name in fitting if "train" in name.lower()] or fitting
        if len(trained) != 1:
            what = "several arrays" if trained else "no array"
            raise DataError(
                f"{path.name} has {what} of {n:,} labels for its images {chosen!r} "
                f"({shapes(arrays)}); name one with --target."
            )
        target = trained[0]
    labels = _labels(arrays[target], n, target)
    others = [name for name in images if name != chosen]
    notes = [f"The images {', '.join(map(repr, others))} were left out."] if others else []
    return arrays[chosen], labels, notes


def _npy(path: Path, target: str | None) -> tuple[np.ndarray, pd.Series, list[str]]:
    images = loaded(path)[path.stem]
    if images.ndim < 3:
        raise DataError(
            f"{path.name} has shape {images.shape}; images are (n, height, width) or (n, height, "
            "width, channels)."
        )
    if target is None:
        raise DataError(
            f"{path.name} holds images alone; give the file of their labels, --target LABELS.npy."
        )
    return images, _labels(loaded(Path(target))[Path(target).stem], len(images), "labels"), []


def loaded(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an npz or npy file by name; a DataError says what is wrong with it."""
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return {path.stem: found}
        with found as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.") from error
    # Damaged archives, and arrays of objects, which could run code.
    except Exception as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DataError(f"{path.name} cannot be read as arrays of numbers: {reason}.") from error


def _is_column(array: np.ndarray, n: int) -> bool:
    return array.ndim in (1, 2) and array.size == n == len(array)


def _labels(array: np.ndarray, n: int, name: str) -> pd.Series:
    if not _is_column(array, n):
        raise DataError(f"There are {n:,} images, and {name!r} has shape {array.shape}.")
    values = array.ravel()
    return pd.Series(values.astype(str) if values.dtype.kind == "S" else values, name=name)


def shapes(arrays: dict[str, np.ndarray]) -> str:
    """Return names and shapes in words."""
    return ", ".join(f"{name!r} of shape {array.shape}" for name, array in arrays.items())
