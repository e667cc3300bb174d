"""Initializers by the rules of papers and of scikit-learn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mlfund._check import check_positive
from mlfund.initializers._base import Initializer, fans
from mlfund.initializers._gains import AnyActivation, gain_of


@dataclass(frozen=True)
class Zeros(Initializer):
    """All zeros; right for linear models and last layers, wrong for hidden layers."""

    name: ClassVar[str] = "zeros"

    def _fill(
        self, weight: Tensor, generator: torch.Generator | None, activation: AnyActivation
    ) -> None:
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

    def _fill(
        self, weight: Tensor, generator: torch.Generator | None, activation: AnyActivation
    ) -> None:
        weight.normal_(0.0, self.std, generator=generator)


@dataclass(frozen=True)
class XavierUniform(Initializer):
    """Uniform of variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""

    name: ClassVar[str] = "xavier_uniform"

    def _fill(
        self, weight: Tensor, generator: torch.Generator | None, activation: AnyActivation
    ) -> None:
        nn.init.xavier_uniform_(weight, generator=generator)


@dataclass(frozen=True)
class XavierNormal(Initializer):
    """Normal of variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""

    name: ClassVar[str] = "xavier_normal"

    def _fill(
        self, weight: Tensor, generator: torch.Generator | None, activation: AnyActivation
    ) -> None:
        nn.init.xavier_normal_(weight, generator=generator)


@dataclass(frozen=True)
class HeUniform(Initializer):
    """Uniform of variance gain**2 / fan_in; the gain of "relu" is sqrt(2) (He et al. 2015)."""

    name: ClassVar[str] = "he_uniform"

    def _fill(
        self, weight: Tensor, generator: torch.Generator | None, activation: AnyActivation
    ) -> None:
        bound = gain_of(activation) * math.sqrt(3.0 / fans(weight)[0])
        weight.uniform_(-bound, bound, generator=generator)


@dataclass(frozen=True)
class HeNormal(Initializer):
    """Normal of variance gain**2 / fan_in; the gain of "relu" is sqrt(2) (He et al. 2015)."""

    name: ClassVar[str] = "he_normal"

    def _fill(
        self, weight: Tensor, generator: torch.Generator | None, activation: AnyActivation
    ) -> None:
        std = gain_of(activation) / math.sqrt(fans(weight)[0])
        weight.normal_(0.0, std, generator=generator)


@dataclass(frozen=True)
class Orthogonal(Initializer):
    """Orthonormal rows or columns, times the gain of the activation (Saxe et al. 2014)."""

    name: ClassVar[str] = "orthogonal"

    def _fill(
        self, weight: Tensor, generator: torch.Generator | None, activation: AnyActivation
    ) -> None:
        nn.init.orthogonal_(weight, gain_of(activation), generator=generator)


@dataclass(frozen=True)
class Dirac(Initializer):
    """Filters that hand their input on: the first ones of a convolution copy its channels.

    The other filters, and dense layers, are uniform of variance 1 / (3 fan_in), torch's
    default. Deep convolutional nets then start with much of the image in every layer.

    References
    ----------
    Zagoruyko and Komodakis, DiracNets, arXiv 1706.00388. Jordan, arXiv 2404.00498.
    """

    name: ClassVar[str] = "dirac"

    def _fill(
        self, weight: Tensor, generator: torch.Generator | None, activation: AnyActivation
    ) -> None:
        bound = 1.0 / math.sqrt(fans(weight)[0])
        weight.uniform_(-bound, bound, generator=generator)
        if weight.dim() > 2:
            nn.init.dirac_(weight[: weight.shape[1]])


@dataclass(frozen=True)
class GlorotSklearn(Initializer):
    """The rule of scikit-learn's MLPs, for weights and biases alike.

    Uniform in +-sqrt(c / (fan_in + fan_out)) with c = 2 for the logistic activation
    and 6 for the others.
    """

    name: ClassVar[str] = "glorot_sklearn"

    def _fill(
        self, weight: Tensor, generator: torch.Generator | None, activation: AnyActivation
    ) -> None:
        bound = self._bound(weight, activation)
        weight.uniform_(-bound, bound, generator=generator)

    def _fill_bias(
        self,
        bias: Tensor,
        weight: Tensor,
        generator: torch.Generator | None,
        activation: AnyActivation,
    ) -> None:
        bound = self._bound(weight, activation)
        bias.uniform_(-bound, bound, generator=generator)

    @staticmethod
    def _bound(weight: Tensor, activation: AnyActivation) -> float:
        name = activation if isinstance(activation, str) else activation.name
        return math.sqrt((2.0 if name == "logistic" else 6.0) / sum(fans(weight)))
