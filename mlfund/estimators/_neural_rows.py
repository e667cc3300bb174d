"""Rows of a fit on the host: checked features, labels, encoded targets, weights, groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from mlfund._engine.data import DeviceRows


@dataclass(frozen=True, eq=False)
class HostRows:
    """What is known of each row before it goes to the training device.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n, ...)
        Features in the dtype of the computation.
    y : ndarray of shape (n,) or (n, k)
        Labels or targets as they were given.
    target : ndarray of shape (n,) or (n, k)
        The same as the loss takes them.
    weight : ndarray of shape (n,), optional
        Row weights.
    groups : ndarray of shape (n,), optional
        Rows of one group stay together when rows are held out.
    """

    X: Any
    y: np.ndarray
    target: np.ndarray
    weight: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.target)

    def take(self, index: np.ndarray) -> HostRows:
        """Return the rows `index`."""
        X = self.X.tocsr() if sp.issparse(self.X) else self.X
        weight = None if self.weight is None else self.weight[index]
        groups = None if self.groups is None else self.groups[index]
        return HostRows(X[index], self.y[index], self.target[index], weight, groups)

    def that_count(self) -> HostRows:
        """Return the rows whose weight is not zero: such a row is as if it were not there."""
        if self.weight is None or self.weight.all():
            return self
        return self.take(np.flatnonzero(self.weight))

    def on(self, device: torch.device) -> DeviceRows:
        """Return features, targets and weights on the training device."""
        return DeviceRows(self.X, self.target, self.weight, device=device)
