"""Steps of stacked replicas: penalties, bounds, decay and the optimizer, each with its numbers.

Replicas are stepped in tiles that stay in the cache from the penalty to the new weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlfund._engine.replicas_movers import Factor, Mover, add_scaled, kind_of, mover
from mlfund._engine.replicas_rates import Rates
from mlfund._engine.replicas_spec import Replica
from mlfund.nets.stacked import StackedArrays, StackedMLP

# Weights of a tile on the CPU. In float32 four arrays of them fill a cache of 1 MB.
TILE = 1 << 17


class Numbers:
    """What a step takes of some replicas, each an array of shape (R, 1), or a float of one.

    A number that has no effect in any of them is None, so that nothing is done about it.
    """

    def __init__(self, replicas: Sequence[Replica], like: Tensor) -> None:
        def column(values: list[float], idle: float = 0.0) -> Factor | None:
            if all(value == idle for value in values):
                return None
            if len(values) == 1:
                return float(values[0])
            return torch.tensor(values, dtype=torch.float64).to(like).unsqueeze(1)

        def bound(name: str) -> Factor | None:
            values = [getattr(r, name) for r in replicas]
            return column([np.inf if v is None else v for v in values], np.inf)

        self.l1 = column([r.l1 for r in replicas])
        self.l2 = column([r.l2 for r in replicas])
        self.decay = column([r.weight_decay for r in replicas])
        self.clip_value = bound("clip_value")
        self.clip_norm = bound("clip_norm")
        self.clips = self.clip_value is not None or self.clip_norm is not None
        self.max_norm = bound("max_norm")
        entries = [r.optimizer for r in replicas]
        self.coupled = column(
            [0.0 if e.decoupled else getattr(e, "weight_decay", 0.0) for e in entries]
        )


def _momenta(replicas: Sequence[Replica], part: slice, like: Tensor) -> Tensor | None:
    """Return the momenta of a tile, shape (R, 1); None where no replica of the stack has one."""
    momenta = [float(getattr(r.optimizer, "momentum", 0.0)) for r in replicas]
    if not any(momenta):
        return None
    return torch.tensor(momenta[part], dtype=torch.float64).to(like).unsqueeze(1)


class Tile:
    """Some consecutive replicas of a stack.

    Parameters
    ----------
    part : slice
        Which.
    numbers : Numbers
        Of these replicas.
    values, gradients : StackedArrays
        Their parameters.
    mover : Mover
        Their optimizer.
    """

    def __init__(
        self,
        part: slice,
        numbers: Numbers,
        values: StackedArrays,
        gradients: StackedArrays,
        mover: Mover,
    ) -> None:
        self.part = part
        self.numbers = numbers
        self.values, self.gradients = values, gradients
        self.mover = mover
        # The numbers of one replica are floats, and its weights are vectors.
        self.alone = part.stop - part.start == 1
        self.vectors = [weights[0] for weights in values.weight_parts] if self.alone else []

    def squares(self) -> Tensor:
        """Return each replica's sum of squared weights, (R,)."""
        if self.alone:
            return _sum([vector.dot(vector) for vector in self.vectors]).view(1)
        return _sum([_norms(weights, 2).square_() for weights in self.values.weight_parts])

    def absolutes(self) -> Tensor:
        """Return each replica's sum of absolute weights, (R,)."""
        return _sum([_norms(weights, 1) for weights in self.values.weight_parts])


def _norms(weights: Tensor, order: int) -> Tensor:
    return torch.linalg.vector_norm(weights, order, dim=1)


def _sum(terms: list[Tensor]) -> Tensor:
    return sum(terms[1:], start=terms[0])


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
        n_parameters = sum(part.shape[1] for part in values.parts)
        l1, l2 = [r.l1 for r in replicas], [0.5 * r.l2 for r in replicas]
        # Half the sum of squares is penalised.
        self._l1 = torch.tensor(l1, dtype=torch.float64).to(like) if any(l1) else None
        self._l2 = torch.tensor(l2, dtype=torch.float64).to(like) if any(l2) else None
        most = max(1, TILE // n_parameters) if like.device.type == "cpu" else len(net)
        n_tiles = -(-len(net) // most)
        bounds = [len(net) * i // n_tiles for i in range(n_tiles + 1)]
        scratch = [torch.empty_like(part[:most]) for part in values.parts]
        self._tiles = []
        for part in (slice(*pair) for pair in pairwise(bounds)):
            own = [array[: part.stop - part.start] for array in scratch]
            numbers = Numbers(replicas[part], like)
            moves = mover(self._kind, _momenta(replicas, part, like), own, self._epsilon)
            self._tiles.append(Tile(part, numbers, values.of(part), net.gradients.of(part), moves))

    def rescale(self, factors: Tensor) -> None:
        """Multiply velocities by factors of shape (R, 1)."""
        for tile in self._tiles:
            tile.mover.rescale(factors[tile.part])

    def step(self, rates: Rates, totals: Tensor | float) -> Tensor | None:
        """Take a step along the gradients; return the penalties before it, shape (R,), or None.

        Parameters
        ----------
        rates : Rates
            Learning rates.
        totals : Tensor of shape (R, 1) or float
            Sums of the weights of the batch.
        """
        squares, absolutes = [], []
        for tile in self._tiles:
            part = tile.part
            of_tile = rates.on_host[part.start] if tile.alone else rates.column[part]
            total = totals[part] if isinstance(totals, Tensor) else totals
            if self._l2 is not None:
                squares.append(tile.squares())
            if self._l1 is not None:
                absolutes.append(tile.absolutes())
            _step(tile, of_tile, total)
        terms = []
        if self._l2 is not None:
            terms.append(torch.cat(squares).mul_(self._l2))
        if self._l1 is not None:
            terms.append(torch.cat(absolutes).mul_(self._l1))
        return _sum(terms) if terms else None


def _step(tile: Tile, rates: Factor, total: Factor) -> None:
    """Take the step of a tile."""
    numbers, clips = tile.numbers, tile.numbers.clips
    l2 = None if numbers.l2 is None else numbers.l2 / total
    # The mover penalises the weights as it finds them: those that decay has shrunk already.
    fused = isinstance(l2, float) and not clips and numbers.decay is None and tile.mover.adds_l2
    _penalise(tile, None if fused else l2, None if numbers.l1 is None else numbers.l1 / total)
    if clips:
        _clip(tile)
    if numbers.decay is not None:
        shrink = 1.0 - rates * numbers.decay
        for weights in tile.values.weight_parts:
            weights.mul_(shrink)
    if numbers.coupled is not None:
        for gradient, values in zip(tile.gradients.parts, tile.values.parts, strict=True):
            add_scaled(gradient, values, numbers.coupled)
    of_mover = l2 if fused and isinstance(l2, float) else 0.0
    tile.mover.move(tile.values.parts, tile.gradients.parts, rates, of_mover)
    if numbers.max_norm is not None:
        _bound_units(tile, numbers.max_norm)


def _penalise(tile: Tile, l2: Factor | None, l1: Factor | None) -> None:
    """Add the gradients of the penalties, as `Penalised` does."""
    pairs = zip(tile.values.weight_parts, tile.gradients.weight_parts, strict=True)
    for weights, gradient in pairs if l1 is not None or l2 is not None else ():
        if l2 is not None:
            add_scaled(gradient, weights, l2)
        if l1 is not None:
            add_scaled(gradient, torch.sign(weights), l1)


def _clip(tile: Tile) -> None:
    gradients = tile.gradients.parts
    limit: Any = tile.numbers.clip_value
    if limit is not None:
        for gradient in gradients:
            torch.clamp(gradient, -limit, limit, out=gradient)
    limit = tile.numbers.clip_norm
    if limit is not None:
        norms = [torch.linalg.vector_norm(gradient, dim=1) for gradient in gradients]
        norm = torch.linalg.vector_norm(torch.stack(norms), dim=0).unsqueeze(1)
        factor = (limit / (norm + 1e-6)).clamp_(max=1.0)
        for gradient in gradients:
            gradient.mul_(factor)


def _bound_units(tile: Tile, limit: Factor) -> None:
    most = limit.unsqueeze(2) if isinstance(limit, Tensor) else limit
    for weights in tile.values.weights:
        norm = torch.linalg.vector_norm(weights, dim=2, keepdim=True)
        # As renorm does: shorter ones stay bit for bit, longer ones may end a hair below.
        weights.mul_(torch.where(norm > most, most / (norm + 1e-7), 1.0))
