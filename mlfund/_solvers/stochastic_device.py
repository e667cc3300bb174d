"""The rows of stochastic gradient descent on a torch device."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from mlfund._solvers.stochastic_rows import BLOCK_BYTES, PIECE_ROWS, Block, Coordinates, Part, Rows

# Launching a gather costs more there, and there is room.
BLOCK_FACTOR = 64


class DeviceRows(Rows):
    """As `Rows`, with dense X, targets and weights on the device.

    CSR rows stay on the host and are made dense block by block.

    Parameters
    ----------
    X, y, weight, coordinates
        As for `Rows`.
    device : torch.device
    """

    def __init__(
        self, X: Any, y: np.ndarray, weight: Any, coordinates: Coordinates, device: torch.device
    ) -> None:
        super().__init__(X, y, weight, coordinates)
        self.device = device
        self._y = self._put(y)
        self._weight = None if weight is None else self._put(weight)
        self._shift = self._put(self._centre)
        self._inverse = self._put(coordinates.inverse_scale.astype(self.dtype))
        self._X = X if sp.issparse(X) else self._put(X)

    def blocks(self, order: np.ndarray | None, batch_size: int) -> Any:
        """Yield the rows in `order` (their own when None) as blocks of batches."""
        row_bytes = self.d * self.dtype.itemsize
        batches = max(1, BLOCK_FACTOR * BLOCK_BYTES // max(1, row_bytes * batch_size))
        for start in range(0, self.n, batches * batch_size):
            stop = min(start + batches * batch_size, self.n)
            index: Any = slice(start, stop)
            chosen: Any = index
            if order is not None:
                index = order[start:stop]
                chosen = torch.from_numpy(index).to(self.device)
            X = self._put(self.X[index].toarray()) if sp.issparse(self.X) else self._X[chosen]
            Z = torch.ones(
                (stop - start, self.d + self.coordinates.intercept),
                dtype=X.dtype,
                device=self.device,
            )
            Z[:, : self.d] = (X - self._shift) * self._inverse
            parts = [Part(Z[s : s + batch_size]) for s in range(0, stop - start, batch_size)]
            weight = None if self._weight is None else self._weight[chosen]
            yield Block(parts, self._y[chosen], weight)

    def pieces(self) -> Any:
        """Yield (part, y, weight) over all rows in their order."""
        for block in self.blocks(None, PIECE_ROWS):
            first = 0
            for part in block.parts:
                rows = slice(first, first + len(part.Z))
                first = rows.stop
                yield part, block.y[rows], None if block.weight is None else block.weight[rows]

    def _put(self, array: np.ndarray) -> torch.Tensor:
        # torch warns about read-only memory, although nothing here writes to it.
        writeable = array if array.flags.writeable else array.copy()
        return torch.from_numpy(np.ascontiguousarray(writeable)).to(self.device)
