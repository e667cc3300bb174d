"""Optimizers: how a gradient becomes a step.

Each entry builds the torch optimizer of that name, in the implementation that is
fastest for the device, from scikit-learn's parameter names (``momentum``, ``beta_1``,
``beta_2``, ``epsilon``).

Examples
--------
>>> import torch
>>> from mlfund.optimizers import get_optimizer
>>> w = torch.nn.Parameter(torch.zeros(3))
>>> optimizer = get_optimizer("adam", beta_1=0.8).build([w], learning_rate=0.01)
>>> optimizer.param_groups[0]["betas"]
(0.8, 0.999)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mlfund._check import check_positive
from mlfund._entries import Entry, resolve

# Microseconds a step for a net 100-100-100-10 (21,210 weights), one thread, torch
# 2.13 on a 2-core x86 CPU, median of 15 x 100 steps:
#                 fused   foreach   one by one
#     sgd            54        61           53
#     nesterov       68       138          165
#     adagrad       117       271          247
#     rmsprop         -       253          289
#     adam          139       352          400
#     adamw         140       385          459
# So fused wherever torch has it; foreach is the best of the rest.
_FUSED_DEVICES = frozenset({"cpu", "cuda", "mps"})


@dataclass(frozen=True)
class Optimizer(Entry):
    """A rule that turns gradients into steps; subclasses say which.

    Attributes
    ----------
    name : str
        The name in `OPTIMIZERS`.
    torch_class : type
        The class of torch.optim that is built.
    fused_devices : frozenset of str
        Types of device on which torch runs the whole step as one kernel.
    """

    torch_class: ClassVar[type[Any]]
    fused_devices: ClassVar[frozenset[str]] = _FUSED_DEVICES

    def build(
        self, params: Iterable[Any], learning_rate: float, **options: Any
    ) -> torch.optim.Optimizer:
        """Return the torch optimizer for `params`.

        Parameters
        ----------
        params : iterable of Tensor, or of dict
            Parameters, or parameter groups as torch takes them.
        learning_rate : float
            Base step size >= 0.
        **options : object
            Fields of this entry to set, as for `get_optimizer`.

        Raises
        ------
        ValueError
            If an option is not known or out of range.
        """
        entry = get_optimizer(self, **options)
        check_positive("learning_rate", learning_rate, zero=True)
        groups = [_listed(group) for group in params]
        arguments = entry._torch_arguments() | self._implementation(_tensors(groups))
        built: torch.optim.Optimizer = self.torch_class(groups, lr=learning_rate, **arguments)
        return built

    def _torch_arguments(self) -> dict[str, Any]:
        return {}

    def _implementation(self, tensors: list[Tensor]) -> dict[str, bool]:
        fused = all(t.device.type in self.fused_devices and t.is_floating_point() for t in tensors)
        return {"fused": True} if fused else {"foreach": True}


def _listed(group: Any) -> Any:
    """Return a parameter or a group; a group's generator of parameters becomes a list."""
    if isinstance(group, dict) and not isinstance(group["params"], Tensor):
        return {**group, "params": list(group["params"])}
    return group


def _tensors(groups: list[Any]) -> list[Tensor]:
    """List the tensors of parameters given plainly or in groups."""
    tensors: list[Tensor] = []
    for group in groups:
        members = group["params"] if isinstance(group, dict) else group
        tensors += [members] if isinstance(members, Tensor) else members
    return tensors


def set_learning_rate(
    optimizer: torch.optim.Optimizer, learning_rate: float, *, keep_velocity: bool = False
) -> None:
    """Set the learning rate of every parameter group.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Changed in place.
    learning_rate : float
        New step size >= 0.
    keep_velocity : bool, default=False
        What a momentum means across the change. torch stores a sum of gradients and
        multiplies it by the *present* rate; scikit-learn stores a velocity, so past
        gradients keep the rate they came with. Both agree while the rate is constant.
        True rescales torch's buffers and gives scikit-learn's steps.

    Examples
    --------
    >>> w = torch.nn.Parameter(torch.zeros(2))
    >>> optimizer = get_optimizer("sgd").build([w], learning_rate=0.1)
    >>> set_learning_rate(optimizer, 0.05)
    >>> optimizer.param_groups[0]["lr"]
    0.05
    """
    for group in optimizer.param_groups:
        if keep_velocity and learning_rate > 0 and group["lr"] != learning_rate:
            _rescale_buffers(optimizer, group, group["lr"] / learning_rate)
        group["lr"] = learning_rate


@torch.no_grad()
def _rescale_buffers(
    optimizer: torch.optim.Optimizer, group: dict[str, Any], factor: float
) -> None:
    for parameter in group["params"]:
        buffer = optimizer.state[parameter].get("momentum_buffer")
        if buffer is not None:
            buffer.mul_(factor)


def _check_decay(name: str, value: float) -> None:
    if check_positive(name, value, zero=True) >= 1:
        raise ValueError(f"{name} must be at least 0 and less than 1; got {value!r}.")


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
        _check_decay("beta_2", self.beta_2)
        _check_decay("momentum", self.momentum)
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
        _check_decay("beta_1", self.beta_1)
        _check_decay("beta_2", self.beta_2)
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
    weight_decay: float = 0.01


def get_optimizer(optimizer: str | Optimizer, **options: Any) -> Optimizer:
    """Return the optimizer of that name, or the instance given, with `options` set.

    Parameters
    ----------
    optimizer : str or Optimizer
        A name of `OPTIMIZERS` or an instance.
    **options : object
        Fields to set, such as ``momentum`` or ``beta_1``.

    Raises
    ------
    ValueError
        If the name or an option is not known, or an option is out of range.

    Examples
    --------
    >>> get_optimizer("momentum", momentum=0.8)
    Momentum(weight_decay=0.0, momentum=0.8)
    """
    return resolve("optimizer", optimizer, OPTIMIZERS, options)


OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": SGD(),
    "momentum": Momentum(),
    "nesterov": Nesterov(),
    "adagrad": Adagrad(),
    "rmsprop": RMSProp(),
    "adam": Adam(),
    "adamw": AdamW(),
}
