"""Images from folders, one folder a class, as one array."""

from __future__ import annotations

import heapq
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from mlfund._check import DataError, check_choice, check_positive, require
from mlfund.preprocessing._folder_layout import images_in, listed
from mlfund.preprocessing._image_files import (
    Header,
    image_sides,
    in_threads,
    read_header,
    read_image,
    reason_of,
    warn_of_dark_files,
)

__all__ = ["images_in", "load_image_folder", "read_files"]

MODES = ("L", "RGB")


def load_image_folder(
    path: str | os.PathLike[str],
    *,
    size: int | Sequence[int] | None = None,
    mode: str | None = None,
    split: str | None = None,
    max_images: int | None = None,
    random_state: int | np.random.RandomState | None = 0,
) -> Bunch:
    """Read a folder that holds one folder of images for each class.

    The names of the folders are the classes, in sorted order. Where they are names of parts and
    hold folders themselves, these are the classes, and `split` says which part an image belongs
    to. Parts are called "train" or "training"; "val", "valid", "validation", "dev", "eval" or
    "evaluation"; and "test", "testing" or "holdout"; or alike around one of these words, as
    "seg_train" and "seg_test". A folder that holds only one of its own name, as archives unpack,
    is opened. Images may lie deeper in the folder of their class. Files and folders whose name
    begins with a dot or an underscore, and files that are no images by their suffix, are skipped.
    Needs Pillow (``pip install 'mlfund[images]'``).

    Images are turned as the camera was held, and where they are transparent they are put on
    white. Of 16 bits a pixel the upper eight are kept, with a warning where all such images are
    nearly black, as numbers of 12 bits are.

    Parameters
    ----------
    path : str or path-like
        The folder.
    size : int or (int, int), optional
        Height and width to which every image is resized (stretched where its sides have another
        ratio); an integer is both. Without it images of several sizes are refused.
    mode : {"L", "RGB"}, optional
        Grey or colours, in Pillow's words; without it grey if all images are.
    split : str, optional
        Read one part alone: "train", "test" or "validation". Folders beside it that are no parts,
        or parts whose images lie side by side, are left out then, and refused otherwise.
    max_images : int, optional
        At most so many, drawn at random with the shares of the classes and parts kept; but two of
        each class and part at least.
    random_state : int, RandomState instance or None, default=0
        Source of the draw.

    Returns
    -------
    data : Bunch
        ``images``, ndarray of uint8 and shape (n, height, width) or (n, height, width, 3);
        ``target``, ndarray of int and shape (n,), places in ``target_names``;
        ``target_names``, list of str, of all parts; ``filenames``, list of str relative to
        `path`; ``split``, ndarray of str and shape (n,), or None where the folder has no parts;
        ``n_found``, the number of images before `max_images`.

    Raises
    ------
    ValueError
        If there is no such folder, it has another layout, an image cannot be read, or images
        differ in size and `size` is not given. Sizes are compared before images are decoded.
    ImportError
        If Pillow is not installed.

    See Also
    --------
    sklearn.datasets.load_files : The same for texts.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from PIL import Image
    >>> from mlfund import load_image_folder
    >>> root = Path(mkdtemp())
    >>> for name, grey in (("night", 10), ("day", 240)):
    ...     (root / name).mkdir()
    ...     Image.new("L", (6, 4), grey).save(root / name / "1.png")
    >>> data = load_image_folder(root)
    >>> data.images.shape, data.target_names, data.target
    ((2, 4, 6), ['day', 'night'], array([0, 1]))
    """
    root = Path(path)
    wanted = None if size is None else image_sides(size)
    if mode is not None:
        check_choice("mode", mode, MODES)
    if max_images is not None:
        check_positive("max_images", max_images, integer=True)
    require("PIL.Image", "images")
    found = listed(root, split)
    # Of all parts, so that places mean the same in each.
    names = sorted({name for _, name, _ in found})
    parts = sorted({part for _, _, part in found if part})
    if split is not None:
        if split not in parts:
            has = f"has {', '.join(map(repr, parts))}" if parts else "has no parts"
            raise DataError(f"split={split!r} is not there: {root} {has}.")
        found = [one for one in found if one[2] == split]
    kept = _drawn(found, max_images, random_state)
    images = read_files(root, [file for file, _, _ in kept], wanted, mode)
    return Bunch(
        images=images,
        target=np.array([names.index(name) for _, name, _ in kept], dtype=np.int64),
        target_names=names,
        filenames=[str(file.relative_to(root)) for file, _, _ in kept],
        split=np.array([part for _, _, part in kept]) if parts else None,
        n_found=len(found),
    )


def _drawn(found: list[Any], most: int | None, random_state: Any) -> list[Any]:
    """Return at most so many images, each class and part by its share, in their order."""
    if most is None or len(found) <= most:
        return found
    from sklearn.utils import check_random_state

    order = check_random_state(random_state).permutation(len(found))
    groups: dict[Any, list[int]] = {}
    for place in order.tolist():
        groups.setdefault(found[place][1:], []).append(place)
    take = _shares([len(group) for group in groups.values()], most)
    kept = [place for group, n in zip(groups.values(), take, strict=True) for place in group[:n]]
    return [found[place] for place in sorted(kept)]


def _shares(counts: list[int], most: int) -> list[int]:
    """Return how many of each are kept, `most` together unless two of each are more."""
    # A class needs one to train and one to test on.
    taken = [min(2, count) for count in counts]
    share = most / sum(counts)
    goals = [share * count for count in counts]
    # The next is of the class that is furthest from its share.
    lacking = [(taken[place] - goal, place) for place, goal in enumerate(goals)]
    heapq.heapify(lacking)
    for _ in range(most - sum(taken)):
        place = lacking[0][1]
        taken[place] += 1
        heapq.heapreplace(lacking, (taken[place] - goals[place], place))
    return taken


def read_files(
    root: Path, files: Sequence[Path], size: tuple[int, int] | None, mode: str | None
) -> np.ndarray:
    """Return the images of files below `root` as one array; see `load_image_folder`."""
    headers = []
    if size is None or mode is None:
        headers = in_threads(lambda place: _header(files[place], root), len(files))
    if mode is None:
        mode = "L" if all(header.is_grey for header in headers) else "RGB"
    sides = size or _common_size(root, files, [header.size for header in headers])
    images = np.empty((len(files), *sides, *((3,) if mode == "RGB" else ())), dtype=np.uint8)
    deep: list[int] = []

    def write(place: int) -> None:
        pixels = _pixels(files[place], root, size, mode, deep)
        # Not by all headers, see `_common_size`.
        if pixels.shape[:2] != sides:
            raise _differing(root, files[0], sides, files[place], pixels.shape[:2])
        images[place] = pixels

    in_threads(write, len(files))
    warn_of_dark_files(deep, len(files))
    return images


def _header(file: Path, root: Path) -> Header:
    try:
        return read_header(file)
    except Exception as error:
        raise _unreadable(file, root, error) from error


def _common_size(
    root: Path, files: Sequence[Path], sizes: Sequence[tuple[int, int]]
) -> tuple[int, int]:
    """Return the size of all images, which headers say before the first hours of decoding."""
    first = _pixels(files[0], root).shape[:2]
    for file, said in zip(files, sizes, strict=True):
        size = said
        if said == first[::-1] != first:
            # A PNG file may say behind its pixels how the camera was held.
            size = _pixels(file, root).shape[:2]
        if size != first:
            raise _differing(root, files[0], first, file, size)
    return first


def _differing(
    root: Path, first: Path, size: tuple[int, ...], other: Path, other_size: tuple[int, ...]
) -> DataError:
    return DataError(
        f"The images of {root} differ in size: {first.relative_to(root)} has {size[0]} x {size[1]} "
        f"pixels and {other.relative_to(root)} has {other_size[0]} x {other_size[1]}; say a "
        "size=(height, width) to resize them to."
    )


def _pixels(
    file: Path,
    root: Path,
    size: tuple[int, int] | None = None,
    mode: str | None = None,
    deep: list[int] | None = None,
) -> np.ndarray:
    """Return the pixels of a file: (h, w) if grey, else (h, w, 3)."""
    from PIL import Image

    # Pillow's readers raise many kinds of errors on damaged files.
    try:
        image = read_image(file, size, deep)
        if size is not None:
            image = image.resize(size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(image if mode is None else image.convert(mode))
    except Exception as error:
        raise _unreadable(file, root, error) from error


def _unreadable(file: Path, root: Path, error: Exception) -> DataError:
    return DataError(
        f"{file.relative_to(root)} cannot be read as an image ({reason_of(error)}); repair it or "
        "take it out of its folder."
    )
