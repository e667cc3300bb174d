"""Images in the forms that people have them in, as rows of bytes of one size.

Arrays, lists of arrays of several sizes, paths, encoded files and Pillow's images are checked
once, by `given_images`; they are decoded, resized and hashed when they are asked for, a few at a
time and by several threads.
"""

from __future__ import annotations

import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from mlfund._check import DataError, check_choice, require
from mlfund.preprocessing._image_files import (
    eight_bits,
    image_sides,
    in_threads,
    read_image,
    reason_of,
)
from mlfund.preprocessing._image_kinds import ARRAY, ENCODED, PATH, PICTURE, read_kind
from mlfund.preprocessing._image_rows import ImageShapeLike
from mlfund.preprocessing._image_units import bytes_of, units_of

__all__ = ["READING_VERSION", "GivenImages", "given_images", "image_keys", "image_rows"]

# Of what `GivenImages.rows` makes of content; embeddings that were stored under another are void.
READING_VERSION = 3
INTERPOLATIONS = ("bicubic", "bilinear")
KEY_BYTES = 16
# Characters of a text that a message shows.
SHOWN = 60
TEXTS = (
    "strings are taken for paths of images, and texts need backbone='all-MiniLM-L6-v2', "
    "TextTransferClassifier or TextTransferRegressor"
)


def image_rows(
    X: Any,
    size: int | Sequence[int],
    *,
    channels: str = "last",
    image_shape: ImageShapeLike = None,
    interpolation: str = "bicubic",
    n_jobs: int | None = None,
) -> np.ndarray:
    """Return images as flattened rows of bytes, in colours and of one size.

    Parameters
    ----------
    X : array-like
        See `given_images`.
    size : int or (int, int)
        Height and width. An image with other sides is stretched to it; antialiased where it gets
        smaller.
    channels, image_shape
        See `given_images`.
    interpolation : {"bicubic", "bilinear"}, default="bicubic"
    n_jobs : int, optional
        Threads; None takes as many as torch computes with, -1 one a core.

    Returns
    -------
    rows : ndarray of uint8 and shape (n, height * width * 3)
        In the order of height, width, channels. Grey images get three equal channels.

    Raises
    ------
    ValueError
        If X are no images, or one of them cannot be read, which is named.
    ImportError
        If an image has to be decoded and Pillow is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from mlfund.preprocessing.image_inputs import image_rows
    >>> grey, coloured = np.zeros((6, 4)), np.ones((5, 9, 3))
    >>> rows = image_rows([grey, coloured], size=(2, 2))
    >>> rows.shape, rows.dtype, rows.max(axis=1)
    ((2, 12), dtype('uint8'), array([  0, 255], dtype=uint8))
    """
    given = given_images(X, channels=channels, image_shape=image_shape)
    return given.rows(size, interpolation=interpolation, n_jobs=n_jobs)


def image_keys(
    X: Any,
    *,
    channels: str = "last",
    image_shape: ImageShapeLike = None,
    n_jobs: int | None = None,
) -> list[bytes]:
    """Return a hash of the content of each image, equal for equal ones in every process.

    Parameters
    ----------
    X, channels, image_shape
        See `given_images`.
    n_jobs : int, optional
        Threads, as for `image_rows`.

    Returns
    -------
    keys : list of bytes
        Sixteen bytes an image. A file counts by its bytes, wherever it lies and whatever it is
        called; other images by their pixels, whatever dtype and layout hold these.

    Examples
    --------
    >>> import numpy as np
    >>> from mlfund.preprocessing.image_inputs import image_keys
    >>> images = np.zeros((2, 8, 8), dtype=np.uint8)
    >>> images[1, 3, 3] = 1
    >>> first, second = image_keys(images)
    >>> first == second, first == image_keys(images[:1].astype(float))[0]
    (False, True)
    """
    return given_images(X, channels=channels, image_shape=image_shape).keys(n_jobs=n_jobs)


def given_images(
    X: Any, *, channels: str = "last", image_shape: ImageShapeLike = None
) -> GivenImages:
    """Check what somebody gave as images; nothing is decoded yet.

    Parameters
    ----------
    X : array-like
        An array of shape (n, height, width) or (n, height, width, channels) with one, two, three
        or four channels: grey or colours, without or with transparency, which is left out. A
        list, Series, one-column DataFrame or array of objects with one image in each place: an
        array of any size, a path (str or `Path`), the bytes of a file (JPEG, PNG, ...) or an image
        of Pillow. Torch tensors are taken as arrays.

        Numbers: integers in 0 to 255, but uint16 in 0 to 65535; bool; floats in 0 to 1 or in
        0 to 255, which the largest number of X decides. Give bytes (uint8) where an image of
        floats in 0 to 255 may be all but black and alone.
    channels : {"last", "first"}, default="last"
        Which end of an array's shape counts the channels; it is never guessed.
    image_shape : (int, int), (int, int, int) or None, default=None
        For flattened rows (n, values): height and width, with the channels at the end that
        `channels` names.

    Returns
    -------
    given : GivenImages

    Raises
    ------
    ValueError
        If X is no such thing, mixes kinds, or holds a path where there is no file.

    Examples
    --------
    >>> import numpy as np
    >>> from mlfund.preprocessing.image_inputs import given_images
    >>> given = given_images(np.zeros((3, 8, 6)))
    >>> len(given), given.rows(4, places=[2]).shape
    (3, (1, 48))
    """
    kind, items = read_kind(X, channels, image_shape)
    if kind == ARRAY:
        return _Arrays(items)
    if kind == PICTURE:
        return _Pictures(items)
    assert kind in (PATH, ENCODED)
    return _Files(items)


class GivenImages(ABC):
    """Images that were checked, to be decoded when they are asked for.

    Parameters
    ----------
    items : sequence
        One object an image.

    Examples
    --------
    >>> import numpy as np
    >>> from mlfund.preprocessing.image_inputs import given_images
    >>> [len(key) for key in given_images(np.ones((2, 8, 6))).keys()]
    [16, 16]
    """

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    @abstractmethod
    def read(self, place: int, size: tuple[int, int] | None) -> Any:
        """Return the image at a place: bytes (h, w) or (h, w, 3), or one of Pillow in L or RGB.

        It may be decoded at a lower resolution that still is good for `size`.
        """

    def content(self, place: int) -> tuple[Any, ...]:
        """Return the buffers that tell the image at a place from others."""
        pixels = np.ascontiguousarray(self.read(place, None))
        return repr(pixels.shape).encode(), pixels

    def rows(
        self,
        size: int | Sequence[int],
        *,
        interpolation: str = "bicubic",
        n_jobs: int | None = None,
        places: Sequence[int] | np.ndarray | None = None,
    ) -> np.ndarray:
        """Return images as flattened rows of bytes; see `image_rows`.

        Parameters
        ----------
        size : int or (int, int)
        interpolation : {"bicubic", "bilinear"}, default="bicubic"
        n_jobs : int, optional
        places : sequence of int, optional
            Which images; all of them without it. Only they are decoded, and each no longer than
            until its row is written.

        Returns
        -------
        rows : ndarray of uint8 and shape (len(places), height * width * 3)
        """
        height, width = image_sides(size)
        check_choice("interpolation", interpolation, INTERPOLATIONS)
        wanted = range(len(self)) if places is None else places
        rows = np.empty((len(wanted), height, width, 3), dtype=np.uint8)

        def write(k: int) -> None:
            image = self.read(int(wanted[k]), (height, width))
            pixels = _resized(image, (height, width), interpolation)
            rows[k] = pixels if pixels.ndim == 3 else pixels[..., None]

        in_threads(write, len(rows), n_jobs)
        return rows.reshape(len(rows), height * width * 3)

    def keys(self, *, n_jobs: int | None = None) -> list[bytes]:
        """Return a hash of the content of each image; see `image_keys`."""
        return in_threads(self._key, len(self), n_jobs)

    def _key(self, place: int) -> bytes:
        digest = hashlib.blake2b(digest_size=KEY_BYTES)
        for buffer in self.content(place):
            digest.update(buffer)
        return digest.digest()


def _resized(image: Any, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """Return bytes of shape (height, width) or (height, width, 3)."""
    pixels = np.asarray(image)
    if pixels.shape[:2] == size:
        return pixels
    import torch
    from torch.nn.functional import interpolate

    # torch's filter for bytes rounds as Pillow's does, to one level of 255, and takes a quarter
    # of its time for colours, on one thread.
    of_channels = pixels[..., None] if pixels.ndim == 2 else pixels
    tensor = torch.from_numpy(np.require(of_channels, requirements=["C", "W"])).permute(2, 0, 1)
    resized = interpolate(tensor[None], size, mode=interpolation, antialias=True)[0]
    return resized.permute(1, 2, 0).numpy()


class _Arrays(GivenImages):
    """Arrays (height, width, channels) of any sizes and dtypes."""

    def __init__(self, items: Sequence[np.ndarray]) -> None:
        super().__init__(items)
        self.units = units_of(items)

    def read(self, place: int, size: tuple[int, int] | None) -> np.ndarray:
        image = self.items[place]
        # One channel or three; transparency is the one after.
        image = image[..., :3] if image.shape[-1] > 2 else image[..., 0]
        return bytes_of(image, self.units)


class _Files(GivenImages):
    """Paths of files, or what is in files."""

    def __init__(self, items: Sequence[Any]) -> None:
        super().__init__(items)
        require("PIL.Image", "images")
        self._refuse_missing()

    def read(self, place: int, size: tuple[int, int] | None) -> Any:
        item = self.items[place]
        file = BytesIO(item) if isinstance(item, bytes | bytearray | memoryview) else item
        # Pillow's readers raise many kinds of errors on damaged files.
        try:
            return read_image(file, size)
        except Exception as error:
            raise self._unreadable(place, error) from error

    def content(self, place: int) -> tuple[Any, ...]:
        item = self.items[place]
        if isinstance(item, bytes | bytearray | memoryview):
            return b"file", item
        try:
            return b"file", Path(item).read_bytes()
        except OSError as error:
            raise self._unreadable(place, error) from error

    def _unreadable(self, place: int, error: Exception) -> DataError:
        item = self.items[place]
        is_path = isinstance(item, str | os.PathLike)
        named = f"{item} (row {place} of X)" if is_path else f"Row {place} of X"
        return DataError(
            f"{named} cannot be read as an image ({reason_of(error)}); repair it or leave the row "
            "out."
        )

    def _refuse_missing(self) -> None:
        """Raise before anything else is read: the first hours of work may be for the others."""
        paths = [(k, p) for k, p in enumerate(self.items) if isinstance(p, str | os.PathLike)]
        missing = [(place, path) for place, path in paths if not os.path.isfile(path)]
        if not missing:
            return
        place, path = missing[0]
        if os.path.isdir(path):
            raise DataError(
                f"{path} (row {place} of X) is a folder; give the images in it, a path each."
            )
        others = f", nor are {len(missing) - 1} others" if len(missing) > 1 else ""
        where = "" if os.path.isabs(path) else f"; paths are looked up from {os.getcwd()}"
        texts = len(missing) == len(self.items) and all(map(_is_text, self.items))
        shown = str(path)
        if texts and len(shown) > SHOWN:
            shown = f"{shown[:SHOWN]}..."
        hint = f"; {TEXTS}" if texts else ""
        raise DataError(f"{shown} (row {place} of X) is not there{others}{where}{hint}.")


def _is_text(item: Any) -> bool:
    """Whether somebody probably means a text, and no file: it does not end as names of files."""
    return isinstance(item, str) and re.search(r"\.\w{1,5}$", item) is None


class _Pictures(GivenImages):
    """Images of Pillow, open or in memory."""

    def __init__(self, items: Sequence[Any]) -> None:
        super().__init__(items)
        if len({id(image) for image in items}) < len(items):
            # One that is there twice must not be decoded by two threads at once.
            for place in range(len(items)):
                self.read(place, None)

    def read(self, place: int, size: tuple[int, int] | None) -> Any:
        from PIL import ImageOps

        try:
            return eight_bits(ImageOps.exif_transpose(self.items[place]))
        except Exception as error:
            raise DataError(
                f"The image in row {place} of X cannot be read ({reason_of(error)}); repair it or "
                "leave the row out."
            ) from error
