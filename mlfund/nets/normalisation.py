"""Normalisation of hidden units: what each kind is, and its numpy twin for prediction.

Hidden units of a table have no position: a row has one number for each unit. So

- "batch" standardises each unit over the rows of the batch (Ioffe and Szegedy 2015), in
  prediction with the mean and variance that training has followed;
- "layer" standardises each row over its units (Ba et al. 2016);
- "group" standardises each row over each group of neighbouring units (Wu and He 2018);
- "instance" standardises each row over its units, too, but has no scale and shift to learn:
  the units are the positions of the one channel that a row has, as in
  ``torch.nn.InstanceNorm1d`` on (rows, units). With every unit a channel of its own,
  nothing would be left of a row but zeros.

The first three then scale and shift every unit by trained numbers that start at 1 and 0.
All but "batch" treat a row the same alone and in any batch, in training and after it.

Examples
--------
>>> import torch
>>> from mlfund.nets.normalisation import get_normalization
>>> layer = get_normalization("layer").module(3)
>>> layer(torch.tensor([[1.0, 2.0, 3.0]])).detach().round(decimals=2)
tensor([[-1.2200,  0.0000,  1.2200]])
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from mlfund._check import check_fraction, check_positive
from mlfund._entries import Entry, resolve
from mlfund.nets.norm_layers import BatchNorm

# A group of fewer units tells little about their mean and spread (Wu and He 2018).
UNITS_PER_GROUP = 16
MOST_GROUPS = 32

State = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Normalization(Entry, ABC):
    """One way to normalise hidden units; subclasses say which.

    Attributes
    ----------
    name : str
        The name in `NORMALIZATIONS`.
    over_rows : bool
        Whether the statistics are taken over the rows of a batch. Then training needs
        batches of at least two rows, and a bias just before it has no effect.
    """

    over_rows: ClassVar[bool] = False

    @abstractmethod
    def module(self, n_units: int, dtype: torch.dtype | None = None) -> nn.Module | None:
        """Return the torch module for a layer of `n_units`, None for no normalisation.

        Parameters
        ----------
        n_units : int
        dtype : torch.dtype, optional
            Of its parameters; torch's default when None.
        """

    @abstractmethod
    def numpy(self, z: np.ndarray, state: State) -> np.ndarray:
        """Return `z`, shape (n, units), normalised as in prediction; may overwrite it.

        Parameters
        ----------
        z : ndarray of shape (n, units)
        state : mapping of str to ndarray
            What `mlfund.nets.norm_layers.arrays_of` tells of the trained module: scale
            and shift, and the mean and variance of "batch".
        """


@dataclass(frozen=True)
class NoNormalization(Normalization):
    """None at all."""

    name: ClassVar[str] = "none"

    def module(self, n_units: int, dtype: torch.dtype | None = None) -> None:
        """Return None."""

    def numpy(self, z: np.ndarray, state: State) -> np.ndarray:
        """Return `z` as it is."""
        return z


@dataclass(frozen=True)
class BatchNormalization(Normalization):
    """Each unit over the rows of the batch: mean 0 and variance 1 (Ioffe and Szegedy 2015).

    Rows count by their weights, so that a weight of 2 is a row twice. Prediction uses an
    exponential average of the statistics of the batches, the plain average of the first
    ``1 / momentum`` ones, so that it is right after a single batch.

    Parameters
    ----------
    momentum : float, default=0.1
        Share of a new batch in the average, in (0, 1).
    eps : float, default=1e-5
        Added to the variance.

    Notes
    -----
    The variance is the biased one (divided by the rows, not one less) in training and in
    prediction; torch's running variance is the unbiased one.

    A single row has no spread: a batch of one is normalised with the averages, as in
    prediction, and leaves them as they are. If it is the first, it raises ValueError.
    """

    name: ClassVar[str] = "batch"
    over_rows: ClassVar[bool] = True
    momentum: float = 0.1
    eps: float = 1e-5

    def __post_init__(self) -> None:
        check_fraction("momentum", self.momentum)
        check_positive("eps", self.eps)

    def module(self, n_units: int, dtype: torch.dtype | None = None) -> nn.Module:
        """Return the torch module for a layer of `n_units`."""
        return BatchNorm(n_units, eps=self.eps, momentum=self.momentum, dtype=dtype)

    def numpy(self, z: np.ndarray, state: State) -> np.ndarray:
        """Overwrite `z` with the averages' standardisation, scaled and shifted."""
        z -= state["mean"]
        z *= state["scale"] / np.sqrt(state["variance"] + z.dtype.type(self.eps))
        z += state["shift"]
        return z


@dataclass(frozen=True)
class _OverUnits(Normalization):
    """What normalisations of single rows share."""

    learned: ClassVar[bool] = True
    eps: float = 1e-5

    def __post_init__(self) -> None:
        check_positive("eps", self.eps)

    def groups_of(self, n_units: int) -> int:
        """Return the number of groups that a layer of `n_units` is cut into."""
        return 1

    def module(self, n_units: int, dtype: torch.dtype | None = None) -> nn.Module:
        """Return the torch module for a layer of `n_units`."""
        groups = self.groups_of(n_units)
        if groups > 1:
            return nn.GroupNorm(groups, n_units, self.eps, self.learned, dtype=dtype)
        return nn.LayerNorm(n_units, self.eps, self.learned, dtype=dtype)

    def numpy(self, z: np.ndarray, state: State) -> np.ndarray:
        """Standardise the groups of each row, then scale and shift."""
        n, units = z.shape
        groups = self.groups_of(units)
        parts = z.reshape(n, groups, units // groups)
        parts -= parts.mean(axis=2, keepdims=True)
        variance = np.einsum("ngu,ngu->ng", parts, parts)[:, :, None] / parts.dtype.type(
            units // groups
        )
        parts /= np.sqrt(variance + z.dtype.type(self.eps))
        z = parts.reshape(n, units)
        if self.learned:
            z *= state["scale"]
            z += state["shift"]
        return z


@dataclass(frozen=True)
class LayerNormalization(_OverUnits):
    """Each row over its units: mean 0 and variance 1 (Ba, Kiros and Hinton 2016).

    Parameters
    ----------
    eps : float, default=1e-5
        Added to the variance.
    """

    name: ClassVar[str] = "layer"


@dataclass(frozen=True)
class InstanceNormalization(_OverUnits):
    """Each row over its units, without scale and shift (Ulyanov et al. 2016).

    Parameters
    ----------
    eps : float, default=1e-5
        Added to the variance.
    """

    name: ClassVar[str] = "instance"
    learned: ClassVar[bool] = False


@dataclass(frozen=True)
class GroupNormalization(_OverUnits):
    """Each row over groups of neighbouring units (Wu and He 2018).

    Parameters
    ----------
    eps : float, default=1e-5
        Added to the variance.
    n_groups : int or None, default=None
        Groups of each layer. None takes as many of equal size as leave each at least
        16 units, at most 32; one group is "layer".
    """

    name: ClassVar[str] = "group"
    n_groups: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_groups is not None:
            check_positive("n_groups", self.n_groups, integer=True)

    def groups_of(self, n_units: int) -> int:
        """Return the number of groups that a layer of `n_units` is cut into.

        Raises
        ------
        ValueError
            If `n_groups` does not divide `n_units`.
        """
        if self.n_groups is None:
            most = min(MOST_GROUPS, max(1, n_units // UNITS_PER_GROUP))
            return max(groups for groups in range(1, most + 1) if n_units % groups == 0)
        if n_units % self.n_groups:
            raise ValueError(
                f"n_groups={self.n_groups} does not divide a hidden layer of {n_units} units; "
                "choose a divisor, or n_groups=None for groups of about "
                f"{UNITS_PER_GROUP} units."
            )
        return int(self.n_groups)


def get_normalization(normalization: str | Normalization | None, **options: Any) -> Normalization:
    """Return the normalisation of that name, or the instance given, with `options` set.

    Parameters
    ----------
    normalization : str, Normalization or None
        A name of `NORMALIZATIONS` or an instance; None is "none".
    **options : object
        Fields to set, such as ``n_groups`` of "group".

    Raises
    ------
    ValueError
        If the name or an option is not known, or an option is out of range.

    Examples
    --------
    >>> get_normalization("group", n_groups=4)
    GroupNormalization(eps=1e-05, n_groups=4)
    """
    chosen = "none" if normalization is None else normalization
    return resolve("normalization", chosen, NORMALIZATIONS, options)


NORMALIZATIONS: dict[str, Normalization] = {
    "none": NoNormalization(),
    "batch": BatchNormalization(),
    "layer": LayerNormalization(),
    "group": GroupNormalization(),
    "instance": InstanceNormalization(),
}
