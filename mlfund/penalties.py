"""Penalties on weights: value, gradient where there is one, and proximal step.

The proximal step of a penalty with step size t is the minimiser over w of
``|v - w|^2 / 2 + t * value(w)``; proximal gradient descent alternates it with
gradient steps on the loss, and so reaches exact zeros under L1.

Examples
--------
>>> import torch
>>> from mlfund.penalties import get_penalty
>>> get_penalty("l1", alpha=0.5).prox(torch.tensor([-2.0, 0.2, 1.0]), 1.0)
tensor([-1.5000,  0.0000,  0.5000])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mlfund._check import check_positive
from mlfund._entries import Entry, resolve


@dataclass(frozen=True)
class Penalty(Entry):
    """A convex function of the weights, added to the loss.

    Elastic net with its two special cases: each subclass says which share of `alpha`
    goes to ``|w|_1`` and which to ``|w|^2 / 2``.

    Attributes
    ----------
    name : str
        The name in `PENALTIES`.
    smooth : bool
        Whether the gradient exists everywhere.
    """

    @property
    def l1(self) -> float:
        """Return the factor of the sum of absolute weights."""
        return 0.0

    @property
    def l2(self) -> float:
        """Return the factor of half the sum of squared weights."""
        return 0.0

    @property
    def smooth(self) -> bool:
        """Say whether the penalty has a gradient everywhere."""
        return self.l1 == 0

    def value(self, w: Tensor) -> Tensor:
        """Return the penalty of the weights `w` of any shape, a scalar."""
        total = w.new_zeros(())
        if self.l1:
            total = total + self.l1 * w.abs().sum()
        if self.l2:
            total = total + 0.5 * self.l2 * w.square().sum()
        return total

    def gradient(self, w: Tensor) -> Tensor:
        """Return the gradient at `w`, of its shape.

        Raises
        ------
        ValueError
            If the penalty is not smooth.
        """
        if not self.smooth:
            raise ValueError(
                f"The penalty {self.name!r} has no gradient at zero weights; "
                "use prox, or a penalty that is smooth such as 'l2'."
            )
        return self.l2 * w

    def prox(self, w: Tensor, step: float | Tensor) -> Tensor:
        """Return the proximal point of `w`, of its shape.

        Parameters
        ----------
        w : Tensor
            Weights after a gradient step.
        step : float or Tensor that broadcasts against `w`
            Step size >= 0.
        """
        if self.l1:
            w = torch.sign(w) * torch.relu(w.abs() - step * self.l1)
        return w / (1 + step * self.l2) if self.l2 else w


@dataclass(frozen=True)
class NoPenalty(Penalty):
    """No penalty at all: the proximal step is the identity."""

    name: ClassVar[str] = "none"


@dataclass(frozen=True)
class L1(Penalty):
    """alpha |w|_1: drives weights to exact zeros.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength >= 0.
    """

    name: ClassVar[str] = "l1"
    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_positive("alpha", self.alpha, zero=True)

    @property
    def l1(self) -> float:
        """Return alpha."""
        return self.alpha


@dataclass(frozen=True)
class L2(Penalty):
    """alpha |w|^2 / 2: shrinks all weights.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength >= 0.
    """

    name: ClassVar[str] = "l2"
    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_positive("alpha", self.alpha, zero=True)

    @property
    def l2(self) -> float:
        """Return alpha."""
        return self.alpha


@dataclass(frozen=True)
class ElasticNet(Penalty):
    """alpha (l1_ratio |w|_1 + (1 - l1_ratio) |w|^2 / 2).

    Parameters
    ----------
    alpha : float, default=1.0
        Strength >= 0.
    l1_ratio : float, default=0.5
        Share of L1, from 0 (all L2) to 1 (all L1).
    """

    name: ClassVar[str] = "elasticnet"
    alpha: float = 1.0
    l1_ratio: float = 0.5

    def __post_init__(self) -> None:
        check_positive("alpha", self.alpha, zero=True)
        if check_positive("l1_ratio", self.l1_ratio, zero=True) > 1:
            raise ValueError(f"l1_ratio must lie between 0 and 1; got {self.l1_ratio!r}.")

    @property
    def l1(self) -> float:
        """Return the strength of the L1 part."""
        return self.alpha * self.l1_ratio

    @property
    def l2(self) -> float:
        """Return the strength of the L2 part."""
        return self.alpha * (1 - self.l1_ratio)


def get_penalty(penalty: str | Penalty | None, **options: Any) -> Penalty:
    """Return the penalty of that name, or the instance given, with `options` set.

    Parameters
    ----------
    penalty : str, Penalty or None
        A name of `PENALTIES` or an instance; None means "none".
    **options : object
        Fields to set: ``alpha``, ``l1_ratio``.

    Raises
    ------
    ValueError
        If the name or an option is not known, or an option is out of range.

    Examples
    --------
    >>> get_penalty("l2", alpha=0.1)
    L2(alpha=0.1)
    """
    return resolve("penalty", "none" if penalty is None else penalty, PENALTIES, options)


PENALTIES: dict[str, Penalty] = {
    "none": NoPenalty(),
    "l1": L1(),
    "l2": L2(),
    "elasticnet": ElasticNet(),
}
