"""A torch device for the solvers: arrays there and back, and its manners."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_TORCH_DTYPES = {np.dtype(np.float32): torch.float32, np.dtype(np.float64): torch.float64}


def torch_dtype(dtype) -> torch.dtype:
    """Return torch's name of a numpy dtype."""
    return _TORCH_DTYPES[np.dtype(dtype)]


def widest(device: torch.device) -> torch.dtype:
    """Return the most precise dtype that the device computes in."""
    return torch.float32 if device.type == "mps" else torch.float64


def put(array: NDArray, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Return a numpy array as a tensor on the device."""
    # torch warns of memory that it could not write to; nothing here writes to it.
    array = np.require(array, requirements=["C", "W"])
    tensor = torch.from_numpy(array)
    # Rounded on this side: not every device takes float64 in.
    return (tensor if dtype is None else tensor.to(dtype)).to(device)


def index_on(index, device: torch.device):
    """Return an index into rows that tensors on the device take."""
    return index if isinstance(index, slice) else put(np.asarray(index), device)


def to_host(tensor: Tensor) -> NDArray:
    """Return a tensor as a float64 numpy array."""
    return tensor.cpu().numpy().astype(np.float64, copy=False)


@contextlib.contextmanager
def computing_on(device: torch.device, X) -> Iterator[None]:
    """Compute in full precision on the device, and say what to do when its memory is full.

    The user's settings that would round products to fewer bits (TF32, autocast) are off
    inside and as they were after; a solver would stall on them.

    Raises
    ------
    MemoryError
        If the device has too little memory.
    """
    matmul = torch.backends.cuda.matmul
    found = matmul.fp32_precision
    matmul.fp32_precision = "ieee"
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    except RuntimeError as error:
        if not (isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)):
            raise
        raise MemoryError(_full(device, X)) from error
    finally:
        matmul.fp32_precision = found


def _full(device: torch.device, X) -> str:
    entries = X.nnz if hasattr(X, "nnz") else X.size
    gigabytes = entries * X.dtype.itemsize / 1e9
    precise = X.dtype == np.float64
    less = "give X in float32, fewer rows or columns," if precise else "give fewer rows or columns,"
    return (
        f"device={str(device)!r} has too little free memory for X of shape {X.shape} "
        f"({gigabytes:.2g} GB in {X.dtype}): {less} or fit with device='cpu'."
    )
