"""The C loop behind checks: shape, type and memory layout of every tensor."""

from __future__ import annotations

import ctypes
import functools
import importlib.machinery
from pathlib import Path

import torch
from torch import Tensor


@functools.cache
def _library() -> ctypes.CDLL | None:
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = Path(__file__).with_name("_depthwise" + suffix)
        if path.exists():
            return ctypes.CDLL(str(path))
    return None


def available() -> bool:
    """Return whether the loop was compiled, which takes a C compiler at installation."""
    return _library() is not None


def depthwise_relu6(
    out: Tensor,
    seen: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    stride: int,
    above: int,
    left: int,
    first_seen: int = 0,
    first_row: int = 0,
) -> None:
    """Write rows of a depthwise convolution and ReLU6 of images with channels last.

    The interpreter's lock is released meanwhile.

    Parameters
    ----------
    out : Tensor of shape (n, rows, out_width, channels)
    seen : Tensor of shape (n, n_seen, width, channels)
        The rows of the images from `first_seen` on that are needed. What lies outside of them
        and of the width counts as zeros.
    weight : Tensor of shape (kernel, kernel, channels)
    bias : Tensor of shape (channels,)
    stride, above, left : int
        Zeros above and left of the image.
    first_seen, first_row : int
        Which row of the image comes first in `seen`, and which of the result in `out`.

    Raises
    ------
    ValueError
        Unless all are contiguous float32 tensors on the CPU of such shapes.
    """
    n, n_seen, width, channels = seen.shape
    n_rows, out_width = out.shape[1:3]
    kernel = len(weight)
    shapes = {
        "seen": (seen, (n, n_seen, width, channels)),
        "weight": (weight, (kernel, kernel, channels)),
        "bias": (bias, (channels,)),
        "out": (out, (n, n_rows, out_width, channels)),
    }
    for name, (tensor, shape) in shapes.items():
        if (
            tensor.shape != shape
            or tensor.dtype != torch.float32
            or tensor.device.type != "cpu"
            or not tensor.is_contiguous()
        ):
            raise ValueError(
                f"the depthwise loop needs {name} as a contiguous float32 tensor of shape "
                f"{shape} on the CPU; got {tensor.dtype}, {tuple(tensor.shape)}."
            )
    library = _library()
    assert library is not None
    pointers = (ctypes.c_void_p(t.data_ptr()) for t in (seen, weight, bias, out))
    sizes = (
        n, first_seen, n_seen, width, channels, first_row, n_rows, out_width, kernel, stride,
        above, left,
    )  # fmt: skip
    library.depthwise(*pointers, *map(ctypes.c_int64, sizes))
