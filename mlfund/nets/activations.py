"""Activation functions of hidden layers: forward, derivative, numpy twin, gain.

Those whose derivative is a function of their output compute in place, so that a training
step needs no memory of its own; the others keep their input beside their output.

Examples
--------
>>> import torch
>>> from mlfund.nets.activations import get_activation
>>> get_activation("leaky_relu", slope=0.1).forward(torch.tensor([-2.0, 3.0]))
tensor([-0.2000,  3.0000])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import expit, ndtr
from torch import Tensor
from torch.nn import functional

from mlfund._check import check_positive
from mlfund._entries import resolve
from mlfund.nets._activation import Activation

# Klambauer et al. (2017), to the digits that torch has.
SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


@dataclass(frozen=True)
class Identity(Activation):
    """z itself: a net without a bend."""

    name: ClassVar[str] = "identity"
    keeps_input: ClassVar[bool] = False

    def forward(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        return z

    def forward_(self, z: Tensor) -> Tensor:
        return z

    def backward_(self, delta: Tensor, kept: Tensor) -> None:
        pass

    def numpy_(self, z: np.ndarray, slope: np.ndarray | None = None) -> None:
        pass


@dataclass(frozen=True)
class Logistic(Activation):
    """1 / (1 + exp(-z)), between 0 and 1."""

    name: ClassVar[str] = "logistic"
    keeps_input: ClassVar[bool] = False

    def forward(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        return torch.sigmoid(z)

    def forward_(self, z: Tensor) -> Tensor:
        return torch.sigmoid_(z)

    def backward_(self, delta: Tensor, kept: Tensor) -> None:
        torch.ops.aten.sigmoid_backward.grad_input(delta, kept, grad_input=delta)

    def numpy_(self, z: np.ndarray, slope: np.ndarray | None = None) -> None:
        expit(z, out=z)


@dataclass(frozen=True)
class Tanh(Activation):
    """tanh(z), between -1 and 1."""

    name: ClassVar[str] = "tanh"
    keeps_input: ClassVar[bool] = False

    def forward(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        return torch.tanh(z)

    def forward_(self, z: Tensor) -> Tensor:
        return torch.tanh_(z)

    def backward_(self, delta: Tensor, kept: Tensor) -> None:
        torch.ops.aten.tanh_backward.grad_input(delta, kept, grad_input=delta)

    def numpy_(self, z: np.ndarray, slope: np.ndarray | None = None) -> None:
        np.tanh(z, out=z)


@dataclass(frozen=True)
class ReLU(Activation):
    """max(0, z)."""

    name: ClassVar[str] = "relu"
    keeps_input: ClassVar[bool] = False

    def forward(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        return torch.relu(z)

    def forward_(self, z: Tensor) -> Tensor:
        return torch.relu_(z)

    def backward_(self, delta: Tensor, kept: Tensor) -> None:
        torch.ops.aten.threshold_backward.grad_input(delta, kept, 0, grad_input=delta)

    def numpy_(self, z: np.ndarray, slope: np.ndarray | None = None) -> None:
        np.maximum(z, 0, out=z)


@dataclass(frozen=True)
class LeakyReLU(Activation):
    """z above 0 and slope * z below (Maas et al. 2013).

    Parameters
    ----------
    slope : float, default=0.01
        Slope below zero, at least 0.
    """

    name: ClassVar[str] = "leaky_relu"
    keeps_input: ClassVar[bool] = False
    slope: float = 0.01

    def __post_init__(self) -> None:
        check_positive("slope", self.slope, zero=True)

    def forward(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        return functional.leaky_relu(z, self.slope)

    def forward_(self, z: Tensor) -> Tensor:
        return functional.leaky_relu_(z, self.slope)

    def backward_(self, delta: Tensor, kept: Tensor) -> None:
        backward = torch.ops.aten.leaky_relu_backward.grad_input
        backward(delta, kept, self.slope, True, grad_input=delta)

    def numpy_(self, z: np.ndarray, slope: np.ndarray | None = None) -> None:
        np.multiply(z, self.slope, out=z, where=z < 0)


@dataclass(frozen=True)
class PReLU(Activation):
    """z above 0 and slope * z below, a slope for each unit that is trained (He et al. 2015).

    Slopes are not weights: penalties and weight decay leave them alone, as the paper does,
    for decay would pull the function to a rectifier.

    Parameters
    ----------
    slope : float, default=0.25
        Slope that every unit starts from.
    """

    name: ClassVar[str] = "prelu"
    learned: ClassVar[bool] = True
    slope: float = 0.25

    def __post_init__(self) -> None:
        check_positive("slope", self.slope, zero=True)

    def forward(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        slope = z.new_full((1,), self.slope) if slope is None else slope
        return functional.prelu(z, slope.to(z.dtype))

    def numpy_(self, z: np.ndarray, slope: np.ndarray | None = None) -> None:
        np.multiply(z, self.slope if slope is None else slope, out=z, where=z < 0)


@dataclass(frozen=True)
class ELU(Activation):
    """z above 0 and alpha * (exp(z) - 1) below (Clevert et al. 2016).

    Parameters
    ----------
    alpha : float, default=1.0
        Minus the limit for z to minus infinity; greater than 0.
    """

    name: ClassVar[str] = "elu"
    keeps_input: ClassVar[bool] = False
    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_positive("alpha", self.alpha)

    def forward(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        return functional.elu(z, self.alpha)

    def forward_(self, z: Tensor) -> Tensor:
        return functional.elu_(z, self.alpha)

    def backward_(self, delta: Tensor, kept: Tensor) -> None:
        torch.ops.aten.elu_backward.grad_input(
            delta, self.alpha, 1.0, 1.0, True, kept, grad_input=delta
        )

    def numpy_(self, z: np.ndarray, slope: np.ndarray | None = None) -> None:
        _expm1_below_zero_(z, self.alpha)


@dataclass(frozen=True)
class SELU(Activation):
    """ELU scaled so that mean 0 and variance 1 are a fixed point (Klambauer et al. 2017).

    From weights of variance 1 / fan_in ("he_normal" with its gain, 1) a signal stays
    standardised without a normalisation layer.
    """

    name: ClassVar[str] = "selu"
    keeps_input: ClassVar[bool] = False

    def forward(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        return torch.selu(z)

    def forward_(self, z: Tensor) -> Tensor:
        return torch.selu_(z)

    def backward_(self, delta: Tensor, kept: Tensor) -> None:
        torch.ops.aten.elu_backward.grad_input(
            delta, SELU_ALPHA, SELU_SCALE, 1.0, True, kept, grad_input=delta
        )

    def numpy_(self, z: np.ndarray, slope: np.ndarray | None = None) -> None:
        _expm1_below_zero_(z, SELU_ALPHA)
        z *= SELU_SCALE


@dataclass(frozen=True)
class GELU(Activation):
    """z times the standard normal distribution function of z (Hendrycks and Gimpel 2016)."""

    name: ClassVar[str] = "gelu"

    def forward(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        return functional.gelu(z)

    def forward_to(self, z: Tensor, out: Tensor) -> None:
        torch.ops.aten.gelu.out(z, out=out)

    def backward_(self, delta: Tensor, kept: Tensor) -> None:
        torch.ops.aten.gelu_backward.grad_input(delta, kept, grad_input=delta)

    def numpy_(self, z: np.ndarray, slope: np.ndarray | None = None) -> None:
        z *= ndtr(z)


@dataclass(frozen=True)
class SiLU(Activation):
    """z / (1 + exp(-z)), also called swish (Ramachandran et al. 2017)."""

    name: ClassVar[str] = "silu"

    def forward(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        return functional.silu(z)

    def forward_to(self, z: Tensor, out: Tensor) -> None:
        torch.ops.aten.silu.out(z, out=out)

    def backward_(self, delta: Tensor, kept: Tensor) -> None:
        torch.ops.aten.silu_backward.grad_input(delta, kept, grad_input=delta)

    def numpy_(self, z: np.ndarray, slope: np.ndarray | None = None) -> None:
        z *= expit(z)


@dataclass(frozen=True)
class Mish(Activation):
    """z * tanh(log(1 + exp(z))) (Misra 2020)."""

    name: ClassVar[str] = "mish"

    def forward(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        return functional.mish(z)

    def forward_to(self, z: Tensor, out: Tensor) -> None:
        torch.ops.aten.mish.out(z, out=out)

    def backward_(self, delta: Tensor, kept: Tensor) -> None:
        delta.copy_(torch.ops.aten.mish_backward(delta, kept))

    def numpy_(self, z: np.ndarray, slope: np.ndarray | None = None) -> None:
        z *= np.tanh(np.logaddexp(0, z))


def _expm1_below_zero_(z: np.ndarray, alpha: float) -> None:
    """Overwrite z below zero with alpha * (exp(z) - 1)."""
    below = np.expm1(np.minimum(z, 0))
    below *= alpha
    np.copyto(z, below, where=z < 0)


def get_activation(activation: str | Activation, **options: Any) -> Activation:
    """Return the activation of that name, or the instance given, with `options` set.

    Parameters
    ----------
    activation : str or Activation
        A name of `ACTIVATIONS` or an instance.
    **options : object
        Fields to set, such as ``slope`` of "leaky_relu".

    Raises
    ------
    ValueError
        If the name or an option is not known, or an option is out of range.

    Examples
    --------
    >>> get_activation("elu", alpha=0.5)
    ELU(alpha=0.5)
    """
    return resolve("activation", activation, ACTIVATIONS, options)


ACTIVATIONS: dict[str, Activation] = {
    "identity": Identity(),
    "logistic": Logistic(),
    "tanh": Tanh(),
    "relu": ReLU(),
    "leaky_relu": LeakyReLU(),
    "prelu": PReLU(),
    "elu": ELU(),
    "selu": SELU(),
    "gelu": GELU(),
    "silu": SiLU(),
    "mish": Mish(),
}
