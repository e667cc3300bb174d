"""The logistic losses of `losses` on a torch device, method by method.

Margins, probabilities and residuals are tensors (k, n); what a solver decides on is
returned as numbers, two derivatives in one transfer.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlfund._solvers.losses import BinaryLoss, MultinomialLoss
from mlfund._solvers.torch_device import index_on, put, to_host, torch_dtype, widest


class TorchLoss:
    """What both losses share: the loss on the host and where its arrays are.

    Parameters
    ----------
    host : BinaryLoss or MultinomialLoss
    device : torch.device
    dtype : numpy dtype
        Of the products.
    """

    def __init__(self, host, device: torch.device, dtype):
        self.host, self.device, self.dtype = host, device, np.dtype(dtype)
        self.k, self.curvature_bound = host.k, host.curvature_bound
        self._wide = widest(device)
        exact = host.astype(self.dtype)
        self.target = put(exact.target, device)
        self.weights = exact.weights
        if isinstance(self.weights, np.ndarray):
            self.weights = put(self.weights, device)

    def astype(self, dtype):
        """Return the same loss in another dtype; itself where the device has no other."""
        if np.dtype(dtype) == self.dtype or self._wide == torch.float32:
            return self
        return type(self)(self.host, self.device, dtype)

    def start_margins(self) -> Tensor:
        """Return the margins of zero weights."""
        shape = (self.k, len(self.target))
        return torch.zeros(shape, dtype=torch_dtype(self.dtype), device=self.device)

    def _sum(self, rows: Tensor) -> Tensor:
        return (rows * self.weights).sum(dtype=self._wide)


class TorchBinaryLoss(TorchLoss):
    """log(1 + exp(z)) - y z; the methods are those of `BinaryLoss`."""

    def probabilities(self, Z: Tensor) -> Tensor:
        """Return P(y = 1), shape (1, n)."""
        return torch.sigmoid(Z)

    def value(self, Z: Tensor) -> float:
        """Return the mean loss."""
        rows = Z.clamp(min=0) - Z * self.target + torch.log1p(torch.exp(-Z.abs()))
        return float(self._sum(rows))

    def residual(self, P: Tensor) -> Tensor:
        """Return the derivative of the mean loss by the margins, (1, n)."""
        return (P - self.target).mul_(self.weights)

    def curvature(self, P: Tensor) -> Tensor:
        """Return the second derivative by the margins, (n,)."""
        return (P * (1 - P) * self.weights)[0]

    def mean_curvature(self, P: Tensor, rows) -> Tensor:
        """Return the curvature of some rows, unweighted (the weights are the sampler's)."""
        part = P[0, index_on(rows, self.device)].to(self._wide)
        return part * (1 - part)

    def along(self, P: Tensor, Zp: Tensor) -> tuple[float, float]:
        """Return first and second derivative along margins Zp."""
        slope = self._sum((P - self.target).mul_(Zp))
        curvature = self._sum((P * (1 - P)).mul_(Zp).mul_(Zp))
        return tuple(torch.stack((slope, curvature)).tolist())

    def curvature_product(self, P: Tensor, Zp: Tensor) -> Tensor:
        """Return the second derivative by the margins times Zp, (1, n)."""
        return (P * (1 - P)).mul_(self.weights).mul_(Zp)

    def separated(self, Z: Tensor) -> bool:
        """Whether every row lies on the side of its class."""
        return bool(((Z[0] > 0) == (self.target > 0.5)).all())


class TorchMultinomialLoss(TorchLoss):
    """Cross-entropy of the softmax of k margins; the methods are those of `MultinomialLoss`."""

    def __init__(self, host: MultinomialLoss, device: torch.device, dtype):
        super().__init__(host, device, dtype)
        self.target = self.target.to(torch.int64)[None]

    def start_margins(self) -> Tensor:
        """Return the margins of zero weights."""
        shape = (self.k, self.target.shape[1])
        return torch.zeros(shape, dtype=torch_dtype(self.dtype), device=self.device)

    def probabilities(self, Z: Tensor) -> Tensor:
        """Return the class probabilities, (k, n)."""
        return torch.softmax(Z, dim=0)

    def value(self, Z: Tensor) -> float:
        """Return the mean loss."""
        return float(self._sum(torch.logsumexp(Z, dim=0) - self._own(Z)))

    def residual(self, P: Tensor) -> Tensor:
        """Return the derivative of the mean loss by the margins, (k, n)."""
        # Each row has one entry of its class: gather and scatter repeat exactly, adding
        # scatters on a GPU do not.
        R = P.scatter(0, self.target, P.gather(0, self.target) - 1)
        return R.mul_(self.weights)

    def mean_curvature(self, P: Tensor, rows) -> Tensor:
        """Return the mean over classes of P (1 - P) of some rows, unweighted."""
        part = P[:, index_on(rows, self.device)].to(self._wide)
        return (part * (1 - part)).mean(dim=0)

    def mean_coupling(self, P: Tensor) -> NDArray:
        """Return the mean over the rows of diag(p) - p p', shape (k, k), in float64."""
        weighted = P * self.weights
        C = to_host(-(weighted @ P.T))
        C.ravel()[:: self.k + 1] += to_host(weighted.sum(dim=1, dtype=self._wide))
        return C

    def contrast(self, P: Tensor, rows, u: NDArray) -> Tensor:
        """Return u'(diag(p) - p p')u of some rows, unweighted, for u of shape (k,)."""
        part = P[:, index_on(rows, self.device)].to(self._wide)
        of_classes = put(u, self.device, self._wide)
        return (of_classes.square() @ part - (of_classes @ part).square()).clamp_(min=0.0)

    def pair_curvature(self, P: Tensor, rows: slice, a: int, b: int) -> Tensor:
        """Return the second derivative by the margins a and b of some rows, (rows,)."""
        of_a, of_b = P[a, rows].to(self._wide), P[b, rows].to(self._wide)
        weights = self.weights[rows] if isinstance(self.weights, Tensor) else self.weights
        return of_a * (float(a == b) - of_b) * weights

    def along(self, P: Tensor, Zp: Tensor) -> tuple[float, float]:
        """Return first and second derivative along margins Zp."""
        PZ = P * Zp
        mean = PZ.sum(dim=0)
        slope = self._sum(mean - self._own(Zp))
        curvature = self._sum(PZ.mul_(Zp).sum(dim=0) - mean * mean)
        return tuple(torch.stack((slope, curvature)).tolist())

    def curvature_product(self, P: Tensor, Zp: Tensor) -> Tensor:
        """Return the second derivative by the margins times Zp, (k, n)."""
        PZ = P * Zp
        return (PZ - P * PZ.sum(dim=0)).mul_(self.weights)

    def separated(self, Z: Tensor) -> bool:
        """Whether the largest margin of every row is that of its class, alone."""
        rest = Z.scatter(0, self.target, -torch.inf)
        return bool((self._own(Z) > rest.max(dim=0).values).all())

    def _own(self, Z: Tensor) -> Tensor:
        """Return the entry of each row's own class, (n,)."""
        return Z.gather(0, self.target)[0]


def loss_on(host, device: torch.device, dtype) -> TorchLoss:
    """Return a loss on the device.

    Raises
    ------
    TypeError
        If there is no such loss for devices.
    """
    for kind, there in ((BinaryLoss, TorchBinaryLoss), (MultinomialLoss, TorchMultinomialLoss)):
        if isinstance(host, kind):
            return there(host, device, dtype)
    raise TypeError(f"{type(host).__name__} runs on the CPU only; leave device unset.")
