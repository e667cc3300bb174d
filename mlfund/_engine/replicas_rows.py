"""The batches of several streams of rows side by side."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mlfund._engine.batches import BLOCK_BYTES, n_batches
from mlfund._engine.data import DeviceRows
from mlfund._engine.replicas_spec import Stream


class StackedBatch(NamedTuple):
    """One batch of every stream.

    Attributes
    ----------
    X : Tensor of shape (streams, rows, d)
        A view of a block that the next block overwrites.
    y : Tensor of shape (streams, rows) or (streams, rows, k)
        Encoded targets.
    weight : Tensor of shape (streams, rows) or None
        Row weights.
    totals : Tensor of shape (streams,) or float
        Sums of the weights; one number where nothing is weighted.
    """

    X: Tensor
    y: Tensor
    weight: Tensor | None
    totals: Tensor | float


class StreamRows:
    """Iterate over streams of equally many rows in step.

    Parameters
    ----------
    data : DeviceRows
        All rows.
    streams : sequence of Stream
        Which of them, in which order.
    batch_size : int
        Rows of a batch; the last one may be smaller.
    """

    def __init__(self, data: DeviceRows, streams: Sequence[Stream], batch_size: int) -> None:
        self.data = data
        self.n_rows = len(streams[0].rows)
        self.batch_size = min(batch_size, self.n_rows)
        self.n_batches = n_batches(self.n_rows, self.batch_size)
        # Other programs may see the same streams from their beginning.
        self._orders = {id(stream): copy.deepcopy(stream.order) for stream in streams}
        self.weighted = any(stream.weight is not None for stream in streams)
        self.keep(streams)

    def keep(self, streams: Sequence[Stream]) -> None:
        """Go on with these streams alone."""
        self.streams = list(streams)
        at_once = len(self.streams) * self.batch_size * max(1, self.data.row_bytes)
        per_block = min(max(1, BLOCK_BYTES // at_once), self.n_batches)
        self._rows_at_once = per_block * self.batch_size
        self._block: Tensor | None = None

    def __iter__(self) -> Iterator[StackedBatch]:
        """Yield the batches of one epoch."""
        drawn = [self._draw(stream) for stream in self.streams]
        device = self.data.device
        y = torch.stack([self.data.y[torch.from_numpy(index).to(device)] for index, _ in drawn])
        weight = self._weights([weight for _, weight in drawn])
        for start in range(0, self.n_rows, self._rows_at_once):
            stop = min(start + self._rows_at_once, self.n_rows)
            X = self._gather([index[start:stop] for index, _ in drawn])
            for begin in range(start, stop, self.batch_size):
                end = min(begin + self.batch_size, stop)
                part = slice(begin, end)
                w = None if weight is None else weight[:, part]
                totals = float(end - begin) if w is None else _totals(w)
                yield StackedBatch(X[:, begin - start : end - start], y[:, part], w, totals)

    def _draw(self, stream: Stream) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the rows of an epoch in their order, and their weights."""
        draw_order = self._orders[id(stream)]
        if draw_order is None or self.n_batches == 1:
            # One batch of all rows: their order changes nothing but rounding.
            return stream.rows, stream.weight
        order = draw_order()
        weight = None if stream.weight is None else stream.weight[order]
        return stream.rows[order], weight

    def _weights(self, drawn: list[np.ndarray | None]) -> Tensor | None:
        if not self.weighted:
            return None
        ones = np.ones(self.n_rows)
        stacked = np.stack([ones if weight is None else weight for weight in drawn])
        dtype = torch.float32 if self.data.X.dtype in (torch.float32, np.float32) else torch.float64
        return torch.from_numpy(stacked).to(self.data.device, dtype)

    def _gather(self, indices: list[np.ndarray]) -> Tensor:
        """Return X of some rows of every stream, each scaled as its stream says."""
        rows = len(indices[0])
        if self._block is None:
            first = gathered(self.data, self.streams[0], indices[0][:1])
            shape = (len(self.streams), self._rows_at_once, first.shape[1])
            self._block = first.new_empty(shape)
        for index, stream, out in zip(indices, self.streams, self._block, strict=True):
            gathered(self.data, stream, index, out[:rows])
        return self._block[:, :rows]


def gathered(
    data: DeviceRows, stream: Stream, index: np.ndarray, out: Tensor | None = None
) -> Tensor:
    """Return X of some rows, new memory or `out`, scaled as the stream says."""
    if data.on_host:
        X = data.features(index)
        X = X if out is None else out.copy_(X)
    else:
        X = torch.index_select(data.X, 0, torch.from_numpy(index).to(data.device), out=out)
    if stream.affine is not None:
        centre, scale = (torch.from_numpy(one).to(X) for one in stream.affine)
        X.sub_(centre).div_(scale)
    return X


def _totals(weight: Tensor) -> Tensor:
    """Return the sum of weights of each stream, the number of rows where all are zero."""
    totals = weight.sum(1, dtype=torch.float64)
    return torch.where(totals == 0, float(weight.shape[1]), totals).to(weight.dtype)
