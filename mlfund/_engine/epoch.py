"""The losses of an epoch, kept on the device and read once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mlfund._engine.data import Batch


class EpochLosses:
    """Collects the losses of the steps of an epoch; `mean` is its one synchronisation.

    Parameters
    ----------
    scale : float
        From the units that are minimised to those that are reported.
    """

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self._losses: list[Tensor] = []
        self._penalties: list[Tensor] = []
        self._steps: list[tuple[int, float]] = []

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self._steps)

    def add(self, batch: Batch, loss: Tensor, penalty: Tensor | None) -> None:
        """Add the step that ends with `batch`; neither number is read yet."""
        self._losses.append(loss.detach())
        self._steps.append((batch.step_rows, batch.step_total))
        if penalty is not None:
            self._penalties.append(penalty)

    def add_steps(
        self, losses: Tensor, penalties: Tensor | None, rows: int, totals: list[float]
    ) -> None:
        """Add several steps of so many rows each, their numbers in one tensor."""
        self._losses += losses.unbind()
        self._steps += [(rows, total) for total in totals]
        if penalties is not None:
            self._penalties += penalties.unbind()

    def mean(self) -> float:
        """Return the mean over rows of the steps' losses, penalties included."""
        values = [self.scale * value for value in torch.stack(self._losses).tolist()]
        if self._penalties:
            terms = torch.stack(self._penalties).tolist()
            values = [
                value + term / total
                for value, term, (_, total) in zip(values, terms, self._steps, strict=True)
            ]
        n_rows = sum(rows for rows, _ in self._steps)
        return sum(v * rows for v, (rows, _) in zip(values, self._steps, strict=True)) / n_rows


def read_batch_losses(batches: list[dict[str, Any]], name: str) -> None:
    """Replace the loss tensors in a history's batches by floats, all at once."""
    rows = [row for row in batches if name in row]
    values = torch.stack([row[name] for row in rows]).tolist()
    for row, value in zip(rows, values, strict=True):
        row[name] = value
