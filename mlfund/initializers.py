"""Initializers: the weights a layer starts from.

A layer with `fan_in` inputs and `fan_out` outputs keeps the size of its signal when
the variance of its weights is about 1 / fan_in; the rules differ in how they balance
that with the backward pass and with what the activation swallows.

Examples
--------
>>> import torch
>>> from mlfund.initializers import get_initializer
>>> layer = torch.nn.Linear(100, 50)
>>> generator = torch.Generator().manual_seed(0)
>>> get_initializer("xavier_uniform").init_(layer.weight, layer.bias, generator)
>>> bool(layer.weight.abs().max() <= (6 / 150) ** 0.5)
True
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mlfund._check import check_positive
from mlfund._entries import Entry, resolve


@dataclass(frozen=True)
class Initializer(Entry):
    """A rule for the first weights and biases of a layer; subclasses say which.

    Attributes
    ----------
    name : str
        The name in `INITIALIZERS`.
    """

    @torch.no_grad()
    def init_(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        generator: torch.Generator | None = None,
        activation: str = "relu",
    ) -> None:
        """Fill `weight` and `bias` in place.

        Parameters
        ----------
        weight : Tensor of shape (out, in) or (out, in, *kernel)
            Weights of a linear layer or of a convolution.
        bias : Tensor of shape (out,), optional
            Set to 0, but by "glorot_sklearn".
        generator : torch.Generator, optional
            Source of chance, on the device of `weight`; None uses torch's global one.
        activation : str, default="relu"
            Activation that follows the layer; "orthogonal" and "glorot_sklearn" heed it.

        Raises
        ------
        ValueError
            If `weight` has fewer than two dimensions.
        """
        if weight.dim() < 2:
            raise ValueError(
                f"Weights must have at least 2 dimensions (out, in); got shape "
                f"{tuple(weight.shape)}. Initialise biases and scales on their own."
            )
        if weight.numel():
            self._fill(weight, generator, activation)
        if bias is not None:
            self._fill_bias(bias, weight, generator, activation)

    def _fill(self, weight: Tensor, generator: torch.Generator | None, activation: str) -> None:
        raise NotImplementedError

    def _fill_bias(
        self, bias: Tensor, weight: Tensor, generator: torch.Generator | None, activation: str
    ) -> None:
        bias.zero_()


def fans(weight: Tensor) -> tuple[int, int]:
    """Return fan_in and fan_out: inputs an output sees, outputs an input reaches.

    Parameters
    ----------
    weight : Tensor of shape (out, in) or (out, in, *kernel)

    Examples
    --------
    >>> fans(torch.empty(8, 3, 5, 5))
    (75, 200)
    """
    kernel = math.prod(weight.shape[2:])
    return weight.shape[1] * kernel, weight.shape[0] * kernel


@dataclass(frozen=True)
class Zeros(Initializer):
    """All zeros; right for linear models and last layers, wrong for hidden layers."""

    name: ClassVar[str] = "zeros"

    def _fill(self, weight: Tensor, generator: torch.Generator | None, activation: str) -> None:
        weight.zero_()


@dataclass(frozen=True)
class SmallRandom(Initializer):
    """Normal with one small standard deviation, whatever the layer.

    Parameters
    ----------
    std : float, default=0.01
        Standard deviation.
    """

    name: ClassVar[str] = "small_random"
    std: float = 0.01

    def __post_init__(self) -> None:
        check_positive("std", self.std)

    def _fill(self, weight: Tensor, generator: torch.Generator | None, activation: str) -> None:
        weight.normal_(0.0, self.std, generator=generator)


@dataclass(frozen=True)
class XavierUniform(Initializer):
    """Uniform of variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""

    name: ClassVar[str] = "xavier_uniform"

    def _fill(self, weight: Tensor, generator: torch.Generator | None, activation: str) -> None:
        nn.init.xavier_uniform_(weight, generator=generator)


@dataclass(frozen=True)
class XavierNormal(Initializer):
    """Normal of variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""

    name: ClassVar[str] = "xavier_normal"

    def _fill(self, weight: Tensor, generator: torch.Generator | None, activation: str) -> None:
        nn.init.xavier_normal_(weight, generator=generator)


@dataclass(frozen=True)
class HeUniform(Initializer):
    """Uniform of variance 2 / fan_in, for rectified units (He et al. 2015)."""

    name: ClassVar[str] = "he_uniform"

    def _fill(self, weight: Tensor, generator: torch.Generator | None, activation: str) -> None:
        nn.init.kaiming_uniform_(weight, nonlinearity="relu", generator=generator)


@dataclass(frozen=True)
class HeNormal(Initializer):
    """Normal of variance 2 / fan_in, for rectified units (He et al. 2015)."""

    name: ClassVar[str] = "he_normal"

    def _fill(self, weight: Tensor, generator: torch.Generator | None, activation: str) -> None:
        nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)


@dataclass(frozen=True)
class Orthogonal(Initializer):
    """Orthonormal rows or columns, times sqrt(2) before a rectifier (Saxe et al. 2014)."""

    name: ClassVar[str] = "orthogonal"

    def _fill(self, weight: Tensor, generator: torch.Generator | None, activation: str) -> None:
        gain = math.sqrt(2) if activation == "relu" else 1.0
        nn.init.orthogonal_(weight, gain, generator=generator)


@dataclass(frozen=True)
class GlorotSklearn(Initializer):
    """The rule of scikit-learn's MLPs, for weights and biases alike.

    Uniform in +-sqrt(c / (fan_in + fan_out)) with c = 2 for the logistic activation
    and 6 for the others.
    """

    name: ClassVar[str] = "glorot_sklearn"

    def _fill(self, weight: Tensor, generator: torch.Generator | None, activation: str) -> None:
        bound = self._bound(weight, activation)
        weight.uniform_(-bound, bound, generator=generator)

    def _fill_bias(
        self, bias: Tensor, weight: Tensor, generator: torch.Generator | None, activation: str
    ) -> None:
        bound = self._bound(weight, activation)
        bias.uniform_(-bound, bound, generator=generator)

    @staticmethod
    def _bound(weight: Tensor, activation: str) -> float:
        return math.sqrt((2.0 if activation == "logistic" else 6.0) / sum(fans(weight)))


def get_initializer(initializer: str | Initializer, **options: Any) -> Initializer:
    """Return the initializer of that name, or the instance given, with `options` set.

    Parameters
    ----------
    initializer : str or Initializer
        A name of `INITIALIZERS` or an instance.
    **options : object
        Fields to set, such as ``std`` of "small_random".

    Raises
    ------
    ValueError
        If the name or an option is not known, or an option is out of range.

    Examples
    --------
    >>> get_initializer("small_random", std=0.1)
    SmallRandom(std=0.1)
    """
    return resolve("initializer", initializer, INITIALIZERS, options)


INITIALIZERS: dict[str, Initializer] = {
    "zeros": Zeros(),
    "small_random": SmallRandom(),
    "xavier_uniform": XavierUniform(),
    "xavier_normal": XavierNormal(),
    "he_uniform": HeUniform(),
    "he_normal": HeNormal(),
    "orthogonal": Orthogonal(),
    "glorot_sklearn": GlorotSklearn(),
}
