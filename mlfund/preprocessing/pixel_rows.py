"""PixelRows: images as rows of pixels, for estimators of tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from mlfund._check import DataError, check_positive
from mlfund._version_stamp import VersionStamped
from mlfund.preprocessing._image_input import ImageInput


class PixelRows(
    ImageInput, VersionStamped, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Turn images into rows of pixels, made smaller where there are too many.

    Images with more than `max_values` values are divided into squares of as many pixels a side
    as it takes, and each square becomes its mean. Pixels at the ends that fill no square are left
    out.

    Parameters
    ----------
    max_values : int or None, default=None
        Most values of a row; None keeps all pixels.
    channels : {"last", "first"}, default="last"
        Which end of an image's shape counts the channels.
    image_shape : (int, int), (int, int, int), "row" or None, default=None
        Of flattened rows; None takes a square of one channel.

    Attributes
    ----------
    image_size_ : tuple of (int, int, int)
        Height, width and channels of the images.
    block_ : int
        Pixels a side of the squares that are averaged; 1 keeps every pixel.
    n_features_in_ : int
        Values of an image.

    See Also
    --------
    ImageScaler : Mean zero and spread one in each channel.

    Examples
    --------
    >>> import numpy as np
    >>> from mlfund import PixelRows
    >>> images = np.zeros((5, 28, 28), dtype=np.uint8)
    >>> PixelRows().fit_transform(images).shape
    (5, 784)
    >>> PixelRows(max_values=200).fit_transform(images).shape
    (5, 196)
    """

    def __init__(
        self,
        max_values: int | None = None,
        *,
        channels: str = "last",
        image_shape: str | Sequence[int] | None = None,
    ) -> None:
        self.max_values = max_values
        self.channels = channels
        self.image_shape = image_shape

    def fit(self, X: Any, y: Any = None) -> PixelRows:
        """Learn the size of the images.

        Parameters
        ----------
        X : array-like
            Images, as `ImageScaler` takes them.
        y : None
            Ignored.

        Returns
        -------
        self : PixelRows

        Raises
        ------
        ValueError
            If X are no images of one size, or not even one value a channel is allowed.
        """
        if self.max_values is not None:
            check_positive("max_values", self.max_values, integer=True)
        _, form = self._read(X, reset=True)
        self.image_size_ = height, width, n_channels = form.size
        self.block_ = self._block()
        self._n_features_out = (height // self.block_) * (width // self.block_) * n_channels
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return rows of pixels.

        Parameters
        ----------
        X : array-like
            Images of the size that `fit` saw.

        Returns
        -------
        rows : ndarray of shape (n, n_values), float32, or float64 for images that are
        """
        pixels, form = self._checked(X)
        rows = form.as_nhwc(pixels).reshape(len(pixels), form.n_values)
        dtype = np.float64 if rows.dtype == np.float64 else np.float32
        if self.block_ == 1:
            return rows.astype(dtype)
        height, width, n_channels = form.size
        b = self.block_
        images = rows.reshape(len(rows), *form.size)[:, : height // b * b, : width // b * b]
        blocks = images.reshape(len(rows), height // b, b, width // b, b, n_channels)
        return blocks.mean(axis=(2, 4), dtype=dtype).reshape(len(rows), -1)

    def _block(self) -> int:
        height, width, n_channels = self.image_size_
        most = self.max_values
        for block in range(1, min(height, width) + 1):
            if most is None or (height // block) * (width // block) * n_channels <= most:
                return block
        raise DataError(
            f"max_values={most} is less than {n_channels} channels of {height} x {width} pixels "
            "averaged as far as they can be; allow more."
        )

    def __sklearn_tags__(self) -> Any:
        """Say that X may have three axes."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
