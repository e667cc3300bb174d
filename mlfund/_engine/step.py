"""What a step is made of: transforms, accumulation, penalty, and rules around the update.

Each wrapper takes and gives a `Differentiate`, so that a training without it pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mlfund._engine.data import Batch
from mlfund._engine.parameters import FlatParameters
from mlfund.penalties import Penalty

if TYPE_CHECKING:
    from mlfund._engine.net import Engine

# ``rule(engine)`` runs before or after each optimizer step, see `mlfund._engine.rules`.
StepRule = Callable[["Engine"], None]
# ``differentiate(batch) -> (objective, raw)``, the gradient left in the parameters.
Differentiate = Callable[[Batch], tuple[Tensor, Tensor]]
# ``transform(batch, generator) -> batch``: augments a training batch, never in place.
Transform = Callable[[Batch, torch.Generator | None], Batch]


class HostRule:
    """A rule that sets numbers on the host, learning rates for instance.

    Parameters
    ----------
    rule : callable
        ``rule(engine)``, run before each step.
    on_capture : callable, optional
        Run instead of it when steps are captured in a graph, where such a number stays
        what it was at the capture. Without it `rule` itself runs before each replay.
    """

    def __init__(self, rule: StepRule, on_capture: StepRule | None = None) -> None:
        self.rule = rule
        self.on_capture = on_capture

    def __call__(self, net: Engine) -> None:
        """Run the rule."""
        self.rule(net)


def transformed(
    differentiate: Differentiate,
    transforms: Sequence[Transform],
    generator: torch.Generator | None,
) -> Differentiate:
    """Return `differentiate` on batches that went through the transforms in turn."""

    def call(batch: Batch) -> tuple[Tensor, Tensor]:
        changed = batch
        for transform in transforms:
            changed = transform(changed, generator)
        return differentiate(changed)

    return call


class Accumulated:
    """Gradient of several batches as if they were one.

    The objective of a batch is a mean over its weights, so the mean over all batches of
    a step is the sum of theirs, each times its share of the weights. That is exact for
    losses of single rows; statistics of a batch (normalisation, Dice) stay those of each.

    Parameters
    ----------
    differentiate : Differentiate
        Of one batch.
    parameters : FlatParameters
        Where the gradient is left.
    """

    def __init__(self, differentiate: Differentiate, parameters: FlatParameters) -> None:
        self.differentiate = differentiate
        self.gradient = parameters.grad
        self._sum = torch.zeros_like(parameters.grad)
        self._objective: Tensor | None = None

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the objective of the batches of this step so far, and the raw scores."""
        objective, raw = self.differentiate(batch)
        share = batch.total / batch.step_total
        self._sum.add_(self.gradient, alpha=share)
        part = objective.detach() * share
        self._objective = part if self._objective is None else self._objective + part
        so_far = self._objective
        if batch.closes:
            self.gradient.copy_(self._sum)
            self._sum.zero_()
            self._objective = None
        return so_far, raw


class Penalised:
    """Value of a penalty on the weights; adds its gradient, or one of its subgradients.

    Parameters
    ----------
    penalty : Penalty
        L1, L2 or both. The subgradient of ``|w|`` at zero is taken as zero.
    parameters : FlatParameters
        Whose weights are penalised and whose gradient is changed.
    """

    def __init__(self, penalty: Penalty, parameters: FlatParameters) -> None:
        self.l1, self.l2 = penalty.l1, penalty.l2
        self.weights, self.gradient = parameters.weights, parameters.weight_grad
        self._sign = torch.empty_like(self.weights) if self.l1 else None

    def __call__(self, total: float | Tensor) -> Tensor:
        """Add the gradient divided by `total`; return the value, not divided."""
        weights, value = self.weights, None
        if self.l2:
            # Two passes over the weights and no temporary.
            self._add(weights, self.l2 / total)
            value = weights.dot(weights).mul_(0.5 * self.l2)
        if self._sign is not None:
            torch.sign(weights, out=self._sign)
            self._add(self._sign, self.l1 / total)
            absolute = self._sign.dot(weights).mul_(self.l1)
            value = absolute if value is None else value.add_(absolute)
        return weights.new_zeros(()) if value is None else value

    def _add(self, direction: Tensor, factor: float | Tensor) -> None:
        if isinstance(factor, Tensor):
            self.gradient.addcmul_(direction, factor)
        else:
            self.gradient.add_(direction, alpha=factor)
