"""Initializers: the weights a layer starts from.

A layer with `fan_in` inputs and `fan_out` outputs keeps the size of its signal when
the variance of its weights is about 1 / fan_in; the rules differ in how they balance
that with the backward pass and with what the activation swallows. What an activation
swallows is its gain: ``1 / sqrt(E f(z)**2)`` for standard normal z, sqrt(2) for "relu".

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

import functools
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mlfund._check import check_choice, check_positive, preserved_torch_state
from mlfund._entries import Entry, resolve


class ActivationLike(Protocol):
    """What an initializer asks of an activation; entries of `mlfund.nets.activations` have it."""

    name: ClassVar[str]

    @property
    def gain(self) -> float:
        """Factor that restores the size of a standard normal signal."""


AnyActivation = str | ActivationLike


@dataclass(frozen=True)
class Initializer(Entry, ABC):
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
        activation: AnyActivation = "relu",
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
        activation : str or Activation, default="relu"
            Activation of the net, by its name in `GAINS` or an entry of
            `mlfund.nets.activations`; "he_*", "orthogonal" and "glorot_sklearn" heed it.

        Raises
        ------
        ValueError
            If `weight` has fewer than two dimensions or the activation is not known.
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

    @abstractmethod
    def _fill(
        self, weight: Tensor, generator: torch.Generator | None, activation: AnyActivation
    ) -> None:
        """Fill the weights."""

    def _fill_bias(
        self,
        bias: Tensor,
        weight: Tensor,
        generator: torch.Generator | None,
        activation: AnyActivation,
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


def gain_of_function(function_: Callable[[np.ndarray], object]) -> float:
    """Return ``1 / sqrt(E f(z)**2)`` of a function for standard normal z.

    Parameters
    ----------
    function_ : callable
        Overwrites a float64 array with f of it; f may have a kink at zero.

    Examples
    --------
    >>> round(gain_of_function(lambda z: np.maximum(z, 0, out=z)), 4)
    1.4142
    """
    z, probability = _normal_quadrature()
    z = z.copy()
    function_(z)
    return float(1.0 / math.sqrt(probability @ z**2))


@functools.cache
def _normal_quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Return points and weights of standard normal expectations, exact with a kink at 0."""
    # Gauss-Legendre on either side of zero; 10 standard deviations hold all but 1e-22.
    nodes, weights = np.polynomial.legendre.leggauss(100)
    z = np.concatenate([5.0 * nodes - 5.0, 5.0 * nodes + 5.0])
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return z, 5.0 * np.tile(weights, 2) * density


def gain_of(activation: AnyActivation) -> float:
    """Return the gain of an activation, given by name or as an entry.

    Raises
    ------
    ValueError
        If no activation of `GAINS` has that name.
    """
    if isinstance(activation, str):
        return GAINS[check_choice("activation", activation, GAINS)]
    return activation.gain


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
class FromFunction(Initializer):
    """A function of your own; `get_initializer` makes this entry from any callable.

    Parameters
    ----------
    function : callable
        ``function(weight, generator=generator)`` fills the tensor `weight` of shape
        (out, in) in place, as the functions of `torch.nn.init` do. One that takes no
        generator may draw from torch's own, which is seeded for it and left as found.
    """

    name: ClassVar[str] = "function"
    function: Callable[..., object]

    def _fill(
        self, weight: Tensor, generator: torch.Generator | None, activation: AnyActivation
    ) -> None:
        weight.fill_(math.nan)
        if _takes_generator(self.function):
            self.function(weight, generator=generator)
        else:
            seed = int(torch.randint(2**31, (1,), generator=generator, device=weight.device))
            with preserved_torch_state():
                torch.manual_seed(seed)
                self.function(weight)
        if not bool(weight.isfinite().all()):
            raise ValueError(
                f"The initializer {self.function!r} left weights that are not finite; it must "
                "fill the tensor it is given in place, as those of torch.nn.init do."
            )


def _takes_generator(function: Callable[..., object]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # compiled functions may hide their signature
        return True
    return any(p.name == "generator" or p.kind is p.VAR_KEYWORD for p in parameters)


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


def get_initializer(
    initializer: str | Initializer | Callable[..., object], **options: Any
) -> Initializer:
    """Return the initializer of that name, or the one given, with `options` set.

    Parameters
    ----------
    initializer : str, Initializer or callable
        A name of `INITIALIZERS`, an instance, or a function of your own that fills a
        tensor in place, see `FromFunction`.
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
    >>> get_initializer(torch.nn.init.trunc_normal_).name
    'function'
    """
    if callable(initializer):
        initializer = FromFunction(initializer)
    return resolve("initializer", initializer, INITIALIZERS, options)


# Gains of the activations with their default options; a test holds them against
# `gain_of_function` of each entry in `mlfund.nets.activations`.
GAINS: dict[str, float] = {
    "identity": 1.0,
    "logistic": 1.846228545339,
    "tanh": 1.592537419723,
    "relu": math.sqrt(2.0),
    "leaky_relu": math.sqrt(2.0 / (1.0 + 0.01**2)),
    "prelu": math.sqrt(2.0 / (1.0 + 0.25**2)),
    "elu": 1.245198300701,
    "selu": 1.0,
    "gelu": 1.533530441196,
    "silu": 1.676532470331,
    "mish": 1.486847581273,
}

INITIALIZERS: dict[str, Initializer] = {
    "zeros": Zeros(),
    "small_random": SmallRandom(),
    "xavier_uniform": XavierUniform(),
    "xavier_normal": XavierNormal(),
    "he_uniform": HeUniform(),
    "he_normal": HeNormal(),
    "orthogonal": Orthogonal(),
    "glorot_sklearn": GlorotSklearn(),
    "dirac": Dirac(),
}
