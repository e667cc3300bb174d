"""ImageScaler: pixels with mean zero and spread one in each channel."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin

from mlfund._version_stamp import VersionStamped
from mlfund.preprocessing._image_input import ImageInput
from mlfund.preprocessing._image_rows import ImageForm, is_flattened

# Images whose values are summed at once: 16 MB of float64 at 28 x 28 pixels.
BLOCK_VALUES = 2_000_000

_Scaler = TypeVar("_Scaler")


def _rows_alone(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that scikit-learn has wrapped for `set_output`, bare for images."""
    bare = inspect.unwrap(method)

    @functools.wraps(method)
    def output(self: Any, X: Any, *args: Any, **options: Any) -> Any:
        return (method if is_flattened(X) else bare)(self, X, *args, **options)

    return output


def _frames_of_rows_alone(scaler: type[_Scaler]) -> type[_Scaler]:
    """Let `set_output` change flattened rows alone: no frame holds arrays with more axes."""
    for name in ("transform", "fit_transform"):
        setattr(scaler, name, _rows_alone(getattr(scaler, name)))
    return scaler


@_frames_of_rows_alone
class ImageScaler(
    ImageInput, VersionStamped, OneToOneFeatureMixin, TransformerMixin, BaseEstimator
):
    """Subtract each channel's mean over all training images, and divide by its spread.

    All statistics come from the images given to `fit`, so inside a Pipeline nothing leaks from
    held-out rows. One mean and one spread a channel, not a pixel: an image keeps its look.

    Parameters
    ----------
    with_mean : bool, default=True
        Whether the mean is subtracted.
    with_std : bool, default=True
        Whether values are divided by the standard deviation; a channel without any is left
        as it is.
    channels : {"last", "first"}, default="last"
        Which end of an image's shape counts the channels: "last" for (n, height, width,
        channels), "first" for (n, channels, height, width).
    image_shape : (int, int), (int, int, int), "row" or None, default=None
        Of flattened rows (n, values): height and width, with the channels at the end that
        `channels` names. "row" is one pixel high; None takes a square of one channel.

    Attributes
    ----------
    mean_ : ndarray of shape (n_channels,)
        Mean of each channel, in units of X; zeros without `with_mean`.
    scale_ : ndarray of shape (n_channels,)
        Standard deviation of each channel; ones without `with_std`.
    image_size_ : tuple of (int, int, int)
        Height, width and channels of the images.
    n_features_in_ : int
        Values of an image.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of flattened rows, if they had names that are strings.

    See Also
    --------
    sklearn.preprocessing.StandardScaler : One mean and one spread for each pixel.

    Notes
    -----
    The result is float64 for float64 pixels and float32 for all others, in the shape that was
    given. Sums are taken in float64. `set_output` makes frames of flattened rows; arrays of
    images stay arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from mlfund import ImageScaler
    >>> images = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
    >>> scaled = ImageScaler().fit_transform(images)
    >>> scaled.shape, scaled.dtype
    ((50, 8, 8, 3), dtype('float32'))
    >>> bool(np.allclose(scaled.mean(axis=(0, 1, 2)), 0, atol=1e-6))
    True
    """

    def __init__(
        self,
        *,
        with_mean: bool = True,
        with_std: bool = True,
        channels: str = "last",
        image_shape: str | Sequence[int] | None = None,
    ) -> None:
        self.with_mean = with_mean
        self.with_std = with_std
        self.channels = channels
        self.image_shape = image_shape

    def fit(self, X: Any, y: Any = None) -> ImageScaler:
        """Learn mean and spread of each channel.

        Parameters
        ----------
        X : array-like of shape (n, height, width), (n, height, width, channels) or (n, values)
            Images: uint8, float32 or float64; other numbers become float32.
        y : None
            Ignored.

        Returns
        -------
        self : ImageScaler

        Raises
        ------
        ValueError
            If X are no images of one size, or a pixel is not finite.
        """
        pixels, form = self._read(X, reset=True)
        self.image_size_ = form.size
        mean, variance = _moments(form.as_nhwc(pixels))
        spread = np.sqrt(variance)
        # Rounding alone makes a spread of this size.
        flat = spread <= 10 * np.finfo(np.float64).eps * np.abs(mean)
        self.mean_ = mean if self.with_mean else np.zeros_like(mean)
        self.scale_ = np.where(flat, 1.0, spread) if self.with_std else np.ones_like(mean)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return images with mean zero and spread one in each channel.

        Parameters
        ----------
        X : array-like
            Images of the size that `fit` saw, in any of the forms it takes.

        Returns
        -------
        scaled : ndarray of the shape of X, float32 or float64
        """
        scaled, channels, mean, scale = self._floats(X)
        channels -= mean
        channels /= scale
        return scaled

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Return the images that `transform` would turn into X.

        Parameters
        ----------
        X : array-like
            Scaled images.

        Returns
        -------
        images : ndarray of the shape of X, float32 or float64
        """
        images, channels, mean, scale = self._floats(X)
        channels *= scale
        channels += mean
        return images

    def _floats(self, X: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return a copy of X in floats, its view with channels, and mean and scale for that."""
        pixels, form = self._checked(X)
        floats = pixels.astype(np.float64 if pixels.dtype == np.float64 else np.float32)
        # One number a channel, in a shape that goes with the view.
        along = (-1, 1, 1) if form.channels == "first" else (-1,)
        mean, scale = (
            of_channel.astype(floats.dtype).reshape(along)
            for of_channel in (self.mean_, self.scale_)
        )
        return floats, _with_channels(floats, form), mean, scale

    def __sklearn_tags__(self) -> Any:
        """Say that X may have three axes, and that floats keep their precision."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _with_channels(pixels: np.ndarray, form: ImageForm) -> np.ndarray:
    """Return a view of images with an axis of channels where `form` has it."""
    if form.channels == "first":
        return pixels.reshape(len(pixels), form.n_channels, form.height, form.width)
    return pixels.reshape(len(pixels), *form.size)


def _moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of each channel of (n, height, width, channels), in float64."""
    n_channels = images.shape[-1]
    rows = max(1, BLOCK_VALUES // max(1, images[0].size))
    blocks = [slice(start, start + rows) for start in range(0, len(images), rows)]
    count = images.size // n_channels
    axes = (0, 1, 2)
    mean = sum(images[block].sum(axis=axes, dtype=np.float64) for block in blocks) / count
    # About the mean: the difference of two large sums would lose the digits of the spread.
    squares = sum(((images[block] - mean) ** 2).sum(axis=axes) for block in blocks)
    return np.asarray(mean), np.asarray(squares) / count
