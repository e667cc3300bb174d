"""Optimizers of stacked replicas: which way each weight moves, before the learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
Parts = Sequence[Tensor]


class Mover(Protocol):
    """The optimizer of some replicas."""

    def moves(self, gradients: Parts, out: Parts) -> Parts:
        """Return what to add to the weights, times the learning rate; maybe in `out`."""

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


def mover(kind: Optimizer, momentum: Tensor, scratch: Parts, epsilon: Any) -> Mover:
    """Return the optimizer of some replicas.

    Parameters
    ----------
    kind : Optimizer
        What they share, see `kind_of`.
    momentum : Tensor of shape (R, 1)
        Of each replica, for gradient descent.
    scratch : sequence of Tensor
        Memory like their weights that movers may share.
    epsilon : (float, float) or None
        epsilon and beta_2 where scikit-learn's place of epsilon is meant.
    """
    if type(kind) in _VELOCITIES:
        return Velocity(momentum, nesterov=isinstance(kind, Nesterov))
    return TorchMover(kind, scratch, epsilon)


class Velocity:
    """Gradient descent with a momentum for each replica.

    Parameters
    ----------
    momentum : Tensor of shape (R, 1)
        Share of the last step that is kept.
    nesterov : bool
        Whether to look ahead.
    """

    def __init__(self, momentum: Tensor, *, nesterov: bool) -> None:
        self.momentum = momentum
        self.nesterov = nesterov
        self._plain = not bool(momentum.any())
        self._buffers: list[Tensor] = []

    def moves(self, gradients: Parts, out: Parts) -> Parts:
        """Return the steps, see `Mover`."""
        if not self._plain:
            gradients = self._velocities(gradients, out)
        return [torch.neg(g, out=o) for g, o in zip(gradients, out, strict=True)]

    def _velocities(self, gradients: Parts, out: Parts) -> Parts:
        if not self._buffers:
            self._buffers = [torch.zeros_like(g) for g in gradients]
        for buffer, g in zip(self._buffers, gradients, strict=True):
            buffer.mul_(self.momentum).add_(g)
        if not self.nesterov:
            return self._buffers
        pairs = zip(gradients, self._buffers, out, strict=True)
        return [torch.addcmul(g, buffer, self.momentum, out=o) for g, buffer, o in pairs]

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

    It moves zeros by the rate 1; the caller adds that to the weights, times their own rates.

    Parameters
    ----------
    entry : Optimizer
        Without decay.
    scratch : sequence of Tensor
        The zeros.
    epsilon : (float, float) or None
        See `mover`.
    """

    def __init__(self, entry: Optimizer, scratch: Parts, epsilon: Any) -> None:
        self._parameters = [nn.Parameter(part) for part in scratch]
        self._optimizer = entry.build(self._parameters, 1.0)
        self._epsilon = epsilon
        self._n_steps = 0

    def moves(self, gradients: Parts, out: Parts) -> Parts:
        """Return the steps, see `Mover`."""
        self._n_steps += 1
        if self._epsilon is not None:
            # As `mlfund._engine.rules.adam_epsilon` does.
            epsilon, beta_2 = self._epsilon
            value = epsilon / math.sqrt(1.0 - beta_2**self._n_steps)
            self._optimizer.param_groups[0]["eps"] = value
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.detach().zero_()
            parameter.grad = gradient
        self._optimizer.step()
        return [parameter.detach() for parameter in self._parameters]

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
