"""Muon: matrices move along their momentum made orthogonal; the rest takes Adam's steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mlfund._check import check_positive
from mlfund.optimizers._base import Optimizer, Steps, check_decay

# Coefficients of the quintic that drives singular values towards 1, steep at 0 (Jordan).
_QUINTIC = (3.4445, -4.7750, 2.0315)
_SMALLEST_NORM = 1e-7
# Root mean square of an update of Adam's, which matrices are scaled to (Liu et al. 2025).
_ADAM_RMS = 0.2


def orthogonalised(matrix: Tensor, n_iterations: int) -> Tensor:
    """Return U V' for a matrix U S V', about: singular values end between 0.7 and 1.2.

    Parameters
    ----------
    matrix : Tensor of shape (rows, columns)
        Computed in its dtype, float32 on a GPU in bfloat16, as the reference does.
    n_iterations : int
        Newton-Schulz iterations.

    Returns
    -------
    Tensor of shape (rows, columns)
        New memory.
    """
    a, b, c = _QUINTIC
    in_bf16 = matrix.is_cuda and matrix.dtype == torch.float32
    X = matrix.bfloat16() if in_bf16 else matrix
    # Products of the shorter side are the cheaper ones.
    wide = len(X) <= X.shape[1]
    X = X if wide else X.T
    X = X / X.norm().clamp(min=_SMALLEST_NORM)
    for _ in range(n_iterations):
        gram = X @ X.T
        X = torch.addmm(X, torch.addmm(gram, gram, gram, beta=b, alpha=c), X, beta=a)
    return (X if wide else X.T).to(matrix.dtype)


class MuonSteps(Steps):
    """The steps of `Muon`; parameters of two axes or more are matrices.

    torch.optim.Muon takes matrices only, and computes in bfloat16 on every device.

    Parameters
    ----------
    params : iterable of Tensor or of dict
        Parameters, or parameter groups.
    lr : float or Tensor
        Learning rate.
    momentum, weight_decay, n_iterations : float, float, int
        Of the matrices.
    betas, eps : pair of float, float
        Of the rest, as Adam's.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        momentum: float,
        weight_decay: float,
        n_iterations: int,
        betas: tuple[float, float],
        eps: float,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "n_iterations": n_iterations,
            "betas": betas,
            "eps": eps,
        }
        super().__init__(params, defaults)

    def move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Take a step of one parameter, in place; `group` has the options."""
        move = self._move_matrix if parameter.ndim >= 2 else self._move_vector
        move(parameter, gradient, group)

    def _move_matrix(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, rate = self.state[parameter], group["lr"]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        momentum = state["momentum_buffer"]
        momentum.lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(momentum, group["momentum"]).flatten(1)
        update = orthogonalised(ahead, group["n_iterations"])
        if group["weight_decay"]:
            parameter.mul_(1 - rate * group["weight_decay"])
        update.mul_(rate * _ADAM_RMS * math.sqrt(max(ahead.shape)))
        parameter.sub_(update.view_as(parameter))

    def _move_vector(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, (beta_1, beta_2) = self.state[parameter], group["betas"]
        if not state:
            # Tensors, so that a captured graph counts its steps.
            state["step"] = torch.zeros((), device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        state["step"] += 1
        mean.lerp_(gradient, 1 - beta_1)
        square.lerp_(gradient.square(), 1 - beta_2)
        step = state["step"].double() if parameter.dtype == torch.float64 else state["step"]
        spread = (square / (1 - beta_2**step)).sqrt_().add_(group["eps"])
        parameter.sub_(mean * (group["lr"] / (1 - beta_1**step)) / spread)


@dataclass(frozen=True)
class Muon(Optimizer):
    """Momentum of each matrix made orthogonal; Adam for biases and other vectors.

    All directions of a matrix's update have about the same length, the rare ones too.
    Updates are scaled to the size that Adam's have late in a training, so that learning
    rates for Adam are a safe start; short trainings want up to ten times them.

    Parameters
    ----------
    momentum : float, default=0.95
        Decay of the (Nesterov) momentum of matrices, in [0, 1).
    n_iterations : int, default=5
        Newton-Schulz iterations that make it orthogonal.
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decay of the first and the second moment of vectors, in [0, 1).
    epsilon : float, default=1e-8
        Added to the denominator for vectors.
    weight_decay : float, default=0.0
        Share of each matrix, times the learning rate, removed a step. Vectors do not decay.

    Notes
    -----
    The iterations on a layer of m x m weights are as many operations as the gradient of
    5 m rows: on a CPU Muon suits narrow layers or large batches.

    References
    ----------
    Jordan et al. (2024), Muon: an optimizer for hidden layers in neural networks,
    https://kellerjordan.github.io/posts/muon.

    Liu et al. (2025), Muon is scalable for LLM training, arXiv 2502.16982 (the scale).
    """

    name: ClassVar[str] = "muon"
    torch_class: ClassVar[type[Any]] = MuonSteps
    decoupled: ClassVar[bool] = True
    per_matrix: ClassVar[bool] = True
    momentum: float = 0.95
    n_iterations: int = 5
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_decay("momentum", self.momentum)
        check_positive("n_iterations", self.n_iterations, integer=True)
        check_decay("beta_1", self.beta_1)
        check_decay("beta_2", self.beta_2)
        check_positive("epsilon", self.epsilon)
        check_positive("weight_decay", self.weight_decay, zero=True)

    def _torch_arguments(self) -> dict[str, Any]:
        return {
            "momentum": self.momentum,
            "weight_decay": self.weight_decay,
            "n_iterations": self.n_iterations,
            "betas": (self.beta_1, self.beta_2),
            "eps": self.epsilon,
        }

    def _implementation(self, tensors: list[Tensor]) -> dict[str, bool]:
        return {}
