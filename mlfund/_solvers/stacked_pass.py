"""The gradients of a stack of models by one compiled pass over dense rows.

The loops (`_stacked_pass.c`) centre and scale a block of rows in the core's own cache and
use it there for all models, so that X is read once and never copied. Parts of the rows go
to as many threads as BLAS may use; how they are parted depends on the data alone, so that
the number of threads changes no digit.
"""

from __future__ import annotations

import ctypes
import dataclasses
import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers import kernels
from mlfund._solvers.dense_pass import TYPES
from mlfund._solvers.stacked_rows import FoldedDesign, Segment

# Vectors of models beside each other that the loops are made for.
MOST_VECTORS = 5
# Operations of one call, but at most so many calls for one segment of rows.
PART_FLOP, MOST_PARTS = 1e8, 8
# Operations of a pass from which on threads save more than they cost.
THREADS_FLOP = 1e8
# With so many times the vectors that the outputs need, they are crowded together.
CROWDED = 1.25
# Bytes, and number, of the rows of a block.
BLOCK_BYTES, BLOCK_ROWS = 3 << 17, 240


@dataclasses.dataclass(frozen=True)
class Layout:
    """How m models of k outputs and p columns lie in the vectors.

    Attributes
    ----------
    register : int
        Bytes of a vector.
    lanes, apart, vectors, panels, stride, block : int
        Values of a vector; vectors of an output, or 0 where the outputs of a model stand side
        by side; vectors side by side and how often; columns and rows of a block, as whole
        tiles.
    """

    m: int
    k: int
    p: int
    register: int
    lanes: int
    apart: int
    vectors: int
    panels: int
    stride: int
    block: int

    @staticmethod
    def of(m: int, k: int, p: int, itemsize: int) -> Layout:
        """Return the layout that leaves the fewest values empty."""
        register = kernels.register_bytes()
        while register > 16 and m * k * itemsize <= register // 2:
            register //= 2
        lanes = register // itemsize
        apart = -(-m // lanes)
        needed = -(-m * k // lanes)
        if k > 1 and k * apart > CROWDED * needed:
            apart, filled = 0, needed
        else:
            filled = k * apart
        side = range(min(filled, 3), MOST_VECTORS + 1)
        vectors = min(side, key=lambda v: (-(-filled // v) * v, -v))
        tile = int(kernels.call("stacked_tile", ctypes.c_int64, register, vectors))
        stride = -(-p // tile) * tile
        block = max(min(BLOCK_BYTES // (stride * itemsize), BLOCK_ROWS) // tile, 1) * tile
        panels = -(-filled // vectors)
        return Layout(m, k, p, register, lanes, apart, vectors, panels, stride, block)

    def packed(self, W: NDArray) -> NDArray:
        """Return weights (m, k, p) as (panels, p, values side by side)."""
        wide = np.zeros((self.panels * self.vectors * self.lanes, self.p), W.dtype)
        if self.apart:
            of_output = wide[: self.k * self.apart * self.lanes].reshape(self.k, -1, self.p)
            of_output[:, : self.m] = W.transpose(1, 0, 2)
        else:
            wide[: self.m * self.k] = W.reshape(-1, self.p)
        wide = wide.reshape(self.panels, -1, self.p)
        return np.ascontiguousarray(wide.transpose(0, 2, 1))

    def unpacked(self, G: NDArray) -> NDArray:
        """Return gradients (panels, stride, values side by side) as (m, k, p)."""
        wide = G.transpose(0, 2, 1).reshape(-1, self.stride)
        if not self.apart:
            return wide[: self.m * self.k, : self.p].reshape(self.m, self.k, self.p)
        wide = wide[: self.k * self.apart * self.lanes]
        return wide.reshape(self.k, -1, self.stride)[:, : self.m, : self.p].transpose(1, 0, 2)


class CompiledPass:
    """Gradients of the sum of the losses by the weights upon A.

    Parameters
    ----------
    design : FoldedDesign
    code : ndarray of int of shape (n,)
    n_classes : int
    weights : ndarray of shape (n,) or None
    dtype : numpy dtype
        In which A is multiplied.
    threads : int
    """

    def __init__(self, design: FoldedDesign, code, n_classes, weights, dtype, threads: int):
        self.design, self.dtype, self.threads = design, np.dtype(dtype), threads
        self.k = 1 if n_classes == 2 else n_classes
        self._sign = self._code = None
        if n_classes == 2:
            self._sign = (2 * code - 1).astype(dtype)
        else:
            self._code = np.ascontiguousarray(code, dtype=np.int64)
        self._weights = None if weights is None else weights.astype(dtype)

    def gradients(self, W: NDArray, fold: NDArray) -> NDArray:
        """Return the gradients of models with weights W (m, k, p) in some folds."""
        W, G, tasks = W.astype(self.dtype), np.zeros(W.shape), []
        for segment in self.design.segments:
            place, at_work = segment.models(fold)
            if not len(at_work):
                continue
            if segment.constant:
                times = np.ones(len(place)) if segment.times is None else segment.times[place, 0]
                tasks += self._tasks(segment, W[at_work], self._weights, at_work, times)
                continue
            for f in np.unique(place).tolist():
                models = at_work[place == f]
                weights = self._row_weights(segment, segment.times[f])
                tasks += self._tasks(segment, W[models], weights, models, np.ones(len(models)))
        for task, found in self._found(tasks):
            G[task.models] += found * task.times[:, None, None]
        return G

    def _found(self, tasks: list[_Task]):
        """Yield the tasks, in order, with what was found; on several threads."""
        flop = sum(4.0 * (task.rows[1] - task.rows[0]) * task.W.size for task in tasks)
        if self.threads == 1 or flop < THREADS_FLOP:
            yield from ((task, self._run(task)) for task in tasks)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            yield from zip(tasks, pool.map(self._run, tasks), strict=True)

    def _row_weights(self, segment: Segment, times: NDArray) -> NDArray:
        weights = np.zeros(len(self.design.X), self.dtype)
        rows = self.design.order[segment.rows]
        weights[rows] = times if self._weights is None else times * self._weights[rows]
        return weights

    def _tasks(self, segment: Segment, W: NDArray, weights, models: NDArray, times):
        """Yield the parts of a segment for models with weights W (m, k, p)."""
        start, stop = segment.rows.start, segment.rows.stop
        layout = Layout.of(*W.shape, self.dtype.itemsize)
        packed = layout.packed(W)
        flop = 4.0 * (stop - start) * W.size
        count = int(np.clip(np.ceil(flop / PART_FLOP), 1, min(MOST_PARTS, stop - start)))
        edges = np.linspace(start, stop, count + 1).astype(int).tolist()
        for rows in itertools.pairwise(edges):
            yield _Task(rows, layout, packed, weights, models, times)

    def _run(self, task: _Task) -> NDArray:
        design, layout, real = self.design, task.layout, self.dtype
        (n, d), values = design.X.shape, layout.vectors * layout.lanes
        G = np.zeros((layout.panels, layout.stride, values))
        work = np.empty((layout.block + 1) * (layout.stride + layout.panels * values), real)
        address = kernels.address
        kernels.call(
            f"stacked_pass_{TYPES[real]}_{layout.register}",
            None,
            *task.rows,
            address(design.order, design.order.shape, np.int64),
            d,
            layout.p - d,
            layout.stride,
            address(design.X, (n, d), design.X.dtype),
            design.X.itemsize,
            address(design.shift, (d,)),
            address(design.inverse, (d,)),
            layout.k,
            layout.m,
            layout.apart,
            layout.panels,
            layout.vectors,
            address(task.W, (layout.panels, layout.p, values), real),
            None if self._sign is None else address(self._sign, (n,), real),
            None if self._code is None else address(self._code, (n,), np.int64),
            None if task.weights is None else address(task.weights, (n,), real),
            address(G, G.shape),
            layout.block,
            address(work, work.shape, real),
        )
        return layout.unpacked(G)


@dataclasses.dataclass(frozen=True)
class _Task:
    """Some rows for some models, whose weights are packed; how often each takes them."""

    rows: tuple[int, int]
    layout: Layout
    W: NDArray
    weights: NDArray | None
    models: NDArray
    times: NDArray
