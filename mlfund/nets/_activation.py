"""What every activation function is: forward, derivative, numpy twin, gain."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mlfund._entries import Entry
from mlfund.initializers import gain_of_function


@dataclass(frozen=True)
class Activation(Entry, ABC):
    """One elementwise activation function; subclasses say which.

    A subclass of your own defines `forward` and `numpy_`; the backward pass is then
    autograd's. `forward_` and `backward_` are for functions that can do better.

    Attributes
    ----------
    name : str
        The name in `ACTIVATIONS`.
    keeps_input : bool
        Whether `backward_` needs the input of the function; else it gets the output,
        and `forward_` overwrites the input.
    learned : bool
        Whether each unit has a slope below zero that is trained, as PReLU's.
    """

    keeps_input: ClassVar[bool] = True
    learned: ClassVar[bool] = False

    @property
    def gain(self) -> float:
        """Return the factor that restores the size of a standard normal signal.

        With weights of variance ``gain**2 / fan_in`` the inputs of the next layer are as
        large as those of this one.
        """
        return gain_of_function(self.numpy_)

    @abstractmethod
    def forward(self, z: Tensor, slope: Tensor | None = None) -> Tensor:
        """Return the function of `z`, differentiable, of its shape.

        Parameters
        ----------
        z : Tensor of shape (n, units)
        slope : Tensor of shape (units,), optional
            The slopes of a `learned` function.
        """

    def forward_(self, z: Tensor) -> Tensor:
        """Overwrite `z` with the function of it, outside autograd; return `z`."""
        return z.copy_(self.forward(z))

    def forward_to(self, z: Tensor, out: Tensor) -> None:
        """Write the function of `z` into `out`, outside autograd."""
        out.copy_(self.forward(z))

    def backward_(self, delta: Tensor, kept: Tensor) -> None:
        """Multiply `delta` in place by the derivative.

        Parameters
        ----------
        delta : Tensor
            Gradient in the output.
        kept : Tensor of the same shape
            The input if `keeps_input`, else the output.
        """
        z = kept.detach().requires_grad_()
        with torch.enable_grad():
            value = self.forward(z)
        delta.copy_(torch.autograd.grad(value, z, delta)[0])

    @abstractmethod
    def numpy_(self, z: np.ndarray, slope: np.ndarray | None = None) -> None:
        """Overwrite the numpy array `z`, float32 or float64, with the function of it."""
