"""Rows on the training device: features, targets and weights, read by slices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mlfund._engine.stream import stays_on_host


class Batch(tuple[Tensor, Tensor]):
    """One mini-batch: the pair ``(X, y)`` that skorch expects, and what the loss needs.

    Attributes
    ----------
    weight : Tensor of shape (rows,) or None
        Row weights; None counts every row once.
    total : float
        Sum of the weights of the batch, known on the host.
    rows : int
        Number of rows of the batch.
    closes : bool
        Whether a step of the optimizer follows; False while gradients are accumulated.
    step_total, step_rows : float, int
        Sum of weights and number of rows of all batches of the step.
    number : Tensor of shape (rows,) or None
        Which of the training rows they are; None where it does not matter.
    epoch : int
        Epochs that ended before.
    """

    weight: Tensor | None
    total: float
    rows: int
    closes: bool
    step_total: float
    step_rows: int
    number: Tensor | None
    epoch: int

    @classmethod
    def of(
        cls,
        X: Tensor,
        y: Tensor,
        weight: Tensor | None,
        total: float,
        number: Tensor | None = None,
        epoch: int = 0,
    ) -> Batch:
        """Make a batch; `total` is the sum of its weights (of ones without weights)."""
        batch = cls((X, y))
        rows = y.shape[0]
        # Where nothing weighs anything, any total gives the gradient zero; none gives NaN.
        batch.weight, batch.total, batch.rows = weight, total or float(rows), rows
        batch.closes, batch.step_total, batch.step_rows = True, batch.total, rows
        batch.number, batch.epoch = number, epoch
        return batch


class DeviceRows(Dataset):
    """Features, encoded targets and weights that live on the training device.

    A sparse X stays on the host as CSR, and so does a memory-mapped file or an X that is
    too large for the device; blocks of it are brought there as they are needed.

    Parameters
    ----------
    X : ndarray of shape (n, ...) or CSR matrix
        Features in the dtype of the computation, or integers for a module that takes
        them; any number of axes.
    y : ndarray of shape (n,) or (n, k)
        Encoded targets.
    weight : ndarray of shape (n,), optional
        Row weights.
    device : torch.device or str, default="cpu"
        Where dense arrays are moved.
    on_host : bool, optional
        Whether a dense X stays on the host; by default it does where it must.
    """

    def __init__(
        self,
        X: Any,
        y: np.ndarray,
        weight: np.ndarray | None = None,
        *,
        device: torch.device | str = "cpu",
        on_host: bool | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.host_weight = weight
        if sp.issparse(X):
            self.X: Any = X.tocsr()
        elif stays_on_host(X, self.device) if on_host is None else on_host:
            self.X = X
        else:
            self.X = self._put(X)
        self.y = self._put(y)
        self.weight = None if weight is None else self._put(weight)

    def _put(self, array: np.ndarray) -> Tensor:
        # torch warns about read-only memory (memory maps, pandas); nothing here writes
        # to it, but a copy is cheap next to a training and keeps that promise to others.
        writeable = array if array.flags.writeable else array.copy()
        return torch.from_numpy(np.ascontiguousarray(writeable)).to(self.device)

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.y.shape[0])

    def __getitem__(self, index: Any) -> tuple[Tensor, Tensor]:
        """Return features and targets of some rows, as skorch's callbacks expect."""
        return self.features(index), self.y[index]

    @property
    def n_features(self) -> int:
        """Number of values of a row of X."""
        return math.prod(self.X.shape[1:])

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of X in a batch."""
        return self.n_features * int(self.X.dtype.itemsize)

    @property
    def is_sparse(self) -> bool:
        """Whether X is kept as CSR on the host."""
        return sp.issparse(self.X)

    @property
    def on_host(self) -> bool:
        """Whether blocks of X come from the host; else all of it is on the device."""
        return not isinstance(self.X, Tensor)

    def features(self, index: Any) -> Tensor:
        """Return dense features of the rows `index` (a slice or an index array)."""
        if self.is_sparse:
            return torch.from_numpy(self.X[index].toarray()).to(self.device)
        if self.on_host:
            return torch.from_numpy(np.array(self.X[index])).to(self.device)
        return self.X[index]

    def weight_of(self, index: Any) -> Tensor | None:
        """Return the weights of the rows `index`, or None without weights."""
        return None if self.weight is None else self.weight[index]

    def weight_totals(self, order: np.ndarray | None, starts: np.ndarray) -> list[float]:
        """Return the sum of weights of the consecutive batches that begin at `starts`."""
        n = len(self)
        if self.host_weight is None:
            return np.diff(starts, append=n).astype(float).tolist()
        weight = self.host_weight if order is None else self.host_weight[order]
        return np.add.reduceat(weight.astype(np.float64), starts).tolist()

    def largest_feature(self) -> float:
        """Return the largest absolute value in X."""
        if self.is_sparse:
            return float(abs(self.X).max())
        low, high = (self.X.min(), self.X.max()) if self.on_host else self.X.aminmax()
        return max(abs(float(low)), abs(float(high)))


class Holdout:
    """A `train_split` for skorch that returns rows set aside beforehand."""

    def __init__(self, valid: DeviceRows) -> None:
        self.valid = valid

    def __call__(self, rows: DeviceRows, **_: Any) -> tuple[DeviceRows, DeviceRows]:
        """Return the training rows and the rows set aside."""
        return rows, self.valid
