"""Photographs of flowers, 128 pixels a side, as JPEG files in memory."""

from __future__ import annotations

import numpy as np

from benchmarks._harness import Unavailable, shared_data


def flowers(n: int) -> list[bytes]:
    """Return the first n files of the training set."""
    path = shared_data() / "images" / "flowers5_128_jpegbytes.npz"
    if not path.is_file():
        raise Unavailable(f"no flowers: {path.name} is not among the benchmark data")
    with np.load(path) as stored:
        content, offsets = stored["train"].tobytes(), stored["train_off"]
    return [content[offsets[k] : offsets[k + 1]] for k in range(n)]
