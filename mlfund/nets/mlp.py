"""The multilayer perceptron as a torch module."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mlfund.nets.activations import Activation, get_activation
from mlfund.nets.backprop import Backprop, LossGradient


class MLP(nn.Module):
    """Fully connected layers with one activation between them; the output is raw.

    Weights are stored as (fan_in, fan_out), scikit-learn's `coefs_` layout, so that
    fitted arrays and parameters are the same memory order.

    Parameters
    ----------
    coefs : sequence of ndarray, each (fan_in, fan_out)
        Initial weights; their dtype is the module's.
    intercepts : sequence of ndarray, each (fan_out,)
        Initial biases.
    activation : str or Activation, default="relu"
        Activation of the hidden layers.
    dropout : float or sequence of float, default=0
        Probability of dropping a hidden unit, one for all hidden layers or one each.
    generator : torch.Generator, optional
        Source of the dropout masks; torch's global generator when None.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from mlfund.nets.mlp import MLP
    >>> net = MLP([np.ones((3, 2)), np.ones((2, 1))], [np.zeros(2), np.zeros(1)])
    >>> net(torch.ones(4, 3, dtype=torch.float64)).shape
    torch.Size([4, 1])
    """

    def __init__(
        self,
        coefs: Sequence[np.ndarray],
        intercepts: Sequence[np.ndarray],
        *,
        activation: str | Activation = "relu",
        dropout: float | Sequence[float] = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(torch.tensor(w)) for w in coefs)
        self.biases = nn.ParameterList(nn.Parameter(torch.tensor(b)) for b in intercepts)
        self.activation = get_activation(activation)
        n_hidden = len(coefs) - 1
        rates = dropout if isinstance(dropout, Sequence) else [dropout] * n_hidden
        if len(rates) != n_hidden:
            raise ValueError(
                f"dropout has {len(rates)} rates for {n_hidden} hidden layers; give one number "
                "or one for each hidden layer."
            )
        self.dropout = tuple(float(rate) for rate in rates)
        self.generator = generator

    @property
    def sizes(self) -> list[int]:
        """Units of every layer, input and output included."""
        return [self.weights[0].shape[0], *(w.shape[1] for w in self.weights)]

    def keep_mask(self, like: Tensor, layer: int) -> Tensor | None:
        """Draw the inverted-dropout mask of a hidden layer; None where it has none."""
        rate = self.dropout[layer]
        if rate == 0.0 or not self.training:
            return None
        mask = torch.empty_like(like).bernoulli_(1.0 - rate, generator=self.generator)
        return mask.div_(1.0 - rate)

    def forward(self, X: Tensor) -> Tensor:
        """Return raw scores, shape (n, k), of rows X, shape (n, d)."""
        hidden = X
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.addmm(bias, hidden, weight)
            if layer < last:
                hidden = self.activation.forward(hidden)
                mask = self.keep_mask(hidden, layer)
                hidden = hidden if mask is None else hidden * mask
        return hidden

    def backprop(self, loss_gradient: LossGradient) -> Backprop:
        """Return a pass without autograd that leaves gradients in the parameters."""
        return Backprop(self, loss_gradient)

    def coefs(self) -> list[np.ndarray]:
        """Return copies of the weights as numpy arrays, each (fan_in, fan_out)."""
        return [w.detach().cpu().numpy().copy() for w in self.weights]

    def intercepts(self) -> list[np.ndarray]:
        """Return copies of the biases as numpy arrays, each (fan_out,)."""
        return [b.detach().cpu().numpy().copy() for b in self.biases]
