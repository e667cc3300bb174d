"""Forward and backward pass of an MLP without autograd, in preallocated memory.

At 50-128-2 and 784-128-10 (batch 256) this halves the time of a step against autograd
and per-layer parameters: small nets pay mostly for graph nodes and allocation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

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
        self.weight_grads = [w.grad for w in net.weights]
        self.bias_grads = [b.grad for b in net.biases]
        self.activation = net.activation
        self.has_dropout = any(net.dropout)
        self._outputs: list[Tensor] = []
        self._deltas: list[Tensor] = []

    @torch.no_grad()
    def __call__(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return the objective (a scalar tensor) and the raw scores of a batch."""
        X = batch[0]
        self._reserve(X)
        inputs, masks = self._forward(X)
        objective, delta = self.loss_gradient(inputs[-1], batch)
        self._backward(inputs, masks, delta)
        return objective, inputs[-1]

    def _reserve(self, X: Tensor) -> None:
        rows = X.shape[0]
        if self._outputs and self._outputs[0].shape[0] >= rows:
            return
        widths = [bias.shape[0] for bias in self.biases]
        self._outputs = [X.new_empty((rows, width)) for width in widths]
        self._deltas = [X.new_empty((rows, width)) for width in widths[:-1]]

    def _forward(self, X: Tensor) -> tuple[list[Tensor], list[Tensor | None]]:
        """Return the input of every layer, the raw scores last, and the dropout masks."""
        rows, last = X.shape[0], len(self.weights) - 1
        inputs: list[Tensor] = [X]
        masks: list[Tensor | None] = []
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            z = self._outputs[layer][:rows]
            torch.addmm(bias, inputs[-1], weight, out=z)
            if layer < last:
                self.activation.forward_(z)
                mask = self.net.keep_mask(z, layer) if self.has_dropout else None
                masks.append(mask)
                # z itself is kept: the derivative needs the activation's own output.
                inputs.append(z if mask is None else z * mask)
            else:
                inputs.append(z)
        return inputs, masks

    def _backward(self, inputs: list[Tensor], masks: list[Tensor | None], delta: Tensor) -> None:
        rows = delta.shape[0]
        for layer in range(len(self.weights) - 1, -1, -1):
            torch.mm(inputs[layer].t(), delta, out=self.weight_grads[layer])
            torch.sum(delta, 0, out=self.bias_grads[layer])
            if layer == 0:
                return
            below = self._deltas[layer - 1][:rows]
            torch.mm(delta, self.weights[layer].t(), out=below)
            mask = masks[layer - 1]
            if mask is not None:
                below *= mask
            self.activation.backward_(below, self._outputs[layer - 1][:rows])
            delta = below
