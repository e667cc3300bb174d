"""Optimizers of stacked replicas: which way each weight moves, before the learning rate."""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mlfund.optimizers import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Lion,
    Momentum,
    Nesterov,
    Optimizer,
    RMSProp,
)

# Each weight's step is the learning rate times something the rate has no part in.
_PROPORTIONAL = (Adagrad, RMSProp, Adam, AdamW, Lion)
_VELOCITIES = (SGD, Momentum, Nesterov)

# Arrays of some replicas: first layers and the rest, each with replicas first.
Parts = list[Tensor]
# One number for each replica, of shape (R, 1), or one for all.
Factor = Tensor | float


def add_scaled(target: Tensor, direction: Tensor, factor: Factor, sign: float = 1.0) -> None:
    """Add a direction, times a number for each replica and a sign, in place."""
    if isinstance(factor, Tensor):
        target.addcmul_(direction, factor, value=sign)
    else:
        target.add_(direction, alpha=sign * factor)


class Mover(Protocol):
    """The optimizer of some replicas.

    Attributes
    ----------
    adds_l2 : bool
        Whether `move` adds the gradient of an L2 penalty at no cost for a single replica.
    """

    adds_l2: bool

    def move(self, values: Parts, gradients: Parts, rates: Factor, l2: float = 0.0) -> None:
        """Take a step by learning rates, floats for a single replica.

        All parts but the last, the biases, are penalised.
        """

    def state(self) -> list[dict[str, Tensor]]:
        """Return the state for each part; what is no single number has replicas first."""

    def take(self, state: list[dict[str, Tensor]]) -> None:
        """Go on from a state."""

    def rescale(self, factors: Tensor) -> None:
        """Multiply velocities by a factor for each replica, shape (R, 1)."""


def check_stackable(entry: Optimizer) -> None:
    """Raise ValueError unless replicas of this optimizer can be stacked."""
    if type(entry) not in (*_PROPORTIONAL, *_VELOCITIES):
        names = ", ".join(kind.name for kind in (*_VELOCITIES, *_PROPORTIONAL))
        raise ValueError(
            f"optimizer={entry!r} cannot be stacked; those that can are {names}. "
            "Fit such models one by one."
        )


def kind_of(entry: Optimizer) -> Optimizer:
    """Return what must be equal among the optimizers of one stack."""
    options: dict[str, Any] = {"weight_decay": 0.0}
    if type(entry) in _VELOCITIES and isinstance(entry, Momentum):
        options["momentum"] = 0.0
    return entry.with_options(**options)


def mover(kind: Optimizer, momentum: Tensor | None, scratch: Parts, epsilon: Any) -> Mover:
    """Return the optimizer of some replicas.

    Parameters
    ----------
    kind : Optimizer
        What they share, see `kind_of`.
    momentum : Tensor of shape (R, 1) or None
        Of each replica, for gradient descent.
    scratch : list of Tensor
        Memory like their weights that movers may share.
    epsilon : (float, float) or None
        epsilon and beta_2 where scikit-learn's place of epsilon is meant.
    """
    if type(kind) in _VELOCITIES:
        return Velocity(momentum, scratch, nesterov=isinstance(kind, Nesterov))
    if isinstance(kind, Adam) and scratch[0].device.type in kind.fused_devices:
        return FusedAdam(kind, scratch, epsilon)
    return TorchMover(kind, scratch, epsilon)


class Velocity:
    """Gradient descent with a momentum for each replica.

    Parameters
    ----------
    momentum : Tensor of shape (R, 1) or None
        Share of the last step that is kept; None for none in any tile of the stack.
    scratch : list of Tensor
        See `mover`.
    nesterov : bool
        Whether to look ahead.
    """

    adds_l2 = False

    def __init__(self, momentum: Tensor | None, scratch: Parts, *, nesterov: bool) -> None:
        self.momentum = momentum
        self.nesterov = nesterov
        self._scratch = scratch
        self._buffers: list[Tensor] = []

    def move(self, values: Parts, gradients: Parts, rates: Factor, l2: float = 0.0) -> None:
        """Take a step, see `Mover`."""
        momentum = self.momentum
        directions = gradients if momentum is None else self._directions(gradients, momentum)
        for weights, direction in zip(values, directions, strict=True):
            add_scaled(weights, direction, rates, -1.0)

    def _directions(self, gradients: Parts, momentum: Tensor) -> Parts:
        if not self._buffers:
            self._buffers = [torch.zeros_like(g) for g in gradients]
        for buffer, g in zip(self._buffers, gradients, strict=True):
            buffer.mul_(momentum).add_(g)
        if not self.nesterov:
            return self._buffers
        triples = zip(gradients, self._buffers, self._scratch, strict=True)
        return [torch.addcmul(g, buffer, momentum, out=out) for g, buffer, out in triples]

    def state(self) -> list[dict[str, Tensor]]:
        """Return the velocities."""
        return [{"momentum_buffer": buffer} for buffer in self._buffers]

    def take(self, state: list[dict[str, Tensor]]) -> None:
        """Go on from a state."""
        self._buffers = [part["momentum_buffer"] for part in state]

    def rescale(self, factors: Tensor) -> None:
        """Multiply the velocities."""
        for buffer in self._buffers:
            buffer.mul_(factors)


class TorchMover:
    """Any optimizer whose step is proportional to the rate, by the engine's own torch class.

    It moves zeros by the rate 1; that times their own rates is added to the weights.

    Parameters
    ----------
    entry : Optimizer
        Without decay.
    scratch : list of Tensor
        The zeros.
    epsilon : (float, float) or None
        See `mover`.
    """

    adds_l2 = False

    def __init__(self, entry: Optimizer, scratch: Parts, epsilon: Any) -> None:
        self._parameters = [nn.Parameter(part) for part in scratch]
        self._optimizer = entry.build(self._parameters, 1.0)
        self._epsilon = epsilon
        self._n_steps = 0

    def move(self, values: Parts, gradients: Parts, rates: Factor, l2: float = 0.0) -> None:
        """Take a step, see `Mover`."""
        self._n_steps += 1
        if self._epsilon is not None:
            group = self._optimizer.param_groups[0]
            group["eps"] = sklearn_epsilon(self._epsilon, self._n_steps)
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.detach().zero_()
            parameter.grad = gradient
        self._optimizer.step()
        for weights, parameter in zip(values, self._parameters, strict=True):
            add_scaled(weights, parameter.detach(), rates)

    def state(self) -> list[dict[str, Tensor]]:
        """Return the moments."""
        found = [
            dict(self._optimizer.state[p]) for p in self._parameters if p in self._optimizer.state
        ]
        for part in found:
            part["n_steps"] = torch.tensor(self._n_steps)
        return found

    def take(self, state: list[dict[str, Tensor]]) -> None:
        """Go on from a state."""
        for parameter, given in zip(self._parameters, state, strict=False):
            part = dict(given)
            self._n_steps = int(part.pop("n_steps"))
            self._optimizer.state[parameter] = part

    def rescale(self, factors: Tensor) -> None:
        """Do nothing: scikit-learn's courses of the rate are for gradient descent."""


class FusedAdam:
    """Adam by torch's kernel alone, for which its optimizer class would take longer to prepare.

    Parameters
    ----------
    entry : Adam
        Without decay.
    scratch : list of Tensor
        See `mover`.
    epsilon : (float, float) or None
        See `mover`.
    """

    adds_l2 = True

    def __init__(self, entry: Adam, scratch: Parts, epsilon: Any) -> None:
        self._entry = entry
        self._scratch = scratch
        self._epsilon = epsilon
        self._n_steps = 0
        self._means = [torch.zeros_like(part) for part in scratch]
        self._squares = [torch.zeros_like(part) for part in scratch]
        # The kernel wants one for each array.
        self._counts = [torch.zeros((), device=scratch[0].device)] * len(scratch)

    def move(self, values: Parts, gradients: Parts, rates: Factor, l2: float = 0.0) -> None:
        """Take a step, see `Mover`."""
        self._n_steps += 1
        self._counts[0].fill_(self._n_steps)
        if not isinstance(rates, Tensor):
            self._call(values, gradients, rates, slice(0, -1), l2)
            self._call(values, gradients, rates, slice(-1, None))
            return
        # The kernel takes one rate: it moves zeros by the rate 1.
        for part in self._scratch:
            part.zero_()
        self._call(self._scratch, gradients, 1.0, slice(None))
        for weights, part in zip(values, self._scratch, strict=True):
            add_scaled(weights, part, rates)

    def _call(
        self, values: Parts, gradients: Parts, rate: float, part: slice, l2: float = 0.0
    ) -> None:
        entry, epsilon = self._entry, self._entry.epsilon
        if self._epsilon is not None:
            epsilon = sklearn_epsilon(self._epsilon, self._n_steps)
        torch._fused_adam_(
            values[part],
            gradients[part],
            self._means[part],
            self._squares[part],
            [],
            self._counts[part],
            lr=rate,
            beta1=entry.beta_1,
            beta2=entry.beta_2,
            weight_decay=l2,
            eps=epsilon,
            amsgrad=False,
            maximize=False,
        )

    def state(self) -> list[dict[str, Tensor]]:
        """Return the moments."""
        steps = torch.tensor(self._n_steps)
        pairs = zip(self._means, self._squares, strict=True)
        return [{"mean": mean, "square": square, "n_steps": steps} for mean, square in pairs]

    def take(self, state: list[dict[str, Tensor]]) -> None:
        """Go on from a state."""
        self._means = [part["mean"] for part in state]
        self._squares = [part["square"] for part in state]
        self._n_steps = int(state[0]["n_steps"])

    def rescale(self, factors: Tensor) -> None:
        """Do nothing: scikit-learn's courses of the rate are for gradient descent."""


def sklearn_epsilon(epsilon: tuple[float, float], n_steps: int) -> float:
    """Return what `mlfund._engine.rules.adam_epsilon` sets at a step, counted from 1."""
    value, beta_2 = epsilon
    return value / math.sqrt(1.0 - beta_2**n_steps)
