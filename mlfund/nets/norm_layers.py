"""Torch modules of the normalisations of `mlfund.nets.normalisation`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class NormLayer(nn.Module):
    """A normalisation with a scale and a shift for each unit, or without.

    Parameters
    ----------
    n_units : int
        Width of the layer.
    eps : float
        Added to variances.
    learned : bool
        Whether it has a scale and a shift.
    dtype : torch.dtype, optional
        Of parameters and statistics, which inputs are converted to.
    """

    def __init__(
        self, n_units: int, *, eps: float, learned: bool, dtype: torch.dtype | None
    ) -> None:
        super().__init__()
        self.n_units = n_units
        self.eps = eps
        self.learned = learned
        if learned:
            self.scale = nn.Parameter(torch.ones(n_units, dtype=dtype))
            self.shift = nn.Parameter(torch.zeros(n_units, dtype=dtype))

    def forward(self, z: Tensor, shares: Tensor | None = None) -> Tensor:
        """Return `z`, shape (rows, units), normalised; differentiable.

        Parameters
        ----------
        z : Tensor of shape (rows, units)
        shares : Tensor of shape (rows,), optional
            Weights of the rows, their sum 1.
        """
        raise NotImplementedError

    @torch.no_grad()
    def load_arrays(self, state: Mapping[str, np.ndarray]) -> None:
        """Take parameters and statistics from arrays; those not named stay."""
        for name, tensor in self._named_arrays():
            if name in state:
                tensor.copy_(torch.as_tensor(np.array(state[name])))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return copies of parameters and statistics."""
        return {name: t.detach().cpu().numpy().copy() for name, t in self._named_arrays()}

    def _named_arrays(self) -> list[tuple[str, Tensor]]:
        return [*self.named_parameters(), *self.named_buffers()]


class BatchNorm(NormLayer):
    """Each unit standardised over the rows of the batch.

    Unlike `torch.nn.BatchNorm1d` it heeds row weights, averages the first batches alike,
    and takes a batch of one row (see `mlfund.nets.normalisation.BatchNormalization`).

    Attributes
    ----------
    mean, variance : Tensor of shape (n_units,)
        Averages over batches, for prediction.
    n_batches : Tensor of shape ()
        Batches that entered them.
    """

    mean: Tensor
    variance: Tensor
    n_batches: Tensor

    def __init__(
        self, n_units: int, *, momentum: float, eps: float, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__(n_units, eps=eps, learned=True, dtype=dtype)
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(n_units, dtype=dtype))
        self.register_buffer("variance", torch.ones(n_units, dtype=dtype))
        # A float, so that its reciprocal is the share of a batch without a conversion.
        self.register_buffer("n_batches", torch.zeros((), dtype=dtype))

    def forward(self, z: Tensor, shares: Tensor | None = None) -> Tensor:
        """Return `z` normalised over its rows in training, by the averages after it."""
        z = z.to(self.scale.dtype)
        if not self.follows(z):
            centred, variance = z - self.mean, self.variance
        else:
            rows = self.shares_of(z) if shares is None else shares
            mean = rows @ z
            centred = z - mean
            variance = rows @ centred.square()
            self.track(mean.detach(), variance.detach())
        return torch.addcmul(self.shift, centred * (variance + self.eps).rsqrt(), self.scale)

    def follows(self, z: Tensor) -> bool:
        """Whether statistics come from the batch `z`: in training, of two rows or more.

        Raises
        ------
        ValueError
            If a training begins with a batch of one row.
        """
        if not self.training:
            return False
        if z.shape[0] > 1:
            return True
        if not bool(self.n_batches):
            raise ValueError(
                "Batch normalization cannot start from a batch of one row, which has no spread; "
                "give batch_size at least 2 rows, or choose normalization='layer'."
            )
        return False

    def shares_of(self, z: Tensor) -> Tensor:
        """Return equal shares of the rows of `z`."""
        return torch.full((z.shape[0],), 1.0 / z.shape[0], dtype=z.dtype, device=z.device)

    @torch.no_grad()
    def track(self, mean: Tensor, variance: Tensor) -> None:
        """Let the statistics of a batch enter the averages."""
        self.n_batches.add_(1)
        # On the device throughout: a captured step replays it.
        share = self.n_batches.reciprocal().clamp_min_(self.momentum)
        self.mean.lerp_(mean, share)
        self.variance.lerp_(variance, share)


class RowNorm(NormLayer):
    """Each row standardised over groups of neighbouring units.

    Parameters
    ----------
    n_units, n_groups : int
        Width of the layer and the number of its groups.
    eps, learned, dtype
        As for `NormLayer`.
    """

    def __init__(
        self,
        n_units: int,
        n_groups: int,
        *,
        eps: float,
        learned: bool,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(n_units, eps=eps, learned=learned, dtype=dtype)
        self.n_groups = n_groups

    def forward(self, z: Tensor, shares: Tensor | None = None) -> Tensor:
        """Return `z` with each group of each row standardised."""
        if not self.learned:
            return functional.layer_norm(z, (self.n_units,), eps=self.eps)
        z = z.to(self.scale.dtype)
        if self.n_groups == 1:
            return functional.layer_norm(z, (self.n_units,), self.scale, self.shift, self.eps)
        parts = z.reshape(-1, self.n_units // self.n_groups)
        standard = functional.layer_norm(parts, parts.shape[1:], eps=self.eps).view_as(z)
        return torch.addcmul(self.shift, standard, self.scale)
