"""What stands between two products of a net: forward and backward without autograd.

A stage keeps what its backward pass needs, in memory of its own that grows to the largest
batch seen. It never writes to the output of the stage before it where that stage keeps it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from mlfund.nets.activations import Activation


class Stage(Protocol):
    """One step of a hidden layer after its product."""

    def forward(self, z: Tensor, shares: Tensor | None) -> Tensor:
        """Return the output for `z`, shape (rows, units); may overwrite `z`.

        Parameters
        ----------
        z : Tensor of shape (rows, units)
        shares : Tensor of shape (rows,) or None
            Weights of the rows, their sum 1; None counts all rows alike.
        """

    def backward(self, delta: Tensor) -> Tensor:
        """Return the gradient in the input from that in the output; may overwrite `delta`."""


def gradient_of(parameter: Tensor) -> Tensor | None:
    """Return where the gradient of a parameter goes; None for a frozen one."""
    return parameter.grad if parameter.requires_grad else None


class Scratch:
    """Memory like a given batch, kept between calls."""

    def __init__(self) -> None:
        self._block: Tensor | None = None

    def like(self, z: Tensor) -> Tensor:
        """Return uninitialised memory of the shape and kind of `z`."""
        rows = z.shape[0]
        if self._block is None or self._block.shape[0] < rows:
            self._block = torch.empty_like(z)
        return self._block[:rows]


class OutputActivation:
    """An activation in place, whose derivative is a function of its output."""

    def __init__(self, activation: Activation) -> None:
        self._forward_ = activation.forward_
        self._backward_ = activation.backward_

    def forward(self, z: Tensor, shares: Tensor | None) -> Tensor:
        """Overwrite `z`."""
        self._output = self._forward_(z)
        return self._output

    def backward(self, delta: Tensor) -> Tensor:
        """Overwrite `delta`."""
        self._backward_(delta, self._output)
        return delta


class InputActivation:
    """An activation that keeps its input for the derivative."""

    def __init__(self, activation: Activation) -> None:
        self._activation = activation
        self._scratch = Scratch()

    def forward(self, z: Tensor, shares: Tensor | None) -> Tensor:
        """Keep `z`; return memory of its own."""
        self._input = z
        out = self._scratch.like(z)
        self._activation.forward_to(z, out)
        return out

    def backward(self, delta: Tensor) -> Tensor:
        """Overwrite `delta`."""
        self._activation.backward_(delta, self._input)
        return delta


class LearnedActivation:
    """PReLU: its slopes have a gradient of their own."""

    def __init__(self, activation: Activation, slope: Tensor) -> None:
        self._activation = activation
        self._slope = slope.detach()
        self._slope_grad = gradient_of(slope)
        self._below, self._factor = Scratch(), Scratch()

    def forward(self, z: Tensor, shares: Tensor | None) -> Tensor:
        """Keep `z`; return new memory."""
        self._input = z
        return self._activation.forward(z, self._slope)

    def backward(self, delta: Tensor) -> Tensor:
        """Write the gradient of the slopes; overwrite `delta`."""
        below = torch.clamp(self._input, max=0.0, out=self._below.like(delta))
        if self._slope_grad is not None:
            product = torch.mul(delta, below, out=self._factor.like(delta))
            self._slope_grad.copy_(product.sum(0))
        return delta.mul_(torch.where(self._input > 0, 1.0, self._slope.to(delta.dtype)))


class Dropout:
    """Inverted dropout with a new mask for each batch.

    Parameters
    ----------
    draw_mask : callable
        Returns the mask for a batch, or None for none (outside training).
    """

    def __init__(self, draw_mask: Callable[[Tensor], Tensor | None]) -> None:
        self._draw_mask = draw_mask
        self._mask: Tensor | None = None

    def forward(self, z: Tensor, shares: Tensor | None) -> Tensor:
        """Return new memory: the stage before may keep `z`."""
        self._mask = self._draw_mask(z)
        return z if self._mask is None else z * self._mask

    def backward(self, delta: Tensor) -> Tensor:
        """Overwrite `delta`."""
        return delta if self._mask is None else delta.mul_(self._mask)


def activation_stage(activation: Activation, slope: Tensor | None = None) -> Stage:
    """Return the cheapest stage that an activation allows; `slope` if it is learned."""
    if slope is not None:
        return LearnedActivation(activation, slope)
    return (InputActivation if activation.keeps_input else OutputActivation)(activation)
