"""Groups of layers with learning rates of their own, and epochs from which they train.

The flat tensor stays one tensor: a group is a piece of it (two, since weights come before
vectors), which the optimizer gets as a parameter group. Rates are multiples of the one that
schedules and rules set, so that those need not know of groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from mlfund._engine.parameters import FlatParameters


@dataclass(frozen=True, eq=False)
class RateGroup:
    """Layers that train together.

    Parameters
    ----------
    modules : tuple of torch.nn.Module
        The layers; those of their parameters that require no gradient stay as they are.
    multiplier : float, default=1.0
        Their learning rate as a multiple of that of the training.
    first_epoch : int, default=0
        Epochs that end before they train. Until then their parameters get no gradient, the
        optimizer keeps nothing of them, and they are in evaluation mode, so that running
        statistics stay too.
    """

    modules: tuple[nn.Module, ...]
    multiplier: float = 1.0
    first_epoch: int = 0

    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters that are to be trained, each once."""
        found = (p for module in self.modules for p in module.parameters() if p.requires_grad)
        return list({id(p): p for p in found}.values())


class Groups:
    """The groups of one training, as pieces of its flat parameters.

    Parameters
    ----------
    groups : sequence of RateGroup
        Together they hold every parameter that is trained, each once.
    parameters : FlatParameters
        Made of these groups.
    pieces : list of list of torch.nn.Parameter
        What the optimizer updates of each group: views of the flat tensor with a gradient.

    Attributes
    ----------
    weights : list of Tensor
        The weight matrices of each group as one vector, to which decay applies.
    """

    def __init__(
        self,
        groups: Sequence[RateGroup],
        parameters: FlatParameters,
        pieces: list[list[nn.Parameter]],
    ) -> None:
        self.groups = list(groups)
        self.pieces = pieces
        self.weights = [parameters.weights[part] for part in parameters.group_slices(True)]
        self._trained = [group.parameters() for group in groups]
        self._gradients = [[piece.grad for piece in listed] for listed in pieces]

    def for_optimizer(self, lr: float) -> list[dict[str, Any]]:
        """Return torch's parameter groups, in this order."""
        return [
            {"params": pieces, "lr": lr * group.multiplier, "multiplier": group.multiplier}
            for group, pieces in zip(self.groups, self.pieces, strict=True)
        ]

    def begin_epoch(self, epoch: int) -> None:
        """Freeze what does not train yet after so many epochs, and let the rest train."""
        for number, group in enumerate(self.groups):
            trains = self.trains(number, epoch)
            for parameter in self._trained[number]:
                parameter.requires_grad_(trains)
            for piece, gradient in zip(self.pieces[number], self._gradients[number], strict=True):
                # Optimizers pass over what has no gradient, moments and decay included.
                piece.grad = gradient if trains else None
            if not trains:
                for module in group.modules:
                    module.eval()

    def end(self) -> None:
        """Leave the parameters as they were given: all of them may be trained."""
        self.begin_epoch(max(group.first_epoch for group in self.groups))

    def trains(self, number: int, epoch: int) -> bool:
        """Whether a group trains after so many epochs."""
        return epoch >= self.groups[number].first_epoch

    @torch.no_grad()
    def decay(self, optimizer: torch.optim.Optimizer, strength: float) -> None:
        """Shrink the weights of the groups that train by ``their rate * strength``."""
        for number, weights in enumerate(self.weights):
            if self.pieces[number][0].grad is not None:
                weights.mul_(1.0 - optimizer.param_groups[number]["lr"] * strength)


def with_parameters(groups: Iterable[RateGroup]) -> list[RateGroup]:
    """Return the groups that have something to train.

    Raises
    ------
    ValueError
        If two groups share a parameter.
    """
    kept = [group for group in groups if group.parameters()]
    every = [id(p) for group in kept for p in group.parameters()]
    if len(set(every)) < len(every):
        raise ValueError("Two groups of layers share a parameter, which can have one rate only.")
    return kept


def slices_of(sizes: Sequence[int], start: int = 0) -> list[slice]:
    """Return consecutive slices of these sizes."""
    found = []
    for size in sizes:
        found.append(slice(start, start + size))
        start += size
    return found


def as_piece(flat: Tensor, gradient: Tensor) -> nn.Parameter:
    """Return memory as a parameter for an optimizer, its gradient beside it."""
    piece = nn.Parameter(flat.detach())
    piece.grad = gradient
    return piece
