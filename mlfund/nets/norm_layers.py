"""Torch modules of the normalisations, and their arrays for prediction without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# Names of `mlfund.nets.normalisation` for what torch's modules hold.
_ARRAYS = {
    "scale": "weight",
    "shift": "bias",
    "mean": "running_mean",
    "variance": "running_var",
    "n_batches": "num_batches_tracked",
}


class BatchNorm(nn.BatchNorm1d):
    """Each unit standardised over the rows of the batch.

    It heeds row weights, averages the first batches alike, keeps the biased variance and
    takes a batch of one row, see `mlfund.nets.normalisation.BatchNormalization`; in all
    else it is `torch.nn.BatchNorm1d`.
    """

    # Always there, which the base class leaves open.
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, z: Tensor, shares: Tensor | None = None) -> Tensor:
        """Return `z`, shape (rows, units), normalised; differentiable.

        Parameters
        ----------
        z : Tensor of shape (rows, units)
        shares : Tensor of shape (rows,), optional
            Weights of the rows, their sum 1; all alike when None.

        Raises
        ------
        ValueError
            If a training begins with a batch of one row.
        """
        # Statistics over rows would lose digits in bfloat16.
        with torch.autocast(z.device.type, enabled=False):
            z = z.to(self.weight.dtype)
            if self.follows(z):
                rows = self.equal_shares(z) if shares is None else shares
                mean = rows @ z
                centred = z - mean
                variance = rows @ centred.square()
                self.track(mean.detach(), variance.detach())
            else:
                centred, variance = z - self.running_mean, self.running_var
            standard = centred * (variance + self.eps).rsqrt()
            return torch.addcmul(self.bias, standard, self.weight)

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
        if not bool(self.num_batches_tracked):
            raise ValueError(
                "Batch normalization cannot start from a batch of one row (1 sample), which has no "
                "spread; give batch_size at least 2 rows, or choose normalization='layer'."
            )
        return False

    @staticmethod
    def equal_shares(z: Tensor) -> Tensor:
        """Return equal shares of the rows of `z`."""
        return torch.full((z.shape[0],), 1.0 / z.shape[0], dtype=z.dtype, device=z.device)

    def track(self, mean: Tensor, variance: Tensor) -> None:
        """Let the statistics of a batch, outside autograd, enter the averages."""
        share = self._share_of(self.num_batches_tracked.add_(1), mean.dtype)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)

    def _share_of(self, count: Tensor, dtype: torch.dtype) -> Any:
        """Return the share of the batch of that number in the averages."""
        least = self.momentum or 0.0
        if count.is_cpu:
            return max(1.0 / int(count), least)
        # Reading the count would wait for the device, and a captured step counts too.
        return count.to(dtype).reciprocal_().clamp_min_(least)


def arrays_of(layer: nn.Module) -> dict[str, np.ndarray]:
    """Return copies of what a normalisation holds, as `Normalization.numpy` takes it."""
    return {name: t.detach().cpu().numpy().copy() for name, t in _tensors(layer).items()}


@torch.no_grad()
def load_arrays(layer: nn.Module, state: Mapping[str, np.ndarray]) -> None:
    """Give a normalisation what `arrays_of` returned; what is not named stays."""
    for name, tensor in _tensors(layer).items():
        if name in state:
            tensor.copy_(torch.as_tensor(np.array(state[name])))


def _tensors(layer: nn.Module) -> dict[str, Tensor]:
    found = {name: getattr(layer, own, None) for name, own in _ARRAYS.items()}
    return {name: tensor for name, tensor in found.items() if tensor is not None}
