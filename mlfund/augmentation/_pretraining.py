"""What makes a task of unlabelled rows: two views of each, or parts that are hidden.

Rows come as standardised images (n, channels, height, width); a row of a table is an image
of one pixel, its columns the channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mlfund.augmentation._base import Augmentation, Rows, place_of


@dataclass(frozen=True)
class TwoViews(Augmentation):
    """Two views of each row, changed at random: first all of one kind, then all others.

    Parameters
    ----------
    changes : tuple of Augmentation
        What makes a view, in this order.
    first_too : bool, default=True
        Whether the first view is changed as well.
    """

    name: ClassVar[str] = "two_views"
    changes: tuple[Augmentation, ...] = ()
    first_too: bool = True

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return twice as many rows; targets and weights are left as they are."""
        first = self._view(rows.X, generator, target) if self.first_too else rows.X
        return rows._replace(X=torch.cat([first, self._view(rows.X, generator, target)]))

    def _view(self, X: Tensor, generator: torch.Generator | None, target: str) -> Tensor:
        view = Rows(X, X.new_zeros(len(X), 1))
        for change in self.changes:
            view = change.apply(view, generator, target)
        return view.X


@dataclass(frozen=True)
class CorruptColumns(Augmentation):
    """Replaces columns of each row by those of other rows of the batch, drawn for each column.

    Parameters
    ----------
    rate : float, default=0.6
        Share of the columns, the same number in each row.

    References
    ----------
    Bahri, Jiang, Tay, Metzler (2022), SCARF: self-supervised contrastive learning using random
    feature corruption, ICLR, arXiv 2106.15147.
    """

    name: ClassVar[str] = "corrupt_columns"
    rate: float = 0.6

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return corrupted rows; see `Augmentation.apply`."""
        X = rows.X
        n, n_columns = X.shape[:2]
        chosen = some_of(X, n_columns, self.rate, generator)
        place = place_of(X, generator)
        other = torch.randint(n, (n, n_columns), generator=generator, device=place).to(X.device)
        drawn = X.flatten(1).gather(0, other)
        return rows._replace(X=torch.where(chosen, drawn, X.flatten(1)).view(X.shape))


@dataclass(frozen=True)
class RowsAsTargets(Augmentation):
    """Makes the rows themselves, flattened, the targets."""

    name: ClassVar[str] = "rows_as_targets"

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return rows with targets (n, values); see `Augmentation.apply`."""
        return rows._replace(y=rows.X.flatten(1))


@dataclass(frozen=True)
class HideParts(Augmentation):
    """Sets parts of each row to zero, the mean, and makes the rows and the parts the targets.

    Parameters
    ----------
    ratio : float, default=0.6
        Share of the parts that is hidden, the same number in each row: at least one, and at
        most all but one.
    patch : int, default=4
        Side in pixels of the squares of an image; of rows of one pixel, columns are hidden.
    """

    name: ClassVar[str] = "hide_parts"
    ratio: float = 0.6
    patch: int = 4

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return rows with targets (n, 2, values); see `Augmentation.apply`."""
        X = rows.X
        hidden = self._hidden(X, generator)
        y = torch.stack([X.flatten(1), hidden.to(X.dtype).flatten(1)], dim=1)
        return rows._replace(X=X.masked_fill(hidden, 0), y=y)

    def n_parts(self, size: tuple[int, int, int]) -> int:
        """Return the parts of an image of such a height, width and number of channels."""
        high, wide, n_channels = size
        if high == wide == 1:
            return n_channels
        return -(-high // self.patch) * -(-wide // self.patch)

    def _hidden(self, X: Tensor, generator: torch.Generator | None) -> Tensor:
        n, n_channels, high, wide = X.shape
        if high == wide == 1:
            return some_of(X, n_channels, self.ratio, generator).view(X.shape)
        down, right = -(-high // self.patch), -(-wide // self.patch)
        chosen = some_of(X, down * right, self.ratio, generator).view(n, 1, down, right)
        pixels = chosen.repeat_interleave(self.patch, 2).repeat_interleave(self.patch, 3)
        return pixels[:, :, :high, :wide].expand(X.shape)


def some_of(X: Tensor, n_parts: int, share: float, generator: torch.Generator | None) -> Tensor:
    """Return which parts of each row are chosen, (n, n_parts) of bool, as many in each.

    At least one is chosen, and where there are several one at least is not: nothing could be
    learned from a row of which nothing is left.
    """
    count = max(1, min(round(share * n_parts), n_parts - 1))
    place = place_of(X, generator)
    drawn = torch.rand(len(X), n_parts, generator=generator, device=place).to(X.device)
    return drawn.argsort(dim=1).argsort(dim=1) < count
