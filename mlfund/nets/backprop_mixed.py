"""The pass of `mlfund.nets.backprop` with products of lower precision.

Master weights, raw scores, loss and gradients stay in the parameters' own dtype, as under
autocast; what multiplies is rounded once a step into memory that is kept, where autocast
allocates, and autograd remembers, each copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mlfund.nets.backprop import Backprop, LossGradient

if TYPE_CHECKING:
    from mlfund.nets.mlp import MLP


class MixedBackprop(Backprop):
    """`Backprop` whose matrix products and hidden layers are in `dtype`.

    Parameters
    ----------
    net : MLP
        Its parameters must have a `grad` of their own shape.
    loss_gradient : callable
        ``(raw, batch) -> (objective, gradient in raw)``, in the parameters' dtype.
    dtype : torch.dtype
        That of the products, such as `torch.bfloat16`.
    """

    def __init__(self, net: MLP, loss_gradient: LossGradient, dtype: torch.dtype) -> None:
        super().__init__(net, loss_gradient)
        self.dtype = dtype
        self.masters = [*self.weights, *self.biases]
        self.weights = [w.to(dtype) for w in self.weights]
        self.biases = [b.to(dtype) for b in self.biases]
        self.rounded = [*self.weights, *self.biases]
        self.products = [torch.empty_like(w) for w in self.weights]

    def _reserve(self, X: Tensor) -> None:
        rows = X.shape[0]
        if self._outputs and self._outputs[0].shape[0] >= rows:
            return
        super()._reserve(X.new_empty(X.shape, dtype=self.dtype))
        width = self.biases[-1].shape[0]
        self._input = X.new_empty(X.shape, dtype=self.dtype)
        self._raw = self.masters[-1].new_empty((rows, width))
        self._raw_delta = X.new_empty((rows, width), dtype=self.dtype)

    def _forward(self, X: Tensor, shares: Tensor | None) -> list[Tensor]:
        for master, rounded in zip(self.masters, self.rounded, strict=True):
            rounded.copy_(master)
        rows = X.shape[0]
        inputs = super()._forward(self._input[:rows].copy_(X), shares)
        inputs[-1] = self._raw[:rows].copy_(inputs[-1])
        return inputs

    def _backward(self, inputs: list[Tensor], delta: Tensor) -> None:
        super()._backward(inputs, self._raw_delta[: delta.shape[0]].copy_(delta))

    def _weight_gradient(self, layer: int, below: Tensor, delta: Tensor, out: Tensor) -> None:
        torch.mm(below.t(), delta, out=self.products[layer])
        out.copy_(self.products[layer])
