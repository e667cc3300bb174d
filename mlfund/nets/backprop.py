"""Forward and backward pass of an MLP without autograd, in preallocated memory.

At 50-128-2 and 784-128-10 (batch 256) this halves the time of a step against autograd
and per-layer parameters: small nets pay mostly for graph nodes and allocation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mlfund.nets.stages import gradient_of

if TYPE_CHECKING:
    from mlfund.nets.mlp import MLP

# (raw, batch) -> (objective, gradient in raw)
LossGradient = Callable[[Tensor, Any], tuple[Tensor, Tensor]]


class Backprop:
    """Compute the objective of a batch and write the gradient into ``parameter.grad``.

    Parameters
    ----------
    net : MLP
        Its parameters must have a `grad` of their own shape.
    loss_gradient : callable
        ``(raw, batch) -> (objective, gradient in raw)``.
    """

    def __init__(self, net: MLP, loss_gradient: LossGradient) -> None:
        self.net = net
        self.loss_gradient = loss_gradient
        self.weights = [w.detach() for w in net.weights]
        self.biases = [b.detach() for b in net.biases]
        self.weight_grads = [gradient_of(w) for w in net.weights]
        self.bias_grads = [gradient_of(b) for b in net.biases]
        self.stages = net.stages()
        self._outputs: list[Tensor] = []
        self._deltas: list[Tensor] = []

    @torch.no_grad()
    def __call__(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return the objective (a scalar tensor) and the raw scores of a batch."""
        X = batch[0]
        self._reserve(X)
        inputs = self._forward(X, self._shares(batch))
        objective, delta = self.loss_gradient(inputs[-1], batch)
        self._backward(inputs, delta)
        return objective, inputs[-1]

    def _shares(self, batch: Any) -> Tensor | None:
        """Return the weights of the rows, scaled to sum 1, where a stage heeds them."""
        if not self.net.takes_weight or batch.weight is None:
            return None
        return batch.weight / batch.total

    def _reserve(self, X: Tensor) -> None:
        rows = X.shape[0]
        if self._outputs and self._outputs[0].shape[0] >= rows:
            return
        widths = [bias.shape[0] for bias in self.biases]
        self._outputs = [X.new_empty((rows, width)) for width in widths]
        self._deltas = [X.new_empty((rows, width)) for width in widths[:-1]]

    def _forward(self, X: Tensor, shares: Tensor | None) -> list[Tensor]:
        """Return the input of every layer, the raw scores last."""
        rows, last = X.shape[0], len(self.weights) - 1
        inputs: list[Tensor] = [X]
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            z = self._outputs[layer][:rows]
            torch.addmm(bias, inputs[-1], weight, out=z)
            if layer < last:
                for stage in self.stages[layer]:
                    z = stage.forward(z, shares)
            inputs.append(z)
        return inputs

    def _backward(self, inputs: list[Tensor], delta: Tensor) -> None:
        rows = delta.shape[0]
        for layer in range(len(self.weights) - 1, -1, -1):
            weight_grad, bias_grad = self.weight_grads[layer], self.bias_grads[layer]
            if weight_grad is not None:
                self._weight_gradient(layer, inputs[layer], delta, weight_grad)
            if bias_grad is not None:
                torch.sum(delta, 0, dtype=bias_grad.dtype, out=bias_grad)
            if layer == 0:
                return
            below = self._deltas[layer - 1][:rows]
            torch.mm(delta, self.weights[layer].t(), out=below)
            for stage in reversed(self.stages[layer - 1]):
                below = stage.backward(below)
            delta = below

    def _weight_gradient(self, layer: int, below: Tensor, delta: Tensor, out: Tensor) -> None:
        torch.mm(below.t(), delta, out=out)
