"""From states of tokens to one embedding: pooling, projection, unit length."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

# States of tokens (n, length, d) and 1 for each token that counts (n, length, 1) -> (n, d).
Pool = Callable[[Tensor, Tensor], Tensor]


def _first(states: Tensor, counts: Tensor) -> Tensor:
    return states[:, 0]


def _last(states: Tensor, counts: Tensor) -> Tensor:
    ends = counts.sum(1).long() - 1
    return states[torch.arange(len(states), device=states.device), ends[:, 0]]


def _max(states: Tensor, counts: Tensor) -> Tensor:
    return states.masked_fill(counts == 0, -torch.inf).amax(1)


def _mean(states: Tensor, counts: Tensor) -> Tensor:
    return (states * counts).sum(1) / counts.sum(1)


def _mean_by_root(states: Tensor, counts: Tensor) -> Tensor:
    return (states * counts).sum(1) / counts.sum(1).sqrt()


def _weighted_mean(states: Tensor, counts: Tensor) -> Tensor:
    positions = torch.arange(1, states.shape[1] + 1, device=states.device, dtype=states.dtype)
    return _mean(states, counts * positions[:, None])


# By the names that sentence-transformers gives them.
POOLINGS: Mapping[str, Pool] = {
    "mean": _mean,
    "cls": _first,
    "max": _max,
    "lasttoken": _last,
    "weightedmean": _weighted_mean,
    "mean_sqrt_len_tokens": _mean_by_root,
}
# What the model itself makes of the first token, by a layer that it was pretrained with.
POOLER = "pooler"


class Pooling(nn.Module):
    """One vector for the states of a text's tokens.

    Parameters
    ----------
    names : tuple of str
        Keys of `POOLINGS`; results of several stand side by side.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = names

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Pool states (n, length, d) by a mask (n, length) into (n, d * number of poolings)."""
        counts = mask.unsqueeze(-1).to(states.dtype)
        pooled = [POOLINGS[name](states, counts) for name in self.names]
        return pooled[0] if len(pooled) == 1 else torch.cat(pooled, dim=1)

    def extra_repr(self) -> str:
        """Return what torch prints of the module."""
        return ", ".join(self.names)


class UnitLength(nn.Module):
    """Divides embeddings by their length."""

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return embeddings (n, d) of length 1."""
        return nn.functional.normalize(embeddings, dim=1)
