"""Blocks of rows of an array that stays on the host, brought to the device as they are needed."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import torch
from torch import Tensor

# What the rest of a training may need of a device: X stays on the host if it would leave less.
SHARE_FOR_ROWS = 0.6


def stays_on_host(X: np.ndarray, device: torch.device) -> bool:
    """Say whether X is a memory-mapped file, or too large for the memory of the device."""
    if is_memory_mapped(X):
        return True
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return X.nbytes > SHARE_FOR_ROWS * free


def is_memory_mapped(array: Any) -> bool:
    """Say whether the memory of an array, or of what it is a view of, is a mapped file."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    if isinstance(array, memoryview):
        array = array.obj
    return isinstance(array, mmap.mmap)


class HostBlocks:
    """Gathers rows of a host array into blocks on the device.

    On a CUDA device two blocks take turns: rows are gathered into pinned memory and
    copied on a stream of their own while the steps on the block before still run. No
    call waits for the device but for the copy before the last.

    Parameters
    ----------
    X : ndarray of shape (n, ...)
        All rows.
    n_rows : int
        Most rows of a block.
    device : torch.device
        Where the blocks are wanted.
    """

    def __init__(self, X: np.ndarray, n_rows: int, device: torch.device) -> None:
        self.X = X
        self.device = device
        self._is_cuda = device.type == "cuda"
        dtype = torch.from_numpy(np.empty(0, X.dtype)).dtype
        shape = (n_rows, *X.shape[1:])
        turns = 2 if self._is_cuda else 1
        self._staged = [
            torch.empty(shape, dtype=dtype, pin_memory=self._is_cuda) for _ in range(turns)
        ]
        self._turn = 0
        if self._is_cuda:
            self._blocks = [torch.empty(shape, dtype=dtype, device=device) for _ in range(turns)]
            self._stream = torch.cuda.Stream(device)
            self._copied = [torch.cuda.Event() for _ in range(turns)]
            self._used = [torch.cuda.Event() for _ in range(turns)]

    def take(self, rows: np.ndarray | slice) -> Tensor:
        """Return the rows of an index array or a slice; the block after next overwrites them."""
        if not self._is_cuda:
            return self._gather(rows, self._staged[0])
        here = torch.cuda.current_stream(self.device)
        # All work on the block that was handed out last has been queued by now.
        self._used[self._turn].record(here)
        self._turn = 1 - self._turn
        copied, block = self._copied[self._turn], self._blocks[self._turn]
        copied.synchronize()
        staged = self._gather(rows, self._staged[self._turn])
        self._stream.wait_event(self._used[self._turn])
        with torch.cuda.stream(self._stream):
            wanted = block[: len(staged)].copy_(staged, non_blocking=True)
            copied.record(self._stream)
        here.wait_event(copied)
        return wanted

    def _gather(self, rows: np.ndarray | slice, out: Tensor) -> Tensor:
        if isinstance(rows, slice):
            part = self.X[rows]
            wanted = out[: len(part)]
            np.copyto(wanted.numpy(), part)
            return wanted
        wanted = out[: len(rows)]
        # "clip" lets numpy write into `out` itself; the rows are valid as they are.
        np.take(self.X, rows, axis=0, out=wanted.numpy(), mode="clip")
        return wanted
