"""The handwritten digits of MNIST, of the benchmark data."""

from __future__ import annotations

import numpy as np

from benchmarks._harness import Unavailable, shared_data

Digits = tuple[np.ndarray, np.ndarray]


def load_digits() -> tuple[Digits, Digits]:
    """Return training and test digits: bytes of shape (n, 28, 28), and labels.

    Raises
    ------
    Unavailable
        Where they are not at hand.
    """
    path = shared_data() / "images" / "mnist.npz"
    if not path.is_file():
        raise Unavailable(f"no {path.name} among the benchmark data")
    with np.load(path) as file:
        train = file["x_train"], file["y_train"].ravel()
        return train, (file["x_test"], file["y_test"].ravel())


def pixel_rows(images: np.ndarray, dtype: type = np.float32) -> np.ndarray:
    """Return images as rows of pixels in [0, 1]."""
    return images.reshape(len(images), -1).astype(dtype) / dtype(255)
