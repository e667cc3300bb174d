"""Images as training sees them: the same ones again and again under an augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_array
from torch import Tensor

from mlfund._check import check_positive, seed_from
from mlfund.augmentation import Augmentation, Rows, get_augmentation
from mlfund.estimators import _image_pictures as pictures
from mlfund.nets.convnet import ReadPixels
from mlfund.preprocessing import ImageScaler
from mlfund.preprocessing._image_rows import flattened, is_flattened

# Images that are augmented together: enough partners for those that mix.
MOST_ROWS = 256


def plot_augmentation(
    X: Any,
    augmentation: str | Augmentation | Sequence[str | Augmentation],
    *,
    n_images: int = 4,
    n_draws: int = 6,
    channels: str = "last",
    image_shape: Any = None,
    random_state: int | np.random.RandomState | None = 0,
    ax: Any = None,
) -> Any:
    """Draw some images several times under an augmentation.

    A row an image: the image itself, then draws of what a net is trained on. Needs matplotlib
    (``pip install 'mlfund[plot]'``).

    Parameters
    ----------
    X : array-like
        Images, as `CNNClassifier` takes them. The first `n_images` are drawn; those that follow
        are partners for "mixup" and "cutmix", and all of them give the mean and the spread that
        augmentations see as 0 and 1.
    augmentation : str, Augmentation, or list of these
        Names or entries of `mlfund.augmentation.AUGMENTATIONS`.
    n_images : int, default=4
        Rows of the picture.
    n_draws : int, default=6
        Columns beside the image itself.
    channels : {"last", "first"}, default="last"
        Which end of an image's shape counts the channels.
    image_shape : (int, int), (int, int, int), "row" or None, default=None
        Of flattened rows; None is a square of one channel.
    random_state : int, RandomState instance or None, default=0
        Source of the draws.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure is made without it.

    Returns
    -------
    ax : matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If X are no images, nothing of the augmentation changes images, or more than 64 are
        to be drawn.
    ImportError
        If matplotlib is not installed.

    See Also
    --------
    CNNClassifier.plot_augmentation : With the augmentation of an estimator.

    Examples
    --------
    >>> import numpy as np
    >>> from mlfund import plot_augmentation
    >>> from mlfund.augmentation import RandomShift
    >>> images = np.random.default_rng(0).integers(0, 256, (8, 16, 16), dtype=np.uint8)
    >>> ax = plot_augmentation(images, ["flip", RandomShift(3)], n_draws=2)
    >>> ax.get_title()
    'flip, shift'
    """
    given = [augmentation] if isinstance(augmentation, str | Augmentation) else augmentation or []
    rows, pixels = read(X, channels, image_shape)
    entries = [get_augmentation(one) for one in given]
    return draw(rows, pixels, entries, n_images, n_draws, random_state, ax)


def read(X: Any, channels: str, image_shape: Any) -> tuple[np.ndarray, ReadPixels]:
    """Return images as rows, and how their own mean and spread standardise them."""
    # Columns of a table, sparse or with names, are pixels like others.
    table = check_array(X, accept_sparse=False, dtype=None) if is_flattened(X) else X
    rows, form = flattened(table, channels, image_shape)
    scaler = ImageScaler(image_shape=form.size).fit(rows.reshape(len(rows), *form.size))
    return rows, ReadPixels(form.size, tuple(scaler.mean_), tuple(scaler.scale_))


def draw(
    rows: np.ndarray,
    pixels: ReadPixels,
    augmentations: Sequence[Augmentation],
    n_images: int,
    n_draws: int,
    random_state: Any,
    ax: Any,
) -> Any:
    """Draw flattened rows under augmentations, and return the axis."""
    check_positive("n_images", n_images, integer=True)
    check_positive("n_draws", n_draws, integer=True)
    # Others change targets, which have no picture.
    seen = [one for one in augmentations if one.changes_X]
    if not seen:
        raise ValueError(
            "There is no augmentation of images to draw; give some, such as "
            "augmentation=['flip', 'shift']."
        )
    shown = min(n_images, len(rows))
    pictures.check_few(shown, "n_images")
    versions = _drawn(rows[:MOST_ROWS], pixels, seen, shown, n_draws, seed_from(random_state))
    sheet = pictures.montage(versions, n_draws + 1, fill=1.0)
    inches = 0.9 * (n_draws + 1), 0.9 * shown + 0.4
    axis = pictures.one_axis(ax, inches)
    pictures.show(axis, sheet)
    axis.set_title(", ".join(one.name for one in seen), fontsize="medium")
    return axis


def _drawn(
    rows: np.ndarray,
    pixels: ReadPixels,
    augmentations: Sequence[Augmentation],
    shown: int,
    n_draws: int,
    seed: int,
) -> np.ndarray:
    """Return each image and its draws, one after the other, as colours."""
    generator = torch.Generator().manual_seed(seed)
    images = pixels.images(torch.from_numpy(np.array(rows)))
    original = rows[:shown].reshape(shown, *pixels.size)
    low, high = pictures.unit_of(rows)
    columns = [pictures.as_colours(original, low, high)]
    for _ in range(n_draws):
        # The targets of real numbers are mixed like any others, and not shown.
        batch = Rows(images, torch.zeros(len(images), 1, dtype=images.dtype))
        for one in augmentations:
            batch = one.apply(batch, generator, "real")
        columns.append(pictures.as_colours(_restored(batch.X[:shown], pixels), low, high))
    stacked = np.stack(columns, axis=1)
    return stacked.reshape(-1, *stacked.shape[2:])


def _restored(images: Tensor, pixels: ReadPixels) -> np.ndarray:
    """Return standardised images in the unit of their pixels, (n, h, w, c)."""
    last = images.permute(0, 2, 3, 1).numpy().astype(np.float64)
    return last * np.array(pixels.scale) + np.array(pixels.mean)
