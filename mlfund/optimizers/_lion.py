"""Lion: every weight moves by the learning rate, in the direction of a momentum's sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mlfund._check import check_positive
from mlfund.optimizers._base import Optimizer, Steps, check_decay


class LionSteps(Steps):
    """The steps of `Lion`, which torch does not have.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        Parameters, or parameter groups.
    lr : float or Tensor
        Learning rate.
    betas : pair of float
        Share of the momentum in the direction of a step, and its decay.
    weight_decay : float
        Decoupled weight decay.
    """

    def __init__(
        self, params: Any, lr: float, betas: tuple[float, float], weight_decay: float
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    def move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Take a step of one parameter, in place; `group` has the options."""
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        momentum, (beta_1, beta_2) = state["momentum_buffer"], group["betas"]
        direction = gradient.lerp(momentum, beta_1).sign_()
        momentum.lerp_(gradient, 1 - beta_2)
        if group["weight_decay"]:
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
        # Not add_(alpha=-lr): the learning rate may be a tensor.
        parameter.sub_(direction.mul_(group["lr"]))


@dataclass(frozen=True)
class Lion(Optimizer):
    """Each weight moves by the learning rate, by the sign of a momentum (Chen 2023).

    Its steps are longer than Adam's at the same learning rate: take a third to a tenth
    of Adam's, and so many times its weight decay.

    Parameters
    ----------
    beta_1 : float, default=0.9
        Share of the momentum, against the present gradient, in the direction of a step.
    beta_2 : float, default=0.99
        Decay of the momentum, in [0, 1).
    weight_decay : float, default=0.0
        Share of each weight, times the learning rate, removed a step.

    References
    ----------
    Chen et al. (2023), Symbolic discovery of optimization algorithms, NeurIPS,
    arXiv 2302.06675.
    """

    name: ClassVar[str] = "lion"
    torch_class: ClassVar[type[Any]] = LionSteps
    decoupled: ClassVar[bool] = True
    beta_1: float = 0.9
    beta_2: float = 0.99
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_decay("beta_1", self.beta_1)
        check_decay("beta_2", self.beta_2)
        check_positive("weight_decay", self.weight_decay, zero=True)

    def _torch_arguments(self) -> dict[str, Any]:
        return {"betas": (self.beta_1, self.beta_2), "weight_decay": self.weight_decay}

    def _implementation(self, tensors: list[Tensor]) -> dict[str, bool]:
        return {}
