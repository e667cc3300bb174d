"""Products of a few rows with a large matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Below this many entries of the large matrix the products of a whole fit gain less from torch
# (4 ms each) than its import takes: one to two seconds.
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
