"""Images in the forms that users have them in: read once, never guessed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from mlfund._check import DataError, check_choice, stacklevel_outside

CHANNELS = ("last", "first")
# More channels than a colour image with transparency has; where the other end of the shape
# has so few, the layout was probably said the wrong way round.
MOST_COLOURS = 4
RGB = 3

ImageShapeLike = str | Sequence[int] | None


@dataclass(frozen=True)
class ImageForm:
    """How images lie in an array.

    Attributes
    ----------
    height, width, n_channels : int
    channels : {"last", "first"}
        Which end of a row's shape counts the channels.
    axes : int
        Of the array: 2 (flattened rows), 3 (no axis of channels) or 4.
    """

    height: int
    width: int
    n_channels: int
    channels: str
    axes: int

    @property
    def n_values(self) -> int:
        """Values of an image."""
        return self.height * self.width * self.n_channels

    @property
    def size(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.height, self.width, self.n_channels

    def __str__(self) -> str:
        """Return the size in words."""
        plural = "" if self.n_channels == 1 else "s"
        return f"{self.height} x {self.width} pixels and {self.n_channels} channel{plural}"

    def as_nhwc(self, X: np.ndarray) -> np.ndarray:
        """Return a view of an array of this form as (n, height, width, channels)."""
        if self.channels == "last" or self.n_channels == 1:
            return X.reshape(len(X), *self.size)
        first = X.reshape(len(X), self.n_channels, self.height, self.width)
        return first.transpose(0, 2, 3, 1)

    def from_nhwc(self, X: np.ndarray) -> np.ndarray:
        """Return an array of this form from rows in the order of height, width, channels."""
        images = X.reshape(len(X), *self.size)
        if self.channels == "first":
            images = images.transpose(0, 3, 1, 2)
        if self.axes == 4:
            return images
        return images.reshape((len(X), -1) if self.axes == 2 else (len(X), *self.size[:2]))


def form_of(X: Any, channels: str = "last", image_shape: ImageShapeLike = None) -> ImageForm:
    """Return the form of an array of images.

    Parameters
    ----------
    X : ndarray
        (n, height, width), (n, height, width, channels), (n, channels, height, width) or,
        flattened, (n, values).
    channels : {"last", "first"}, default="last"
    image_shape : (int, int), (int, int, int), "row" or None, default=None
        Of flattened rows: height and width, with the channels at the end that `channels`
        names; "row" for images one pixel high. None takes a square of one channel, and
        refuses arrays with axes for more than four channels of at most four pixels.

    Raises
    ------
    ValueError
        If the shape fits no images, or not `image_shape`.

    Examples
    --------
    >>> import numpy as np
    >>> from mlfund.preprocessing._image_rows import form_of
    >>> str(form_of(np.zeros((5, 64))))
    '8 x 8 pixels and 1 channel'
    >>> str(form_of(np.zeros((5, 3, 8, 6)), channels="first"))
    '8 x 6 pixels and 3 channels'
    """
    check_choice("channels", channels, CHANNELS)
    shape = tuple(int(size) for size in X.shape)
    if len(shape) == 2:
        return _flattened(shape[1], channels, image_shape)
    if len(shape) == 3:
        form = ImageForm(shape[1], shape[2], 1, channels, 3)
    elif len(shape) == 4:
        form = _of_four(shape, channels, given=image_shape is not None)
    else:
        raise DataError(
            f"X has {len(shape)} axes; images are (n, height, width), (n, height, width, "
            "channels) or flattened rows (n, values)."
        )
    if image_shape is not None and _size(image_shape, shape[1], channels) != form.size:
        raise DataError(
            f"X has images of {form}, and image_shape={image_shape!r} says otherwise; leave "
            "image_shape out: it is for flattened rows."
        )
    return form


def _of_four(shape: tuple[int, ...], channels: str, *, given: bool) -> ImageForm:
    """Return the form of (n, ., ., .); a layout that looks mistaken has to be `given`."""
    mistake = None if given else mistaken(shape, channels)
    if mistake is not None:
        counted, other, opposite = mistake
        raise DataError(
            f"X has shape {shape}, which with channels={channels!r} means {counted} channels of "
            f"{other} pixels; if the {other} are the channels, give channels={opposite!r}; "
            f"if not, say so by image_shape={shape[1:]!r}."
        )
    if channels == "first":
        return ImageForm(shape[2], shape[3], shape[1], channels, 4)
    return ImageForm(shape[1], shape[2], shape[3], channels, 4)


def mistaken(shape: tuple[int, ...], channels: str) -> tuple[int, int, str] | None:
    """Return what speaks for channels at the other end of (n, ., ., .), None for nothing.

    These are the channels as said, the pixels at the other end, and the name of that end.
    """
    ends = (shape[1], shape[3])
    counted, other = ends if channels == "first" else ends[::-1]
    opposite = "first" if channels == "last" else "last"
    return (counted, other, opposite) if counted > MOST_COLOURS >= other else None


def _flattened(n_values: int, channels: str, image_shape: ImageShapeLike) -> ImageForm:
    if image_shape is None:
        side = math.isqrt(n_values)
        if side * side != n_values:
            raise DataError(
                f"Flattened rows of {n_values} values are no square image; give "
                "image_shape=(height, width), with the channels for colours, or image_shape='row'."
            )
        return ImageForm(side, side, 1, channels, 2)
    size = _size(image_shape, n_values, channels)
    form = ImageForm(*size, channels, 2)
    if form.n_values != n_values:
        raise DataError(
            f"image_shape={image_shape!r} is {form.n_values} values, and the rows of X have "
            f"{n_values}."
        )
    if channels == "last" and size[0] == RGB and size[2] > MOST_COLOURS:
        warnings.warn(
            f"image_shape={image_shape!r} with channels='last' means images {RGB} pixels high with "
            f"{size[2]} channels; if the {RGB} are the channels, give channels='first'.",
            UserWarning,
            stacklevel=stacklevel_outside(),
        )
    return form


def _size(image_shape: Any, n_values: int, channels: str) -> tuple[int, int, int]:
    """Return height, width and channels of a user's `image_shape`."""
    if isinstance(image_shape, str):
        check_choice("image_shape", image_shape, ("row",))
        return 1, n_values, 1
    sizes = tuple(image_shape) if isinstance(image_shape, Sequence | np.ndarray) else ()
    good = len(sizes) in (2, 3) and all(isinstance(s, Integral) and s > 0 for s in sizes)
    if not good:
        raise ValueError(
            "image_shape must be (height, width), these with the channels, 'row' or None; got "
            f"{image_shape!r}."
        )
    if len(sizes) == 2:
        return int(sizes[0]), int(sizes[1]), 1
    last = sizes if channels == "last" else (*sizes[1:], sizes[0])
    return int(last[0]), int(last[1]), int(last[2])


def shape_of_size(size: tuple[int, int, int], channels: str) -> tuple[int, int, int]:
    """Return the `image_shape` that stands for a height, a width and a number of channels.

    Parameters
    ----------
    size : (int, int, int)
        Height, width and channels, as in `image_size_`.
    channels : {"last", "first"}
        At which end `image_shape` counts them.

    Examples
    --------
    >>> from mlfund.preprocessing._image_rows import shape_of_size
    >>> shape_of_size((8, 6, 3), "first")
    (3, 8, 6)
    """
    height, width, n_channels = size
    return (n_channels, height, width) if channels == "first" else size


def is_flattened(X: Any) -> bool:
    """Whether X is a table of flattened rows, or one that is none of images at all."""
    if hasattr(X, "shape") and not _is_list(X):
        return len(X.shape) <= 2
    first = next(iter(X), None) if hasattr(X, "__iter__") else None
    return np.ndim(first) <= 1 if not isinstance(first, str) else True


def _is_list(X: Any) -> bool:
    """Whether X is one object an image: a list, or what numpy and pandas make of one."""
    if not hasattr(X, "shape"):
        return True
    return len(X.shape) == 1 and getattr(X.dtype, "kind", None) == "O"


def pixel_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which pixels of a dtype of numbers are read.

    Bytes stay bytes. Integers, bool and half precision become float32, which is exact up to 16
    million and half the memory of float64; only what is as wide as float64 is read in it.
    """
    if dtype == np.uint8:
        return dtype
    return np.dtype(np.float64 if dtype.kind == "f" and dtype.itemsize >= 8 else np.float32)


# For `validate_data`: what frames and sparse rows may be of, and what they become if they are not.
PIXEL_DTYPES = (np.float32, np.float64, np.uint8)


def as_pixels(X: Any) -> Any:
    """Return a tensor, a list or an array of numbers as an array in the dtype of its pixels.

    Anything else is returned as it is: frames with their names, sparse rows, what holds no
    numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from mlfund.preprocessing._image_rows import as_pixels
    >>> [as_pixels(np.ones((2, 4), dtype)).dtype.name for dtype in ("u1", "u2", "f2", "f8")]
    ['uint8', 'float32', 'float32', 'float64']
    """
    if hasattr(X, "detach"):
        X = X.detach().cpu().numpy()
    if isinstance(X, list | tuple):
        X = np.asarray(X)
    if not isinstance(X, np.ndarray) or X.dtype.kind not in "biuf":
        return X
    return X.astype(pixel_dtype(X.dtype), copy=False)


def read_pixels(X: Any) -> np.ndarray:
    """Return images as one array, in the dtype that `pixel_dtype` says.

    Raises
    ------
    ValueError
        If images differ in size, or X is empty, not numeric or not finite.
    """
    if hasattr(X, "detach"):
        X = X.detach().cpu().numpy()
    if _is_list(X):
        X = list(X)
        shapes = {np.shape(image) for image in X}
        if len(shapes) > 1:
            first, second = sorted(shapes, key=str)[:2]
            raise DataError(
                f"The images differ in size: some have shape {first}, others {second}. Resize "
                "or crop them to one size first."
            )
    pixels = np.asarray(X)
    if pixels.dtype.kind not in "biuf":
        raise DataError(f"X holds {pixels.dtype} values, and pixels are numbers.")
    pixels = as_pixels(pixels)
    if pixels.size == 0:
        raise DataError(f"X has shape {pixels.shape}: there are no pixels in it.")
    if pixels.dtype != np.uint8 and not np.isfinite(pixels).all():
        raise DataError(
            "X has pixels that are NaN or infinite; replace them, or leave these images out."
        )
    return pixels


def flattened(
    X: Any, channels: str = "last", image_shape: ImageShapeLike = None
) -> tuple[np.ndarray, ImageForm]:
    """Return images as rows (n, height * width * channels) in this order, and their form.

    Parameters
    ----------
    X : array-like
        Images, or an array of flattened rows that was checked before.
    channels, image_shape
        As for `form_of`.

    Raises
    ------
    ValueError
        As `read_pixels` and `form_of` do.
    """
    pixels = X if is_flattened(X) else read_pixels(X)
    form = form_of(pixels, channels, image_shape)
    return form.as_nhwc(pixels).reshape(len(pixels), form.n_values), form
