"""Many MLPs of one shape as one net: all replicas go forward and backward together.

Units come before rows, (replicas, units, rows), so that the first layers of all replicas that
see the same rows are one wide product, and every other layer is a batch of products on
contiguous memory, whatever the number of replicas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mlfund.nets.activations import Activation, get_activation
from mlfund.nets.stages import Stage, activation_stage

Layers = Sequence[np.ndarray]


class StackedArrays:
    """Numbers of all parameters of all replicas: the weights themselves, or gradients.

    Parameters
    ----------
    sizes : sequence of int
        Units of every layer, input and output included.
    parts : sequence of Tensor, each (R, p)
        The weights of every layer, of each replica as (units, inputs), then all biases.

    Attributes
    ----------
    weights : list of Tensor, each (R, units, inputs)
        Views.
    biases : list of Tensor, each (R, units)
        Views.
    weight_parts : list of Tensor
        `parts` without the biases.
    """

    def __init__(self, sizes: Sequence[int], parts: Sequence[Tensor]) -> None:
        self.sizes = list(sizes)
        self.parts = list(parts)
        shapes = zip(sizes[1:], sizes[:-1], strict=True)
        self.weights = [
            part.view(-1, *shape) for part, shape in zip(self.parts, shapes, strict=False)
        ]
        self.weight_parts = self.parts[:-1]
        self.biases = list(self.parts[-1].split(self.sizes[1:], dim=1))

    def of(self, part: slice) -> StackedArrays:
        """Return views of some consecutive replicas."""
        return StackedArrays(self.sizes, [array[part] for array in self.parts])

    def coefs(self, replica: int) -> list[np.ndarray]:
        """Return copies of the weights of one replica, each (fan_in, fan_out)."""
        return [_array(weight[replica].t()) for weight in self.weights]

    def intercepts(self, replica: int) -> list[np.ndarray]:
        """Return copies of the biases of one replica."""
        return [_array(bias[replica]) for bias in self.biases]


class StackedMLP:
    """R multilayer perceptrons of one shape, without autograd.

    Parameters
    ----------
    coefs, intercepts : sequence over replicas of sequences of ndarray
        Initial weights, each (fan_in, fan_out), and biases of each replica.
    groups : sequence of slice
        Consecutive replicas that see the same rows; together all of them.
    activation : str or Activation, default="relu"
        Of the hidden layers; one without learned slopes.
    dropout : ndarray of shape (hidden layers, R), optional
        Probability of dropping a hidden unit.
    generator : torch.Generator, optional
        Source of the dropout masks, on `device`.
    device : torch.device or str, default="cpu"
        Where the parameters live.

    Attributes
    ----------
    sizes : list of int
        Units of every layer.
    values, gradients : StackedArrays
        Parameters, and what `backward` leaves.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from mlfund.nets.stacked import StackedMLP
    >>> coefs = [[np.ones((3, 2)), np.ones((2, 1))]] * 4
    >>> intercepts = [[np.zeros(2), np.zeros(1)]] * 4
    >>> net = StackedMLP(coefs, intercepts, groups=[slice(0, 4)])
    >>> net.forward(torch.ones(1, 5, 3, dtype=torch.float64)).shape
    torch.Size([4, 1, 5])
    """

    def __init__(
        self,
        coefs: Sequence[Layers],
        intercepts: Sequence[Layers],
        *,
        groups: Sequence[slice],
        activation: str | Activation = "relu",
        dropout: np.ndarray | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.sizes = [coefs[0][0].shape[0], *(layer.shape[1] for layer in coefs[0])]
        weights = [
            np.stack([layer.T.ravel() for layer in of_layer])
            for of_layer in zip(*coefs, strict=True)
        ]
        biases = np.stack([np.concatenate(list(layers)) for layers in intercepts])
        parts = [torch.from_numpy(array).to(device) for array in (*weights, biases)]
        self.activation = get_activation(activation)
        self.generator = generator
        self._dropout = dropout
        self._hold(parts, groups)

    def __len__(self) -> int:
        """Return the number of replicas."""
        return len(self.values.parts[0])

    def keep(self, index: Tensor, groups: Sequence[slice]) -> None:
        """Go on with the replicas `index` alone; gradients are lost."""
        if self._dropout is not None:
            self._dropout = self._dropout[:, index.cpu().numpy()]
        self._hold([part[index] for part in self.values.parts], groups)

    def _hold(self, parts: Sequence[Tensor], groups: Sequence[slice]) -> None:
        self.values = StackedArrays(self.sizes, parts)
        self.gradients = StackedArrays(self.sizes, [torch.zeros_like(part) for part in parts])
        self.groups = list(groups)
        # Groups of one size are one batch of products.
        widths = {part.stop - part.start for part in self.groups}
        self._even = len(self.groups) > 1 and len(widths) == 1
        self._memory: dict[tuple[str, int], Tensor] = {}
        self._stages = [self._stages_of(layer) for layer in range(len(self.sizes) - 2)]

    def _stages_of(self, layer: int) -> list[Stage]:
        stages = [activation_stage(self.activation)]
        if self._dropout is not None and self._dropout[layer].any():
            rates = torch.from_numpy(self._dropout[layer]).to(self.values.parts[0])
            stages.append(StackedDropout(1.0 - rates, self.generator))
        return stages

    def forward(self, X: Tensor) -> Tensor:
        """Return raw scores, shape (R, k, rows), in training.

        Parameters
        ----------
        X : Tensor of shape (groups, rows, d)
            The rows that each group sees.
        """
        rows, last = X.shape[1], len(self.sizes) - 2
        self._inputs: list[Tensor] = []
        z = self._room("output", 0, rows)
        self._first_products(X, z)
        for layer in range(last + 1):
            if layer > 0:
                below, z = z, self._room("output", layer, rows)
                torch.bmm(self.values.weights[layer], below, out=z)
            z.add_(self.values.biases[layer].unsqueeze(2))
            if layer < last:
                for stage in self._stages[layer]:
                    # Stages keep memory by its length: theirs has one axis.
                    z = stage.forward(z.view(-1), None).view(z.shape)
                self._inputs.append(z)
        return z

    def backward(self, X: Tensor, delta: Tensor) -> None:
        """Leave the gradients of the last `forward`.

        Parameters
        ----------
        X : Tensor of shape (groups, rows, d)
            What `forward` was given.
        delta : Tensor of shape (R, k, rows)
            Gradient in the raw scores.
        """
        gradients = self.gradients
        for layer in range(len(self.sizes) - 2, 0, -1):
            torch.sum(delta, 2, out=gradients.biases[layer])
            below = self._inputs[layer - 1]
            torch.bmm(delta, below.transpose(1, 2), out=gradients.weights[layer])
            under = self._room("delta", layer - 1, X.shape[1])
            torch.bmm(self.values.weights[layer].transpose(1, 2), delta, out=under)
            for stage in reversed(self._stages[layer - 1]):
                under = stage.backward(under.view(-1)).view(under.shape)
            delta = under
        torch.sum(delta, 2, out=gradients.biases[0])
        self._first_gradients(X, delta)

    def raw_scores(self, part: slice, X: Tensor) -> Tensor:
        """Return raw scores, shape (replicas, k, rows), without dropout.

        Parameters
        ----------
        part : slice
            Some consecutive replicas.
        X : Tensor of shape (rows, d)
            Rows.
        """
        z, last = X.t(), len(self.sizes) - 2
        for layer, weight in enumerate(self.values.weights):
            # The first product is of all replicas at once.
            z = weight[part] @ z
            z.add_(self.values.biases[layer][part].unsqueeze(2))
            if layer < last:
                z = self.activation.forward_(z)
        return z

    def _first_products(self, X: Tensor, z: Tensor) -> None:
        wide = self.values.parts[0].view(-1, self.sizes[0])
        if self._even:
            batch = wide.view(len(X), -1, self.sizes[0])
            torch.bmm(batch, X.transpose(1, 2), out=z.view(len(X), -1, X.shape[1]))
            return
        for rows, units, part in zip(X, self._unit_ranges(), self.groups, strict=True):
            torch.mm(wide[units], rows.t(), out=z[part].view(-1, len(rows)))

    def _first_gradients(self, X: Tensor, delta: Tensor) -> None:
        wide = self.gradients.parts[0].view(-1, self.sizes[0])
        if self._even:
            batch = wide.view(len(X), -1, self.sizes[0])
            torch.bmm(delta.view(len(X), -1, X.shape[1]), X, out=batch)
            return
        for rows, units, part in zip(X, self._unit_ranges(), self.groups, strict=True):
            torch.mm(delta[part].view(-1, len(rows)), rows, out=wide[units])

    def _unit_ranges(self) -> list[slice]:
        """Return where the first hidden units of each group are among those of all."""
        units = self.sizes[1]
        return [slice(part.start * units, part.stop * units) for part in self.groups]

    def _room(self, kind: str, layer: int, rows: int) -> Tensor:
        """Return memory for the units of a layer, kept between calls."""
        shape = (len(self), self.sizes[layer + 1], rows)
        size = math.prod(shape)
        memory = self._memory.get((kind, layer))
        if memory is None or len(memory) < size:
            memory = self._memory[kind, layer] = self.values.parts[0].new_empty(size)
        return memory[:size].view(shape)


class StackedDropout:
    """Inverted dropout with a rate for each replica.

    Parameters
    ----------
    keep : Tensor of shape (R,)
        Probabilities of keeping a unit.
    generator : torch.Generator or None
        What the masks are drawn from.
    """

    def __init__(self, keep: Tensor, generator: torch.Generator | None) -> None:
        self._keep = keep.unsqueeze(1)
        self._generator = generator

    def forward(self, z: Tensor, shares: Tensor | None) -> Tensor:
        """Return new memory: the stage before may keep `z`."""
        by_replica = z.view(len(self._keep), -1)
        # A uniform number is below 1, so that all units stay at the rate 0.
        drawn = torch.empty_like(by_replica).uniform_(generator=self._generator)
        self._mask = drawn.lt_(self._keep).div_(self._keep).view(-1)
        return z * self._mask

    def backward(self, delta: Tensor) -> Tensor:
        """Overwrite `delta`."""
        return delta.mul_(self._mask)


def _array(values: Tensor) -> np.ndarray:
    return np.array(values.cpu().numpy(), order="C")
