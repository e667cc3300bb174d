"""Images drawn with matplotlib: how arrays become colours, montages, grids of charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlfund._check import require

# More would be too small to see.
MOST_IMAGES = 64
# In a line over an image.
MOST_LETTERS = 22
GREY = 0.5


def check_few(n_images: int, asked_by: str | None = None) -> None:
    """Raise ValueError unless so many images can be seen side by side.

    Parameters
    ----------
    n_images : int
    asked_by : str, optional
        The parameter that says how many of X are drawn; all of X are without it.
    """
    if n_images <= MOST_IMAGES:
        return
    if asked_by is not None:
        raise ValueError(
            f"{asked_by} asks for {n_images} images, and a picture shows at most {MOST_IMAGES}; "
            f"give {asked_by}={MOST_IMAGES} or less."
        )
    raise ValueError(
        f"X has {n_images} images, and a picture shows at most {MOST_IMAGES}; give some of them, "
        "such as X[:8]."
    )


def as_colours(images: np.ndarray, low: float | None = None, high: float | None = None) -> Any:
    """Return images as grey values (n, h, w) or colours (n, h, w, 3), from 0 to 1.

    Parameters
    ----------
    images : ndarray of shape (n, h, w, c)
        One channel is grey, three and four are red, green and blue (and transparency, which is
        left out); of other numbers of channels the mean is shown.
    low, high : float, optional
        What is black and white. By default those of the pixels' unit where it can be told:
        0 and 255 for bytes, 0 and 1 for numbers between, else the least and largest pixel.
    """
    if low is None or high is None:
        low, high = unit_of(images)
    shown = np.clip((images.astype(np.float64) - low) / max(high - low, 1e-12), 0, 1)
    if images.shape[-1] in (3, 4):
        return shown[..., :3]
    return shown.mean(axis=-1)


def unit_of(images: np.ndarray) -> tuple[float, float]:
    """Return what is black and what is white."""
    if images.dtype == np.uint8:
        return 0.0, 255.0
    low, high = float(images.min()), float(images.max())
    return (0.0, 1.0) if low >= 0 and 0.5 <= high <= 1 else (low, high)


def montage(images: np.ndarray, columns: int, *, gap: int = 1, fill: float = GREY) -> np.ndarray:
    """Return images side by side in rows of `columns`, as one image.

    Parameters
    ----------
    images : ndarray of shape (n, h, w) or (n, h, w, 3)
    columns : int
    gap : int, default=1
        Pixels between images.
    fill : float, default=0.5
        Value of the gaps, and of places without an image; NaN leaves them empty.

    Examples
    --------
    >>> import numpy as np
    >>> from mlfund.estimators._image_pictures import montage
    >>> montage(np.ones((3, 2, 2)), 2).shape
    (5, 5)
    """
    n, height, width, *colours = images.shape
    rows = math.ceil(n / columns)
    size = (rows * (height + gap) - gap, columns * (width + gap) - gap, *colours)
    sheet = np.full(size, fill, dtype=images.dtype)
    for place, image in enumerate(images):
        top = (place // columns) * (height + gap)
        left = (place % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def one_axis(ax: Any, size: tuple[float, float]) -> Any:
    """Return the axis given, or one of a new figure of so many inches."""
    if ax is not None:
        return ax
    pyplot = require("matplotlib.pyplot", "plot")
    return pyplot.subplots(figsize=size, layout="constrained")[1]


def image_axes(axes: Any, n: int, inches: float = 1.8, most_columns: int = 6) -> np.ndarray:
    """Return n axes without ticks: those given, or those of a new figure.

    Raises
    ------
    ValueError
        If another number of axes is given.
    """
    if axes is None:
        pyplot = require("matplotlib.pyplot", "plot")
        columns = min(n, most_columns)
        rows = math.ceil(n / columns)
        size = (inches * columns, (inches + 0.4) * rows)
        _, made = pyplot.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
        for axis in made.ravel():
            axis.set_axis_off()
        return made.ravel()[:n]
    axes = np.ravel(axes)
    if len(axes) != n:
        raise ValueError(f"axes must hold {n} axes, one for each image; got {len(axes)}.")
    for axis in axes:
        axis.set_axis_off()
    return axes


def show(axis: Any, image: np.ndarray, **options: Any) -> None:
    """Draw an image of values from 0 to 1 whose pixels stay squares."""
    grey = {"cmap": "gray", "vmin": 0, "vmax": 1} if image.ndim == 2 else {}
    axis.imshow(image, **{"interpolation": "nearest", **grey, **options})
    axis.set_axis_off()


def title(axis: Any, lines: Sequence[str]) -> None:
    """Write lines of text over an image; long ones, of long names of classes, are cut."""
    short = [
        line if len(line) <= MOST_LETTERS else line[: MOST_LETTERS - 1] + "…" for line in lines
    ]
    axis.set_title("\n".join(short), fontsize="small")
