"""Activation functions of hidden layers: forward, derivative from the output, numpy twin.

Each entry can compute in place, so that a training step needs no memory of its own,
and its derivative is a function of its output, so that the input need not be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor

from mlfund._check import check_choice


@dataclass(frozen=True)
class Activation:
    """One elementwise activation function.

    Parameters
    ----------
    name : str
        Key in `ACTIVATIONS`.
    forward : callable
        Differentiable ``Tensor -> Tensor`` of the same shape.
    forward_ : callable
        The same, in place, outside autograd.
    backward_ : callable
        ``(delta, output) -> None``: multiplies `delta` in place by the derivative,
        which is computed from the activation's output.
    numpy_ : callable
        In place on a numpy array; used by `predict`.
    """

    name: str
    forward: Callable[[Tensor], Tensor]
    forward_: Callable[[Tensor], Tensor]
    backward_: Callable[[Tensor, Tensor], object]
    numpy_: Callable[[np.ndarray], object]


def _identity(z: Tensor) -> Tensor:
    return z


def _leave(*_: object) -> None:
    """Do nothing: the derivative of the identity is one."""


def _relu_backward_(delta: Tensor, output: Tensor) -> object:
    return torch.ops.aten.threshold_backward.grad_input(delta, output, 0, grad_input=delta)


def _logistic_backward_(delta: Tensor, output: Tensor) -> object:
    return torch.ops.aten.sigmoid_backward.grad_input(delta, output, grad_input=delta)


def _tanh_backward_(delta: Tensor, output: Tensor) -> object:
    return torch.ops.aten.tanh_backward.grad_input(delta, output, grad_input=delta)


def _relu_numpy_(z: np.ndarray) -> object:
    return np.maximum(z, 0, out=z)


def _logistic_numpy_(z: np.ndarray) -> object:
    return expit(z, out=z)


def _tanh_numpy_(z: np.ndarray) -> object:
    return np.tanh(z, out=z)


ACTIVATIONS: dict[str, Activation] = {
    entry.name: entry
    for entry in (
        Activation("identity", _identity, _identity, _leave, _leave),
        Activation(
            "logistic", torch.sigmoid, torch.sigmoid_, _logistic_backward_, _logistic_numpy_
        ),
        Activation("tanh", torch.tanh, torch.tanh_, _tanh_backward_, _tanh_numpy_),
        Activation("relu", torch.relu, torch.relu_, _relu_backward_, _relu_numpy_),
    )
}


def get_activation(activation: str | Activation) -> Activation:
    """Return the entry that `activation` names, or `activation` itself if it is one."""
    if isinstance(activation, Activation):
        return activation
    return ACTIVATIONS[check_choice("activation", activation, ACTIVATIONS)]
