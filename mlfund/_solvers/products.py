"""Products of a few rows with a large matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Below this many entries of the large matrix a product is numpy's, so that a first fit need not
# import torch, which takes 2.0 s of CPU time. Multinomial fits with torch loaded, of 3 and 10
# classes in float32 and float64, on one core, least CPU time of 6 to 40 interleaved runs: beside
# 50,000 and 500,000 here, fits of 100,000 to 4 million entries take 0 to 11 % longer, at most
# 9 ms, and those of 5 to 20 million as long. The import is worth it from 200 fits on.
# The size alone decides, so that results do not depend on whether torch happens to be loaded.
DETOUR_ENTRIES = 5_000_000
# From so many outputs and columns on X W' is faster than W X', its transposed copy included.
TALL_OUTPUTS = 8
TALL_COLUMNS = 100


def margins_product(W: NDArray, X: NDArray) -> NDArray:
    """Return W X' of shape (k, n), C-contiguous, for W (k, d) of a few rows and X (n, d).

    12 ms against 24 for (10, 784) times (784, 20,000) in float32, on one busy core; with
    three outputs, or 60 columns, W X' as it stands is the faster one.
    """
    if min(W.shape[0] / TALL_OUTPUTS, W.shape[1] / TALL_COLUMNS) < 1:
        return skinny_product(W, X.T)
    return np.ascontiguousarray(skinny_product(X, W.T).T)


def skinny_product(A: NDArray, B: NDArray) -> NDArray:
    """Return A @ B for A of a few rows or B of a few columns, without a copy of either.

    torch's product is up to twice as fast as numpy's on such shapes: 34 and 38 ms against
    73 and 68 for (10, 784) times (784, 60,000) and back, on one core. What torch does not
    take as it is (read-only arrays, negative strides) is multiplied by numpy.
    """
    if max(A.size, B.size) < DETOUR_ENTRIES or not (_shareable(A) and _shareable(B)):
        return A @ B
    # Importing torch takes a second, which small fits do without.
    import torch

    return (torch.from_numpy(A) @ torch.from_numpy(B)).numpy()


def _shareable(A: NDArray) -> bool:
    return A.flags.writeable and A.flags.aligned and min(A.strides) > 0 and A.dtype.isnative
