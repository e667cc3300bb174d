"""What the numbers of images mean: which is white, by dtype, and of floats by all images."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mlfund._check import DataError, stacklevel_outside

WHITE = 255
# Resizing and JPEG leave values a little beyond black and white, in units of white.
BEYOND = 0.01
# Images of which nothing is lighter than this, of 255, were probably meant in another unit.
LEAST_LIGHT = 32
# What `bytes_of` does with numbers.
AS_THEY_ARE, FROM_ONE, FROM_16_BITS = "0 to 255", "0 to 1", "0 to 65535"


def units_of(images: Sequence[np.ndarray]) -> dict[np.dtype, str]:
    """Return how each dtype among images says black and white.

    Parameters
    ----------
    images : sequence of ndarray
        Of any shapes, none of them empty.

    Returns
    -------
    units : dict of dtype to str
        For `bytes_of`. bool is black and white, uint16 has 16 bits, and other integers are in
        0 to 255, whatever their values. Floats are in 0 to 1 where none of all images is beyond
        1, and otherwise in 0 to 255.

    Raises
    ------
    ValueError
        If values lie outside of these, or are NaN, infinite or no numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from mlfund.preprocessing._image_units import units_of
    >>> list(units_of([np.zeros((2, 2)), np.full((3, 2), 0.5)]).values())
    ['0 to 1']
    """
    return {dtype: _unit(dtype, images) for dtype in {image.dtype for image in images}}


def _unit(dtype: np.dtype, images: Iterable[np.ndarray]) -> str:
    if dtype.kind not in "biuf":
        raise DataError(f"X holds {dtype} values, and pixels are numbers.")
    if dtype == np.uint8 or dtype == np.bool_:
        return AS_THEY_ARE if dtype == np.uint8 else FROM_ONE
    ends = [(image.min(), image.max()) for image in images if image.dtype == dtype]
    # By NumPy, whose minimum keeps NaN.
    lowest, largest = float(np.min(ends)), float(np.max(ends))
    if not np.isfinite([lowest, largest]).all():
        raise DataError(
            "X has pixels that are NaN or infinite; replace them, or leave these images out."
        )
    if dtype.kind == "f" and largest <= 1 + BEYOND and lowest >= -BEYOND:
        return FROM_ONE
    if dtype == np.uint16:
        if 0 < largest <= WHITE:
            _warn_of_dark(largest, FROM_16_BITS, "give X.astype(np.uint8)")
        return FROM_16_BITS
    is_light = largest >= LEAST_LIGHT
    if lowest >= -BEYOND * (WHITE if is_light else 1) and largest <= (1 + BEYOND) * WHITE:
        if 0 < largest < LEAST_LIGHT:
            _warn_of_dark(largest, AS_THEY_ARE, "divide X by it")
        return AS_THEY_ARE
    raise DataError(
        f"X has {dtype} pixels from {lowest:.4g} to {largest:.4g}; give uint8, 0 to 255, 0 to 1 as "
        "floats, or 16 bits as uint16, and do not standardise them: the backbone does."
    )


def _warn_of_dark(largest: float, scale: str, remedy: str) -> None:
    warnings.warn(
        f"The largest pixel of X is {largest:.4g}, nearly black on the scale of {scale} that "
        f"its pixels are read in; if X was meant otherwise, {remedy}.",
        UserWarning,
        stacklevel=stacklevel_outside(),
    )


def bytes_of(image: np.ndarray, units: Mapping[np.dtype, str]) -> np.ndarray:
    """Return an image as uint8, black 0 and white 255.

    Parameters
    ----------
    image : ndarray
    units : mapping of dtype to str
        As `units_of` found them.
    """
    unit = units[image.dtype]
    if image.dtype == np.uint8:
        return image
    if unit == FROM_16_BITS:
        return (image >> 8).astype(np.uint8)
    scaled = image.astype(np.float32) * (WHITE if unit == FROM_ONE else 1)
    return np.clip(np.rint(scaled), 0, WHITE).astype(np.uint8)
