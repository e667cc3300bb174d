"""Mini-batches as slices of a permutation, in place of a per-sample data loader."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from mlfund._engine.data import Batch, DeviceRows

# Rows are gathered into one reused block and batches are slices of it. A block of this
# size spreads the cost of the gather over several narrow batches, and a wide one is
# still in the cache when the first product reads it. 784-128-10, batch 256, best of 5:
# 0.33 s with blocks of 2 to 32 MB, 0.50 s batch by batch, 0.45 s the whole epoch at
# once (2-core Xeon, one thread, torch 2.13).
BLOCK_BYTES = 4 << 20


class Batches:
    """Iterate over a `DeviceRows` in mini-batches; one pass is one epoch.

    Parameters
    ----------
    rows : DeviceRows
        The data.
    batch_size : int
        Rows of a batch; the last one may be smaller.
    draw_order : callable, optional
        Called at the start of each epoch; returns the permutation of the rows as an
        int64 array. Without it the rows come in their own order.

    Notes
    -----
    X of a batch is a view of a block that the next block overwrites: a callback that
    wants to keep a batch must copy it.
    """

    def __init__(
        self,
        rows: DeviceRows,
        batch_size: int,
        draw_order: Callable[[], np.ndarray] | None = None,
    ) -> None:
        self.rows = rows
        self.batch_size = int(batch_size)
        self.draw_order = draw_order
        self._block: Tensor | None = None

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        rows, n = self.rows, len(self.rows)
        order = None if self.draw_order is None else self.draw_order()
        if n <= self.batch_size:
            # One batch of all rows: their order changes nothing but rounding.
            order = None
        totals = rows.weight_totals(order, np.arange(0, n, self.batch_size))
        block = self._rows_per_block()
        for start in range(0, n, block):
            stop = min(start + block, n)
            X, y, weight = self._gather(order, start, stop)
            for first in range(0, stop - start, self.batch_size):
                part = slice(first, min(first + self.batch_size, stop - start))
                total = totals[(start + first) // self.batch_size]
                w = None if weight is None else weight[part]
                yield Batch.of(X[part], y[part], w, total)

    def _rows_per_block(self) -> int:
        row_bytes = self.rows.n_features * (8 if self.rows.is_sparse else self.rows.X.itemsize)
        batches = max(1, BLOCK_BYTES // max(1, row_bytes * self.batch_size))
        return batches * self.batch_size

    def _gather(
        self, order: np.ndarray | None, start: int, stop: int
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        rows = self.rows
        if order is None:
            part = slice(start, stop)
            return rows.features(part), rows.y[part], rows.weight_of(part)
        chosen = order[start:stop]
        index = torch.from_numpy(chosen).to(rows.device)
        X = rows.features(chosen) if rows.is_sparse else self._select(index)
        return X, rows.y[index], rows.weight_of(index)

    def _select(self, index: Tensor) -> Tensor:
        if self._block is None:
            size = min(self._rows_per_block(), len(self.rows))
            self._block = self.rows.X.new_empty((size, self.rows.n_features))
        return torch.index_select(self.rows.X, 0, index, out=self._block[: len(index)])


class ShuffledOrder:
    """The permutations that scikit-learn's MLPs draw: each epoch shuffles the last one.

    Parameters
    ----------
    n : int
        Number of rows.
    random_state : numpy.random.RandomState
        Advanced by one shuffle of n integers an epoch, exactly as
        `sklearn.utils.shuffle` does.
    """

    def __init__(self, n: int, random_state: np.random.RandomState) -> None:
        self.index = np.arange(n)
        self.random_state = random_state

    def __call__(self) -> np.ndarray:
        """Return the order of the next epoch."""
        step = np.arange(len(self.index))
        self.random_state.shuffle(step)
        self.index = self.index[step]
        return self.index
