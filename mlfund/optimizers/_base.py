"""What every optimizer entry is: it builds a torch optimizer, and says how it decays."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mlfund._check import check_positive
from mlfund._entries import Entry, with_options

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
    decoupled : bool
        Whether `weight_decay` shrinks the weights themselves, by the share
        ``learning_rate * weight_decay`` a step, instead of adding to the gradient.
    per_matrix : bool
        Whether weight matrices must come as they are, of shape (units, inputs): the step
        of a weight depends on the rest of its matrix. The others take one flat vector of
        all weights just as well.
    """

    torch_class: ClassVar[type[Any]]
    fused_devices: ClassVar[frozenset[str]] = _FUSED_DEVICES
    decoupled: ClassVar[bool] = False
    per_matrix: ClassVar[bool] = False

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
        entry = self.with_options(**options)
        check_positive("learning_rate", learning_rate, zero=True)
        return entry._built([_listed(group) for group in params], learning_rate)

    def with_options(self, **options: Any) -> Optimizer:
        """Return this entry with some of its options set, as `get_optimizer` does."""
        return with_options("optimizer", self, options)

    def _built(self, groups: list[Any], learning_rate: float) -> torch.optim.Optimizer:
        arguments = self._torch_arguments() | self._implementation(_tensors(groups))
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
    """Set the learning rate of every parameter group, times its `multiplier` if it has one.

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
    >>> import torch
    >>> from mlfund.optimizers import get_optimizer
    >>> w = torch.nn.Parameter(torch.zeros(2))
    >>> optimizer = get_optimizer("sgd").build([w], learning_rate=0.1)
    >>> set_learning_rate(optimizer, 0.05)
    >>> optimizer.param_groups[0]["lr"]
    0.05
    """
    for group in optimizer.param_groups:
        rate = learning_rate * group.get("multiplier", 1.0)
        if keep_velocity and rate > 0 and group["lr"] != rate:
            _rescale_buffers(optimizer, group, group["lr"] / rate)
        group["lr"] = rate


def learning_rate_of(optimizer: torch.optim.Optimizer) -> float:
    """Return the learning rate that `set_learning_rate` set.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Groups with a `multiplier` have the learning rate times it.

    Examples
    --------
    >>> import torch
    >>> from mlfund.optimizers import get_optimizer
    >>> body, head = torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(1))
    >>> groups = [{"params": [body], "lr": 0.005, "multiplier": 0.5}, {"params": [head]}]
    >>> learning_rate_of(get_optimizer("sgd").build(groups, learning_rate=0.01))
    0.01
    """
    # The one with the largest multiplier: those of others may be 0.
    group = max(optimizer.param_groups, key=lambda group: group.get("multiplier", 1.0))
    return float(group["lr"]) / group.get("multiplier", 1.0)


@torch.no_grad()
def _rescale_buffers(
    optimizer: torch.optim.Optimizer, group: dict[str, Any], factor: float
) -> None:
    for parameter in group["params"]:
        buffer = optimizer.state[parameter].get("momentum_buffer")
        if buffer is not None:
            buffer.mul_(factor)


class Steps(torch.optim.Optimizer):
    """Base of the torch optimizers that are written here: a rule for one parameter."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step along the gradients; return what `closure` returns, if one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.move(parameter, parameter.grad, group)
        return loss

    @abstractmethod
    def move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Take a step of one parameter, in place; `group` has the options."""


def check_decay(name: str, value: float) -> None:
    """Refuse a rate of decay of a running mean outside [0, 1)."""
    if check_positive(name, value, zero=True) >= 1:
        raise ValueError(f"{name} must be at least 0 and less than 1; got {value!r}.")
