"""The optimizers that torch has built in, under scikit-learn's names for their options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from mlfund._check import check_positive
from mlfund.optimizers._base import Optimizer, check_decay


@dataclass(frozen=True)
class SGD(Optimizer):
    """Plain stochastic gradient descent.

    Parameters
    ----------
    weight_decay : float, default=0.0
        L2 penalty added to the gradient.
    """

    name: ClassVar[str] = "sgd"
    torch_class: ClassVar[type[Any]] = torch.optim.SGD
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_positive("weight_decay", self.weight_decay, zero=True)

    def _torch_arguments(self) -> dict[str, Any]:
        return {"weight_decay": self.weight_decay}


@dataclass(frozen=True)
class Momentum(SGD):
    """Gradient descent with heavy-ball momentum (Polyak 1964).

    Parameters
    ----------
    weight_decay : float, default=0.0
        L2 penalty added to the gradient.
    momentum : float, default=0.9
        Share of the last step that is kept, in [0, 1].
    """

    name: ClassVar[str] = "momentum"
    momentum: float = 0.9
    nesterov: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if check_positive("momentum", self.momentum, zero=True) > 1:
            raise ValueError(f"momentum must lie between 0 and 1; got {self.momentum!r}.")

    def _torch_arguments(self) -> dict[str, Any]:
        # torch refuses nesterov without momentum, where the two are the same.
        nesterov = self.nesterov and self.momentum > 0
        return super()._torch_arguments() | {"momentum": self.momentum, "nesterov": nesterov}


@dataclass(frozen=True)
class Nesterov(Momentum):
    """Gradient descent with Nesterov's look-ahead momentum.

    torch and scikit-learn take the same steps while the learning rate is constant;
    `set_learning_rate` says what happens when it changes.

    Parameters
    ----------
    weight_decay : float, default=0.0
        L2 penalty added to the gradient.
    momentum : float, default=0.9
        Share of the last step that is kept, in [0, 1].
    """

    name: ClassVar[str] = "nesterov"
    nesterov: ClassVar[bool] = True


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Each weight's step shrinks with the sum of its squared gradients (Duchi 2011).

    Parameters
    ----------
    epsilon : float, default=1e-10
        Added to the denominator.
    weight_decay : float, default=0.0
        L2 penalty added to the gradient.
    """

    name: ClassVar[str] = "adagrad"
    torch_class: ClassVar[type[Any]] = torch.optim.Adagrad
    # Measured on the CPU; elsewhere foreach, which every supported torch has.
    fused_devices: ClassVar[frozenset[str]] = frozenset({"cpu"})
    epsilon: float = 1e-10
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_positive("epsilon", self.epsilon)
        check_positive("weight_decay", self.weight_decay, zero=True)

    def _torch_arguments(self) -> dict[str, Any]:
        return {"eps": self.epsilon, "weight_decay": self.weight_decay}


@dataclass(frozen=True)
class RMSProp(Optimizer):
    """Each weight's step is divided by a running root mean square of its gradients.

    Parameters
    ----------
    beta_2 : float, default=0.99
        Decay of the mean square, in [0, 1).
    epsilon : float, default=1e-8
        Added to the denominator.
    momentum : float, default=0.0
        Share of the last step that is kept, in [0, 1).
    weight_decay : float, default=0.0
        L2 penalty added to the gradient.
    """

    name: ClassVar[str] = "rmsprop"
    torch_class: ClassVar[type[Any]] = torch.optim.RMSprop
    fused_devices: ClassVar[frozenset[str]] = frozenset()
    beta_2: float = 0.99
    epsilon: float = 1e-8
    momentum: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_decay("beta_2", self.beta_2)
        check_decay("momentum", self.momentum)
        check_positive("epsilon", self.epsilon)
        check_positive("weight_decay", self.weight_decay, zero=True)

    def _torch_arguments(self) -> dict[str, Any]:
        return {
            "alpha": self.beta_2,
            "eps": self.epsilon,
            "momentum": self.momentum,
            "weight_decay": self.weight_decay,
        }


@dataclass(frozen=True)
class Adam(Optimizer):
    """Momentum and a running mean square, both corrected for their start (Kingma 2015).

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decay of the first and the second moment, in [0, 1).
    epsilon : float, default=1e-8
        Added to the denominator.
    weight_decay : float, default=0.0
        L2 penalty added to the gradient.

    Notes
    -----
    scikit-learn adds epsilon before it corrects the second moment, torch after: there
    epsilon acts as epsilon / sqrt(1 - beta_2^t), 32 times larger at the first step.
    For gradients around 1 the paths differ by 4e-7 over 50 steps of 0.05; the places
    only matter where gradients are about as small as epsilon.
    """

    name: ClassVar[str] = "adam"
    torch_class: ClassVar[type[Any]] = torch.optim.Adam
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_decay("beta_1", self.beta_1)
        check_decay("beta_2", self.beta_2)
        check_positive("epsilon", self.epsilon)
        check_positive("weight_decay", self.weight_decay, zero=True)

    def _torch_arguments(self) -> dict[str, Any]:
        return {
            "betas": (self.beta_1, self.beta_2),
            "eps": self.epsilon,
            "weight_decay": self.weight_decay,
        }


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam whose weight decay acts on the weights, not the gradient (Loshchilov 2019).

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decay of the first and the second moment, in [0, 1).
    epsilon : float, default=1e-8
        Added to the denominator.
    weight_decay : float, default=0.01
        Share of each weight, times the learning rate, removed a step.
    """

    name: ClassVar[str] = "adamw"
    torch_class: ClassVar[type[Any]] = torch.optim.AdamW
    decoupled: ClassVar[bool] = True
    weight_decay: float = 0.01
