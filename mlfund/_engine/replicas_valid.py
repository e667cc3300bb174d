"""Loss and score of the rows set aside, for all replicas of a stream at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mlfund._engine.data import DeviceRows
from mlfund._engine.replicas_rows import gathered
from mlfund._engine.replicas_spec import Stack, Stream
from mlfund.nets.stacked import StackedMLP

# Rows whose losses are one mean, as in an Engine's validation of an MLP.
ROWS_OF_MEAN = 8192
# Hidden units of all replicas on the rows that go forward at once.
UNITS_AT_ONCE = 1 << 22


class ValidRows:
    """The rows set aside of every stream.

    Parameters
    ----------
    stack : Stack
        With the objective and the score.
    data : DeviceRows
        All rows.
    streams : sequence of Stream
        Of the groups of the net.
    """

    def __init__(self, stack: Stack, data: DeviceRows, streams: Sequence[Stream]) -> None:
        self.loss = stack.objective.loss
        self.score = stack.score
        self.data = data
        self.streams = list(streams)

    def keep(self, streams: Sequence[Stream]) -> None:
        """Go on with these streams alone."""
        self.streams = list(streams)

    def evaluate(self, net: StackedMLP) -> list[tuple[float, float] | None]:
        """Return loss and score of every replica, None where no rows are set aside."""
        found: list[tuple[float, float] | None] = []
        for stream, part in zip(self.streams, net.groups, strict=True):
            if stream.valid is None:
                found += [None] * (part.stop - part.start)
            else:
                found += self._evaluate_group(net, stream, part)
        return found

    def _evaluate_group(
        self, net: StackedMLP, stream: Stream, part: slice
    ) -> list[tuple[float, float]]:
        index, given = stream.valid, stream.valid_weight
        assert index is not None
        assert self.score is not None
        raw = self._raw(net, stream, part, index)
        y = self.data.y[torch.from_numpy(index).to(self.data.device)]
        weight = None if given is None else torch.from_numpy(given).to(raw)
        losses = self._losses(raw, y, weight)
        scores = self.score(raw, y, weight).to(losses)
        read = torch.stack([losses, scores]).tolist()
        return list(zip(*read, strict=True))

    def _raw(self, net: StackedMLP, stream: Stream, part: slice, index: np.ndarray) -> Tensor:
        """Return raw scores, shape (replicas, rows, k)."""
        units = max(net.sizes[1:]) * (part.stop - part.start) + net.sizes[0]
        step = max(1, UNITS_AT_ONCE // units)
        blocks = [
            net.raw_scores(part, gathered(self.data, stream, index[start : start + step]))
            for start in range(0, len(index), step)
        ]
        return torch.cat(blocks, dim=2).transpose(1, 2).contiguous()

    def _losses(self, raw: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        """Return the mean over rows of each replica, as `EpochLosses` takes it, (replicas,)."""
        n_replicas, n_rows, k = raw.shape
        total = raw.new_zeros(n_replicas, dtype=torch.float64)
        for start in range(0, n_rows, ROWS_OF_MEAN):
            rows = slice(start, min(start + ROWS_OF_MEAN, n_rows))
            scores = raw[:, rows].reshape(-1, k)
            targets = y[rows].expand(n_replicas, *y[rows].shape).reshape(-1, *y.shape[1:])
            losses = self.loss.value(scores, targets).view(n_replicas, -1)
            w = None if weight is None else weight[rows]
            mean = losses.mean(1) if w is None else losses @ w / w.sum()
            total.add_(mean, alpha=rows.stop - rows.start)
        return total / n_rows
