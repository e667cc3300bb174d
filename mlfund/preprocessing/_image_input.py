"""What transformers of images share: reading and checking X."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from mlfund._check import DataError
from mlfund.preprocessing._image_rows import (
    PIXEL_DTYPES,
    ImageForm,
    as_pixels,
    form_of,
    is_flattened,
    read_pixels,
    shape_of_size,
)


class ImageInput:
    """Reads images for a transformer with `channels`, `image_shape` and `image_size_`."""

    channels: str
    image_shape: Any
    image_size_: tuple[int, int, int]

    def _checked(self, X: Any) -> tuple[np.ndarray, ImageForm]:
        """Return images of the size that `fit` saw, and how they lie in the array."""
        check_is_fitted(self)
        pixels, form = self._read(X, reset=False)
        if form.size != self.image_size_:
            fitted = ImageForm(*self.image_size_, self.channels, 4)
            raise DataError(
                f"X has images of {form}, and {type(self).__name__} was fitted on images of "
                f"{fitted}."
            )
        return pixels, form

    def _read(self, X: Any, *, reset: bool) -> tuple[np.ndarray, ImageForm]:
        if is_flattened(X):
            # scikit-learn's own checks and messages, names of columns included.
            X = validate_data(
                self, as_pixels(X), reset=reset, dtype=PIXEL_DTYPES, ensure_min_samples=1
            )
            return X, form_of(X, self.channels, self._shape_of_rows(reset=reset))
        pixels = read_pixels(X)
        form = form_of(pixels, self.channels, self.image_shape)
        if reset:
            self.n_features_in_ = form.n_values
            self.__dict__.pop("feature_names_in_", None)
        return pixels, form

    def _shape_of_rows(self, *, reset: bool) -> Any:
        """Return the `image_shape` of flattened rows: that of `fit`, if it was not given."""
        if self.image_shape is not None or reset:
            return self.image_shape
        return shape_of_size(self.image_size_, self.channels)
