"""Images from folders, one folder a class, as one array."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from mlfund._check import DataError, check_choice, check_positive, require
from mlfund.preprocessing._image_files import image_sides, in_threads, read_image, reason_of

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
# Names of folders that hold the classes of a part, and what the part is called.
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
}
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

    The names of the folders are the classes, in sorted order. Where they are "train", "test"
    and "val" (or "training", "testing", "valid", "validation") and hold folders themselves, these
    are the classes, and `split` says which part an image belongs to. Images may lie deeper in the
    folder of their class. Files and folders whose name begins with a dot or an underscore, and
    files that are no images by their suffix, are skipped. Needs Pillow
    (``pip install 'mlfund[images]'``).

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
        Read one part alone: "train", "test" or "validation".
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
        differ in size and `size` is not given.
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
    found = _listed(root)
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


def _visible(folder: Path) -> Iterator[Path]:
    for one in sorted(folder.iterdir()):
        if not one.name.startswith((".", "_")):
            yield one


def _listed(root: Path) -> list[tuple[Path, str, str]]:
    """Return file, class and part of every image, in the order of their names."""
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "is not there"
        raise DataError(f"{root} {what}; give a folder that holds one folder of images a class.")
    images = {folder: list(images_in(folder)) for folder in _visible(root) if folder.is_dir()}
    images = {folder: files for folder, files in images.items() if files}
    if not images:
        loose = sum(1 for one in _visible(root) if one.suffix.lower() in SUFFIXES)
        hint = f": its {loose} images lie side by side" if loose else ""
        raise DataError(
            f"{root} has no folders with images{hint}; put the images of each class into a folder "
            "named after it."
        )
    as_parts = all(folder.name.lower() in SPLITS for folder in images)
    deep = (file.parent != folder for folder, files in images.items() for file in files)
    if as_parts and any(deep):
        return [one for folder, files in images.items() for one in _of_part(folder, files)]
    return [(file, folder.name, "") for folder, files in images.items() for file in files]


def _of_part(folder: Path, files: Sequence[Path]) -> list[tuple[Path, str, str]]:
    """Return the images of a part that lie in the folder of a class."""
    part = SPLITS[folder.name.lower()]
    found = [
        (file, file.relative_to(folder).parts[0], part) for file in files if file.parent != folder
    ]
    if not found:
        raise DataError(
            f"The images of {folder} lie side by side, and those of another part in folders of "
            "classes; put them into such folders too, or give the folder of the other part alone."
        )
    return found


def images_in(folder: Path) -> Iterator[Path]:
    """Yield the files of images in a folder and the folders in it, in the order of their names."""
    for one in _visible(folder):
        if one.is_dir():
            yield from images_in(one)
        elif one.suffix.lower() in SUFFIXES:
            yield one


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
    pixels = in_threads(lambda place: _pixels(files[place], root, size), len(files))
    _check_sizes(root, files, pixels)
    coloured = mode == "RGB" or (mode is None and any(one.ndim == 3 for one in pixels))
    return np.stack([_with_colours(one) if coloured else _grey(one) for one in pixels])


def _check_sizes(root: Path, files: Sequence[Path], pixels: Sequence[np.ndarray]) -> None:
    first = pixels[0].shape[:2]
    for file, one in zip(files, pixels, strict=True):
        if one.shape[:2] != first:
            raise DataError(
                f"The images of {root} differ in size: {files[0].relative_to(root)} has "
                f"{first[0]} x {first[1]} pixels and {file.relative_to(root)} has {one.shape[0]} x "
                f"{one.shape[1]}; say a size=(height, width) to resize them to."
            )


def _pixels(file: Path, root: Path, size: tuple[int, int] | None) -> np.ndarray:
    """Return the pixels of a file as it means them: (h, w) if grey, else (h, w, 3)."""
    from PIL import Image

    # Pillow's readers raise many kinds of errors on damaged files.
    try:
        image = read_image(file, size)
        if size is not None:
            image = image.resize(size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(image)
    except Exception as error:
        raise DataError(
            f"{file.relative_to(root)} cannot be read as an image ({reason_of(error)}); repair it "
            "or take it out of its folder."
        ) from error


def _with_colours(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)


def _grey(pixels: np.ndarray) -> np.ndarray:
    from PIL import Image

    return pixels if pixels.ndim == 2 else np.asarray(Image.fromarray(pixels).convert("L"))
