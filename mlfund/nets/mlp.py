"""The multilayer perceptron as a torch module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from mlfund._check import check_choice
from mlfund.nets.activations import Activation, get_activation
from mlfund.nets.backprop import Backprop, LossGradient
from mlfund.nets.backprop_mixed import MixedBackprop
from mlfund.nets.norm_layers import arrays_of, load_arrays
from mlfund.nets.norm_stages import normalisation_stage
from mlfund.nets.normalisation import Normalization, get_normalization
from mlfund.nets.stages import Dropout, Stage, activation_stage

POSITIONS = ("before", "after")


class MLP(nn.Module):
    """Fully connected layers with an activation between them; the output is raw.

    A hidden layer is product, bias, normalisation, activation, dropout; normalisation
    comes after the activation with ``normalization_position="after"``. Weights are stored
    as (fan_in, fan_out), scikit-learn's `coefs_` layout, so that fitted arrays and
    parameters are the same memory order.

    Parameters
    ----------
    coefs : sequence of ndarray, each (fan_in, fan_out)
        Initial weights; their dtype is the module's.
    intercepts : sequence of ndarray, each (fan_out,)
        Initial biases. One that batch normalisation would cancel is frozen at zero.
    activation : str or Activation, default="relu"
        Activation of the hidden layers.
    normalization : str, Normalization or None, default=None
        Normalisation of the hidden layers.
    normalization_position : {"before", "after"} or None, default=None
        Where it stands, seen from the activation; None is "before".
    dropout : float or sequence of float, default=0
        Probability of dropping a hidden unit, one for all hidden layers or one each.
    layer_state : sequence of mapping of str to ndarray, optional
        What `layer_state` returned of an earlier training, one mapping a hidden layer.
    generator : torch.Generator, optional
        Source of the dropout masks; torch's global generator when None.

    Attributes
    ----------
    unit_axis : int
        Axis of the weight matrices that runs over the units of their layer.
    takes_weight : bool
        Whether row weights have an effect on `forward`: the statistics of batch
        normalisation in training.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from mlfund.nets.mlp import MLP
    >>> net = MLP([np.ones((3, 2)), np.ones((2, 1))], [np.zeros(2), np.zeros(1)])
    >>> net(torch.ones(4, 3, dtype=torch.float64)).shape
    torch.Size([4, 1])
    """

    unit_axis: ClassVar[int] = 1

    def __init__(
        self,
        coefs: Sequence[np.ndarray],
        intercepts: Sequence[np.ndarray],
        *,
        activation: str | Activation = "relu",
        normalization: str | Normalization | None = None,
        normalization_position: str | None = None,
        dropout: float | Sequence[float] = 0.0,
        layer_state: Sequence[Mapping[str, np.ndarray]] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(torch.tensor(w)) for w in coefs)
        self.biases = nn.ParameterList(nn.Parameter(torch.tensor(b)) for b in intercepts)
        self.activation = get_activation(activation)
        self.normalization = get_normalization(normalization)
        position = normalization_position or "before"
        check_choice("normalization_position", position, POSITIONS)
        self.normalize_first = position == "before"
        hidden = [bias.shape[0] for bias in self.biases][:-1]
        self.dropout = _rates(dropout, len(hidden))
        self.generator = generator
        self.norms = nn.ModuleList()
        self.slopes = nn.ParameterList()
        self._add_layers(hidden, layer_state or [{}] * len(hidden))
        self.takes_weight = self.normalization.over_rows and bool(hidden)

    def _add_layers(self, hidden: list[int], states: Sequence[Mapping[str, np.ndarray]]) -> None:
        """Add what hidden layers have beside weights and biases."""
        for n_units, bias, state in zip(hidden, self.biases[:-1], states, strict=True):
            norm = self.normalization.module(n_units, bias.dtype)
            if norm is not None:
                load_arrays(norm, state)
                self.norms.append(norm)
            if self.activation.learned:
                start = np.full(n_units, getattr(self.activation, "slope", 0.0))
                slope = torch.as_tensor(np.array(state.get("slope", start)), dtype=bias.dtype)
                self.slopes.append(nn.Parameter(slope))
            if self.normalization.over_rows and self.normalize_first:
                bias.detach().zero_()
                bias.requires_grad_(False)

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

    def forward(self, X: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return raw scores, shape (n, k), of rows X, shape (n, d).

        Parameters
        ----------
        X : Tensor of shape (n, d)
        weight : Tensor of shape (n,), optional
            Row weights, for the statistics of batch normalisation in training.
        """
        return self._layers(X, weight)[-1]

    def hidden(self, X: Tensor) -> list[Tensor]:
        """Return the output of every hidden layer, each (n, units), for rows X."""
        return self._layers(X, None)[:-1]

    def _layers(self, X: Tensor, weight: Tensor | None) -> list[Tensor]:
        shares = weight / weight.sum() if weight is not None and self.takes_weight else None
        outputs: list[Tensor] = []
        for layer, (matrix, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            z = torch.addmm(bias, outputs[-1] if outputs else X, matrix)
            if layer < len(self.weights) - 1:
                z = self._bend(z, layer, shares)
            outputs.append(z)
        return outputs

    def _bend(self, z: Tensor, layer: int, shares: Tensor | None) -> Tensor:
        """Return what a hidden layer makes of its product."""
        if self.normalize_first:
            z = self._normalize(z, layer, shares)
        z = self.activation.forward(z, self.slopes[layer] if self.slopes else None)
        if not self.normalize_first:
            z = self._normalize(z, layer, shares)
        mask = self.keep_mask(z, layer)
        return z if mask is None else z * mask

    def _normalize(self, z: Tensor, layer: int, shares: Tensor | None) -> Tensor:
        if not self.norms:
            return z
        norm, z = self.norms[layer], z.to(self.biases[layer].dtype)
        return norm(z, shares) if self.takes_weight else norm(z)

    def stages(self) -> list[list[Stage]]:
        """Return what `_bend` does as stages without autograd, a list a hidden layer."""
        return [self._stages_of(layer) for layer in range(len(self.weights) - 1)]

    def _stages_of(self, layer: int) -> list[Stage]:
        slope = self.slopes[layer] if self.slopes else None
        stages: list[Stage] = [activation_stage(self.activation, slope)]
        if self.norms:
            norm = normalisation_stage(self.norms[layer])
            stages.insert(0 if self.normalize_first else 1, norm)
        if self.dropout[layer]:
            stages.append(Dropout(partial(self.keep_mask, layer=layer)))
        return stages

    def backprop(self, loss_gradient: LossGradient, dtype: torch.dtype | None = None) -> Backprop:
        """Return a pass without autograd that leaves gradients in the parameters.

        Parameters
        ----------
        loss_gradient : callable
            ``(raw, batch) -> (objective, gradient in raw)``.
        dtype : torch.dtype, optional
            Of the products, if lower than that of the parameters.
        """
        if dtype is None:
            return Backprop(self, loss_gradient)
        return MixedBackprop(self, loss_gradient, dtype)

    def coefs(self) -> list[np.ndarray]:
        """Return copies of the weights as numpy arrays, each (fan_in, fan_out)."""
        return [w.detach().cpu().numpy().copy() for w in self.weights]

    def intercepts(self) -> list[np.ndarray]:
        """Return copies of the biases as numpy arrays, each (fan_out,)."""
        return [b.detach().cpu().numpy().copy() for b in self.biases]

    def layer_state(self) -> list[dict[str, np.ndarray]]:
        """Return what hidden layers have beside weights and biases, a dict each.

        Keys are "scale" and "shift" of a normalisation, "mean", "variance" and
        "n_batches" of batch normalisation, "slope" of PReLU; dicts are empty where there
        is none of these.
        """
        states: list[dict[str, np.ndarray]] = [{} for _ in self.weights[:-1]]
        for state, norm in zip(states, self.norms, strict=False):
            state.update(arrays_of(norm))
        for state, slope in zip(states, self.slopes, strict=False):
            state["slope"] = slope.detach().cpu().numpy().copy()
        return states


def _rates(dropout: float | Sequence[float], n_hidden: int) -> tuple[float, ...]:
    rates = dropout if isinstance(dropout, Sequence) else [dropout] * n_hidden
    if len(rates) != n_hidden:
        raise ValueError(
            f"dropout has {len(rates)} rates for {n_hidden} hidden layers; give one number "
            "or one for each hidden layer."
        )
    return tuple(float(rate) for rate in rates)
