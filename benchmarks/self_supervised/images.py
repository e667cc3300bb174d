"""The images of the benchmark, as arrays."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from benchmarks._harness import Unavailable, installed, shared_data

DATA = ("mnist", "cifar10")


@dataclass(frozen=True)
class Images:
    """Training and test images, bytes, with labels."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def load(name: str, n_images: int | None = None) -> Images:
    """Return a data set; with `n_images` so many to train on, drawn at random, a tenth to test.

    Raises
    ------
    Unavailable
        Where its file, or what reads it, is missing.
    """
    images = _mnist() if name == "mnist" else _cifar10()
    if n_images is None:
        return images
    # Files may be sorted by class.
    rng = np.random.default_rng(0)
    train = rng.permutation(len(images.X))[:n_images]
    test = rng.permutation(len(images.X_test))[: max(100, n_images // 10)]
    return Images(images.X[train], images.y[train], images.X_test[test], images.y_test[test])


def _file(name: str) -> np.lib.npyio.NpzFile:
    path = shared_data() / "images" / name
    if not path.is_file():
        raise Unavailable(f"no {name} among the benchmark data")
    return np.load(path)


def _mnist() -> Images:
    with _file("mnist.npz") as file:
        train, test = file["x_train"], file["x_test"]
        return Images(train, file["y_train"].ravel(), test, file["y_test"].ravel())


def _cifar10() -> Images:
    if not installed("PIL"):
        raise Unavailable("the photographs are JPEG files, which pillow reads")
    with _file("cifar10_jpegbytes.npz") as file:
        parts = [_decoded(file[part], file[f"{part}_off"]) for part in ("train", "test")]
        return Images(parts[0], file["y_train"].ravel(), parts[1], file["y_test"].ravel())


def _decoded(data: np.ndarray, starts: np.ndarray) -> np.ndarray:
    from PIL import Image

    encoded = [data[a:b].tobytes() for a, b in pairwise(starts)]
    return np.stack([np.asarray(Image.open(io.BytesIO(image))) for image in encoded])
