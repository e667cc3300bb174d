"""Steps of stacked replicas: penalties, bounds, decay and the optimizer, each with its numbers.

Replicas are stepped in tiles that stay in the cache from the penalty to the new weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlfund._engine.replicas_movers import Mover, kind_of, mover
from mlfund._engine.replicas_spec import Replica
from mlfund.nets.stacked import StackedArrays, StackedMLP

# Weights of a tile on the CPU. In float32 four arrays of them fill a cache of 1 MB.
TILE = 1 << 17


class Numbers:
    """What a step takes of the replicas, each an array of shape (R, 1).

    A number that has no effect in any replica is None, so that nothing is done about it.
    """

    def __init__(self, replicas: Sequence[Replica], like: Tensor) -> None:
        def column(values: list[float], idle: float) -> Tensor | None:
            if all(value == idle for value in values):
                return None
            return torch.tensor(values, dtype=torch.float64).to(like).unsqueeze(1)

        def bound(name: str) -> Tensor | None:
            values = [getattr(r, name) for r in replicas]
            return column([np.inf if v is None else v for v in values], np.inf)

        self.l1 = column([r.l1 for r in replicas], 0.0)
        self.l2 = column([r.l2 for r in replicas], 0.0)
        self.decay = column([r.weight_decay for r in replicas], 0.0)
        self.clip_value = bound("clip_value")
        self.clip_norm = bound("clip_norm")
        self.max_norm = bound("max_norm")
        entries = [r.optimizer for r in replicas]
        coupled = [0.0 if e.decoupled else getattr(e, "weight_decay", 0.0) for e in entries]
        self.coupled = column(coupled, 0.0)
        momenta = [float(getattr(e, "momentum", 0.0)) for e in entries]
        self.momentum = torch.tensor(momenta, dtype=torch.float64).to(like).unsqueeze(1)


def _rows(column: Tensor | None, part: slice) -> Tensor | None:
    return None if column is None else column[part]


@dataclass
class Tile:
    """Some consecutive replicas of a stack."""

    part: slice
    values: StackedArrays
    gradients: StackedArrays
    mover: Mover


class StackedSteps:
    """The optimizer steps of a stack.

    Parameters
    ----------
    net : StackedMLP
        Whose parameters move.
    replicas : sequence of Replica
        In the order of the stack; their optimizers are of one kind.
    """

    def __init__(self, net: StackedMLP, replicas: Sequence[Replica]) -> None:
        self.net = net
        self._kind = kind_of(replicas[0].optimizer)
        self._epsilon = replicas[0].adam_epsilon
        self._lay_out(replicas)

    def keep(self, replicas: Sequence[Replica], index: Tensor) -> None:
        """Go on with the replicas `index` alone, after `net.keep`."""
        states = self._whole_states()
        self._lay_out(replicas)
        chosen = [
            {key: value[index] if value.ndim else value for key, value in part.items()}
            for part in states
        ]
        for tile in self._tiles if chosen else ():
            tile.mover.take(
                [
                    {k: v[tile.part] if v.ndim else v.clone() for k, v in part.items()}
                    for part in chosen
                ]
            )

    def _whole_states(self) -> list[dict[str, Tensor]]:
        """Return the states of all tiles in one."""
        by_tile = [tile.mover.state() for tile in self._tiles]
        return [
            {
                key: torch.cat([part[key] for part in parts]) if value.ndim else value
                for key, value in parts[0].items()
            }
            for parts in zip(*by_tile, strict=True)
        ]

    def _lay_out(self, replicas: Sequence[Replica]) -> None:
        net, values = self.net, self.net.values
        like = values.parts[0]
        self.numbers = Numbers(replicas, like)
        n_parameters = sum(part.shape[1] for part in values.parts)
        most = max(1, TILE // n_parameters) if like.device.type == "cpu" else len(net)
        n_tiles = -(-len(net) // most)
        bounds = [len(net) * i // n_tiles for i in range(n_tiles + 1)]
        scratch = [torch.empty_like(part[:most]) for part in values.parts]
        self._tiles = []
        for part in (slice(*pair) for pair in pairwise(bounds)):
            own = [array[: part.stop - part.start] for array in scratch]
            self._tiles.append(
                Tile(
                    part,
                    values.of(part),
                    net.gradients.of(part),
                    mover(self._kind, self.numbers.momentum[part], own, self._epsilon),
                )
            )

    def rescale(self, factors: Tensor) -> None:
        """Multiply velocities by factors of shape (R, 1)."""
        for tile in self._tiles:
            tile.mover.rescale(factors[tile.part])

    def step(self, rates: Tensor, totals: Tensor | float) -> Tensor | None:
        """Take a step along the gradients; return the penalties before it, shape (R,), or None.

        Parameters
        ----------
        rates : Tensor of shape (R, 1)
            Learning rates.
        totals : Tensor of shape (R, 1) or float
            Sums of the weights of the batch.
        """
        penalties = [self._step(tile, rates[tile.part], totals) for tile in self._tiles]
        found = [one for one in penalties if one is not None]
        return torch.cat(found) if found else None

    def _step(self, tile: Tile, rates: Tensor, totals: Any) -> Tensor | None:
        part, numbers = tile.part, self.numbers
        if isinstance(totals, Tensor):
            totals = totals[part]
        penalty = _penalise(tile, _rows(numbers.l1, part), _rows(numbers.l2, part), totals)
        _clip(tile, _rows(numbers.clip_value, part), _rows(numbers.clip_norm, part))
        if numbers.decay is not None:
            shrink = 1.0 - rates * numbers.decay[part]
            for weights in tile.values.weight_parts:
                weights.mul_(shrink)
        if numbers.coupled is not None:
            pairs = zip(tile.gradients.parts, tile.values.parts, strict=True)
            for gradient, values in pairs:
                gradient.addcmul_(values, numbers.coupled[part])
        tile.mover.move(tile.values.parts, tile.gradients.parts, rates)
        if numbers.max_norm is not None:
            _bound_units(tile, numbers.max_norm[part])
        return penalty


def _penalise(tile: Tile, l1: Tensor | None, l2: Tensor | None, totals: Any) -> Tensor | None:
    """Add the gradients of the penalties, as `Penalised` does; return their values."""
    value: Any = None
    pairs = zip(tile.values.weight_parts, tile.gradients.weight_parts, strict=True)
    for weights, gradient in pairs:
        if l2 is not None:
            gradient.addcmul_(weights, l2 / totals)
            squares = torch.linalg.vector_norm(weights, dim=1).square_()
            term = squares.mul_(l2[:, 0]).mul_(0.5)
            value = term if value is None else value.add_(term)
        if l1 is not None:
            gradient.addcmul_(torch.sign(weights), l1 / totals)
            term = torch.linalg.vector_norm(weights, 1, dim=1) * l1[:, 0]
            value = term if value is None else value.add_(term)
    return value


def _clip(tile: Tile, clip_value: Tensor | None, clip_norm: Tensor | None) -> None:
    gradients = tile.gradients.parts
    if clip_value is not None:
        for gradient in gradients:
            torch.clamp(gradient, -clip_value, clip_value, out=gradient)
    if clip_norm is not None:
        norms = [torch.linalg.vector_norm(gradient, dim=1) for gradient in gradients]
        norm = torch.linalg.vector_norm(torch.stack(norms), dim=0).unsqueeze(1)
        factor = (clip_norm / (norm + 1e-6)).clamp_(max=1.0)
        for gradient in gradients:
            gradient.mul_(factor)


def _bound_units(tile: Tile, limit: Tensor) -> None:
    for weights in tile.values.weights:
        norm = torch.linalg.vector_norm(weights, dim=2, keepdim=True)
        # As renorm does: shorter ones stay bit for bit, longer ones may end a hair below.
        factor = torch.where(norm > limit.unsqueeze(2), limit.unsqueeze(2) / (norm + 1e-7), 1.0)
        weights.mul_(factor)
