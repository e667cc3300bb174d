"""What kind of images somebody gave: arrays, paths, contents of files, images of Pillow."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlfund._check import DataError, check_choice, stacklevel_outside
from mlfund.preprocessing._image_rows import (
    CHANNELS,
    MOST_COLOURS,
    RGB,
    ImageShapeLike,
    form_of,
    mistaken,
)

ARRAY, PATH, ENCODED, PICTURE = "an array", "a path", "the bytes of a file", "an image of Pillow"
MISSING = "missing"
ALLOWED = (
    "images are arrays (n, height, width) or (n, height, width, channels), or lists of arrays, "
    "paths or images of Pillow"
)


def read_kind(
    X: Any, channels: str = "last", image_shape: ImageShapeLike = None
) -> tuple[str, Sequence[Any]]:
    """Return what kind of images X holds, and one object an image.

    Parameters
    ----------
    X : array-like
    channels : {"last", "first"}, default="last"
    image_shape : (int, int), (int, int, int) or None, default=None
        Of flattened rows.

    Returns
    -------
    kind : str
        `ARRAY`, `PATH`, `ENCODED` or `PICTURE`.
    items : sequence
        Arrays are views (height, width, channels) of what was given.

    Raises
    ------
    ValueError
        If X is none of this.

    Warns
    -----
    UserWarning
        If X is a tensor of three grey images, which may be meant as one in colours.

    Examples
    --------
    >>> from mlfund.preprocessing._image_kinds import read_kind
    >>> read_kind(["a.png", "b.png"])
    ('a path', ['a.png', 'b.png'])
    """
    check_choice("channels", channels, CHANNELS)
    is_tensor = hasattr(X, "detach")
    X = _array_or_list(X, flattened=image_shape is not None)
    if isinstance(X, np.ndarray):
        if X.ndim == 3:
            _refuse_one_image(X.shape, channels)
            if is_tensor and image_shape is None:
                _warn_of_one_image(X.shape, channels)
        return ARRAY, _images_of(X, channels, image_shape)
    kind = _common_kind(X)
    if kind == ARRAY:
        return ARRAY, _images_among(_arrays(X), channels, image_shape)
    if image_shape is not None:
        raise ValueError(
            f"image_shape={image_shape!r} is for flattened rows, and row 0 of X is {kind}; leave "
            "it out."
        )
    return kind, X


def _array_or_list(X: Any, *, flattened: bool) -> np.ndarray | list[Any]:
    """Return an array of numbers, or a list with one object an image."""
    if hasattr(X, "detach"):
        X = X.detach().cpu().numpy()
    one = _kind(X)
    if one in (PATH, ENCODED, PICTURE):
        raise DataError(f"X is {one}; give a list of them, [X] for one.")
    if hasattr(X, "columns") and hasattr(X, "to_numpy"):
        X = X.to_numpy() if flattened else _only_column(X)
    if isinstance(X, np.ndarray):
        if X.dtype.kind in "biufc":
            return X
        if X.ndim == 2 and X.shape[1] == 1:
            X = X[:, 0]
        if X.ndim != 1:
            raise DataError(
                f"X is an array of {X.dtype} with shape {X.shape}; {ALLOWED}, one an image."
            )
    torch_data = sys.modules.get("torch.utils.data")
    if torch_data is not None and isinstance(X, torch_data.DataLoader):
        raise DataError(
            f"X is a {type(X).__name__}; give its images at once, for instance X = torch.cat("
            "[images for images, _ in loader]), with channels='first'."
        )
    if isinstance(X, Mapping) or not (hasattr(X, "__len__") and hasattr(X, "__iter__")):
        raise DataError(f"X is a {type(X).__name__}; {ALLOWED}.")
    return list(X)


def _only_column(frame: Any) -> Any:
    if frame.shape[1] != 1:
        names = ", ".join(repr(name) for name in frame.columns[:5])
        raise DataError(
            f"X has {frame.shape[1]} columns ({names}{', ...' if frame.shape[1] > 5 else ''}); "
            "give the one that holds the images."
        )
    # Frames of polars know columns by name alone.
    return list(frame.iloc[:, 0] if hasattr(frame, "iloc") else frame[frame.columns[0]])


def _refuse_one_image(shape: tuple[int, ...], channels: str) -> None:
    """Refuse (., ., .) that has as few values at one end as there are channels."""
    said = f"X has shape {shape}, that of one image; give X[None] for one"
    if shape[2] <= MOST_COLOURS:
        raise DataError(f"{said}.")
    # No rows are told of by others.
    if channels == "first" and 0 < shape[0] <= MOST_COLOURS:
        raise DataError(
            f"{said}, and stacks of up to {MOST_COLOURS} grey images as (n, 1, height, width)."
        )


def _warn_of_one_image(shape: tuple[int, ...], channels: str) -> None:
    """Warn of a tensor that is read as grey images, and may be one in colours.

    Of one channel there is nothing to tell: both readings give the same image.
    """
    if channels == "last" and shape[0] == RGB:
        warnings.warn(
            f"X is a tensor of shape {shape} and is read as {RGB} grey images; give X[None] with "
            "channels='first' if it is one image in colours, or X[..., None] if it is not.",
            UserWarning,
            stacklevel=stacklevel_outside(),
        )


def _arrays(items: Sequence[Any]) -> list[np.ndarray]:
    """Return each image as an array."""
    arrays = []
    for place, item in enumerate(items):
        try:
            arrays.append(np.asarray(item))
        except ValueError as error:
            raise DataError(
                f"Row {place} of X is a {type(item).__name__} whose parts differ in shape; "
                f"{ALLOWED}."
            ) from error
    return arrays


def _common_kind(items: Sequence[Any]) -> str:
    if not items:
        raise DataError("X is empty: there are no images in it.")
    kinds = [_kind(item) for item in items]
    for place, kind in enumerate(kinds):
        if kind == MISSING:
            raise DataError(
                f"Row {place} of X is {items[place]!r}, a missing value; leave the row out."
            )
        if kind is None:
            raise DataError(f"Row {place} of X is a {type(items[place]).__name__}; {ALLOWED}.")
        if kind != kinds[0]:
            raise DataError(
                f"X mixes kinds: row 0 is {kinds[0]} and row {place} is {kind}; give one kind."
            )
    assert kinds[0] is not None
    return kinds[0]


def _kind(item: Any) -> str | None:
    """Return the kind of one image, or None for what is none."""
    if isinstance(item, str | os.PathLike):
        return PATH
    if isinstance(item, bytes | bytearray | memoryview):
        return ENCODED
    # Without Pillow nobody has images of it.
    pillow = sys.modules.get("PIL.Image")
    if pillow is not None and isinstance(item, pillow.Image):
        return PICTURE
    if item is None or type(item).__name__ == "NAType" or _is_nan(item):
        return MISSING
    if isinstance(item, list | tuple) or (hasattr(item, "__array__") and np.ndim(item)):
        return ARRAY
    return None


def _is_nan(item: Any) -> bool:
    return isinstance(item, float) and item != item


def _images_of(X: np.ndarray, channels: str, image_shape: ImageShapeLike) -> Sequence[np.ndarray]:
    """Return the images of one array."""
    if X.size == 0:
        raise DataError(f"X has shape {X.shape}: there are no pixels in it.")
    if X.ndim == 2 and image_shape is None:
        raise DataError(
            f"X has shape {X.shape}; {ALLOWED}. Say image_shape=(height, width) if these are "
            "flattened rows of images."
        )
    if X.ndim == 4:
        _refuse_mistaken(X.shape, channels)
    form = form_of(X, channels, image_shape)
    if form.n_channels > MOST_COLOURS:
        raise DataError(
            f"X has images of {form}; give 1 (grey), 3 (colours), or one more for transparency."
        )
    return list(form.as_nhwc(X))


def _refuse_mistaken(shape: tuple[int, ...], channels: str) -> None:
    """Refuse channels at the other end; `form_of` would have it so, said by `image_shape`."""
    mistake = mistaken(shape, channels)
    if mistake is not None:
        counted, other, opposite = mistake
        raise DataError(
            f"X has images of shape {shape[1:]}, which with channels={channels!r} means {counted} "
            f"channels of {other} pixels, and images have at most {MOST_COLOURS} channels; give "
            f"channels={opposite!r}."
        )


def _images_among(
    items: Sequence[np.ndarray], channels: str, image_shape: ImageShapeLike
) -> Sequence[np.ndarray]:
    """Return the images of arrays of several shapes, one image each."""
    if image_shape is not None and all(item.ndim == 1 for item in items):
        return _images_of(np.stack(items), channels, image_shape)
    images: list[np.ndarray] = []
    for place, item in enumerate(items):
        if item.ndim not in (2, 3):
            raise DataError(
                f"Row {place} of X has shape {item.shape}; give each image as (height, width) or "
                "(height, width, channels)."
            )
        images.extend(_images_of(item[None], channels, image_shape))
    return images
