"""Which images below a folder belong to which class and which part."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mlfund._check import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
# Names of folders that hold the classes of a part, and what the part is called.
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval", "evaluation"), "validation"),
    **dict.fromkeys(("test", "testing", "holdout"), "test"),
}
# Folders that a message names.
SHOWN = 5


def listed(root: Path, split: str | None = None) -> list[tuple[Path, str, str]]:
    """Return file, class and part of every image, in the order of their names.

    Parameters
    ----------
    root : Path
    split : str, optional
        The part that is asked for: beside it, folders that are no parts and parts without folders
        of classes are left out instead of refused.

    Raises
    ------
    DataError
        If the folder has no layout that says which images belong together.
    """
    images = _image_folders(root)
    parts = _parts(root, images, split)
    if not parts:
        return [(file, folder.name, "") for folder, files in images.items() for file in files]
    found = []
    for folder, part in parts.items():
        inner = _unwrapped(folder, images[folder])
        deep = [file for file in images[folder] if file.parent != inner]
        if not deep and split in (None, part):
            raise DataError(
                f"The images of {folder} lie side by side, and those of another part in folders of "
                "classes; put them into such folders too, or give the folder of the other part "
                "alone."
            )
        found += [(file, file.relative_to(inner).parts[0], part) for file in deep]
    return found


def part_names(root: Path) -> list[str]:
    """Return which parts a folder has, those without folders of classes included; often none."""
    return sorted(set(_parts(root, _image_folders(root)).values()))


def images_in(folder: Path) -> Iterator[Path]:
    """Yield the files of images in a folder and the folders in it, in the order of their names."""
    for one in _visible(folder):
        if one.is_dir():
            yield from images_in(one)
        elif one.suffix.lower() in SUFFIXES:
            yield one


def _visible(folder: Path) -> Iterator[Path]:
    for one in sorted(folder.iterdir()):
        if not one.name.startswith((".", "_")):
            yield one


def _image_folders(root: Path) -> dict[Path, list[Path]]:
    """Return the folders in a folder that hold images, and these."""
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
    files = [file for found in images.values() for file in found]
    inner = _unwrapped(root, files)
    if inner != root and any(file.parent != inner for file in files):
        return _image_folders(inner)
    return images


def _unwrapped(folder: Path, files: Sequence[Path]) -> Path:
    """Return the folder of the same name in a folder where that has all: archives unpack so."""
    inner = folder / folder.name
    while inner != folder and all(inner in file.parents for file in files):
        folder, inner = inner, inner / inner.name
    return folder


def _parts(
    root: Path, images: Mapping[Path, Sequence[Path]], split: str | None = None
) -> dict[Path, str]:
    """Return the part that each folder is, nothing where the folders are classes."""
    by_name = _parts_by_name(folder.name for folder in images)
    parts = {folder: by_name[folder.name] for folder in images if folder.name in by_name}
    others = [folder.name for folder in images if folder not in parts]
    names = [folder.name for folder in parts]
    deep = any(file.parent != folder for folder in parts for file in images[folder])
    if deep and others and split is None:
        trained = [folder for folder, part in parts.items() if part == "train"]
        raise DataError(
            f"{root} looks as if it had parts, {_quoted(names)} with folders of classes in them, "
            f"but has {_quoted(others)} beside them; call parts by one of {_quoted(list(SPLITS))}, "
            "move other folders away, or give one part alone, such as "
            f"{(trained or list(parts))[0]}."
        )
    if len(parts) > 1 and not deep and not others:
        raise DataError(
            f"The images of {_quoted(names)} in {root} lie side by side; put the images of each "
            "class into a folder named after it, in each part."
        )
    return parts if deep else {}


def _parts_by_name(names: Iterable[str]) -> dict[str, str]:
    """Return which names are those of parts: "train", or "seg_train" where "seg_test" is too."""
    alike: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for name in names:
        words = re.findall(r"[^\W\d_]+|\d+", name.lower())
        said = [word for word in words if word in SPLITS]
        if len(said) == 1:
            alike[tuple(word for word in words if word not in SPLITS)][name] = SPLITS[said[0]]
    return {
        name: part
        for others, found in alike.items()
        # A steam train alone is one.
        if not others or len(set(found.values())) > 1
        for name, part in found.items()
    }


def _quoted(names: Sequence[str]) -> str:
    more = [f"{len(names) - SHOWN} others"] if len(names) > 2 * SHOWN + 2 else []
    shown = names[:SHOWN] if more else names
    return ", ".join([*map(repr, shown), *more])
