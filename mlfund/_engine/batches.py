"""Mini-batches as slices of a permutation, in place of a per-sample data loader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mlfund._engine.data import Batch, DeviceRows
from mlfund._engine.stream import HostBlocks

# Rows are gathered into one reused block and batches are slices of it. A block of this
# size spreads the cost of the gather over several narrow batches, and a wide one is
# still in the cache when the first product reads it. 784-128-10, batch 256, best of 5:
# 0.33 s with blocks of 2 to 32 MB, 0.50 s batch by batch, 0.45 s the whole epoch at
# once (2-core Xeon, one thread, torch 2.13).
BLOCK_BYTES = 4 << 20
# Two blocks of this size are pinned while rows stream to a GPU.
STREAMED_BYTES = 64 << 20


class Plan(NamedTuple):
    """One epoch: the order of its rows, and bounds and weights of its batches.

    Attributes
    ----------
    order : ndarray of shape (n,) or None
        Row numbers; None for the rows' own order.
    bounds : list of int
        Where in that order each batch begins, and n.
    totals : list of float
        Sum of the weights of each batch.
    """

    order: np.ndarray | None
    bounds: list[int]
    totals: list[float]


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
    steps_of : int, default=1
        Batches whose gradients make one step; the last of them has `closes` set.
    smallest : int, default=1
        A last batch of fewer rows is joined to the one before it: batch statistics
        need two rows.
    numbered : bool, default=False
        Whether batches say which rows they hold.

    Attributes
    ----------
    epoch : int
        Epochs that ended before, which the batches are told; whoever iterates sets it.

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
        steps_of: int = 1,
        smallest: int = 1,
        numbered: bool = False,
    ) -> None:
        self.rows = rows
        self.batch_size = int(batch_size)
        self.draw_order = draw_order
        self.steps_of = int(steps_of)
        self.smallest = int(smallest)
        self.numbered = numbered
        self.epoch = 0
        self._block: Tensor | None = None
        self._host_blocks: HostBlocks | None = None

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return n_batches(len(self.rows), self.batch_size, self.smallest)

    def epochs_in(self, n_steps: int) -> int:
        """Return how many whole epochs so many optimizer steps are."""
        return n_steps // -(-len(self) // self.steps_of)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        plan = self.plan()
        count, per_block = len(plan.totals), self._batches_per_block()
        for first in range(0, count, per_block):
            last = min(first + per_block, count)
            offset = plan.bounds[first]
            X, y, weight, number = self._gather(plan.order, offset, plan.bounds[last])
            for i in range(first, last):
                part = slice(plan.bounds[i] - offset, plan.bounds[i + 1] - offset)
                w = None if weight is None else weight[part]
                numbers = None if number is None else number[part]
                batch = Batch.of(X[part], y[part], w, plan.totals[i], numbers, self.epoch)
                if self.steps_of > 1:
                    self._place_in_step(batch, i, plan)
                yield batch

    def plan(self) -> Plan:
        """Draw the order of an epoch and say where its batches begin and what they weigh."""
        n, count = len(self.rows), len(self)
        order = None if self.draw_order is None else self.draw_order()
        if count == 1:
            # One batch of all rows: their order changes nothing but rounding.
            order = None
        starts = np.arange(count) * self.batch_size
        return Plan(order, [*starts.tolist(), n], self.rows.weight_totals(order, starts))

    def take(self, plan: Plan, number: int) -> Batch:
        """Return one batch of an epoch by itself."""
        start, stop = plan.bounds[number : number + 2]
        X, y, weight, numbers = self._gather(plan.order, start, stop)
        return Batch.of(X, y, weight, plan.totals[number], numbers, self.epoch)

    def _place_in_step(self, batch: Batch, number: int, plan: Plan) -> None:
        first = number - number % self.steps_of
        last = min(first + self.steps_of, len(plan.totals))
        batch.closes = number == last - 1
        batch.step_rows = plan.bounds[last] - plan.bounds[first]
        batch.step_total = sum(plan.totals[first:last]) or float(batch.step_rows)

    def _batches_per_block(self) -> int:
        block = STREAMED_BYTES if self._streams and self.rows.device.type == "cuda" else BLOCK_BYTES
        return max(1, block // max(1, self.rows.row_bytes * self.batch_size))

    def _gather(
        self, order: np.ndarray | None, start: int, stop: int
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Return features, targets, weights and numbers of consecutive rows of an order."""
        rows = self.rows
        if order is None:
            part = slice(start, stop)
            X = self._stream().take(part) if self._streams else rows.features(part)
            number = torch.arange(start, stop, device=rows.device) if self.numbered else None
            return X, rows.y[part], rows.weight_of(part), number
        chosen = order[start:stop]
        index = torch.from_numpy(chosen).to(rows.device)
        if self._streams:
            X = self._stream().take(chosen)
        else:
            X = rows.features(chosen) if rows.is_sparse else self._select(index)
        return X, rows.y[index], rows.weight_of(index), index if self.numbered else None

    @property
    def _streams(self) -> bool:
        return self.rows.on_host and not self.rows.is_sparse

    def _stream(self) -> HostBlocks:
        if self._host_blocks is None:
            self._host_blocks = HostBlocks(self.rows.X, self._block_rows(), self.rows.device)
        return self._host_blocks

    def _select(self, index: Tensor) -> Tensor:
        X = self.rows.X
        if self._block is None:
            self._block = X.new_empty((self._block_rows(), *X.shape[1:]))
        return torch.index_select(X, 0, index, out=self._block[: len(index)])

    def _block_rows(self) -> int:
        """Most rows of a block, the joined ones of the last batch included."""
        size = self._batches_per_block() * self.batch_size + self.smallest
        return min(size, len(self.rows))


def n_batches(n: int, batch_size: int, smallest: int = 1) -> int:
    """Return the number of batches of `n` rows when one of fewer than `smallest` is joined."""
    full, rest = divmod(n, batch_size)
    return full + (rest > 0 and (full == 0 or rest >= smallest))


def steps_per_epoch(n: int, batch_size: int, accumulation_steps: int = 1, smallest: int = 1) -> int:
    """Return the number of optimizer steps of an epoch over `n` rows."""
    return -(-n_batches(n, batch_size, smallest) // accumulation_steps)


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
