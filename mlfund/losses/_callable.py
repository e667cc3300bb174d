"""A function of one's own as a loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from mlfund._check import check_choice
from mlfund.losses._base import Link, Loss, Target
from mlfund.losses._classification import softmax
from mlfund.losses._regression import identity

_LINKS: dict[Target, Link] = {
    "binary": torch.sigmoid,
    "multiclass": softmax,
    "multilabel": torch.sigmoid,
    "real": identity,
}


@dataclass(frozen=True)
class CallableLoss(Loss):
    """A loss that calls a function; raw scores are read as log-odds, logits or means.

    For another inverse link, soft targets or another raw width write a subclass of `Loss`.

    Parameters
    ----------
    function : callable
        ``function(raw, y) -> Tensor of shape (n,)``, differentiable in `raw` (n, k). A
        row's value must depend on that row alone. Pickled, and saved, by import path.
    target : {"binary", "multiclass", "multilabel", "real"}, default="real"
        The kind of target; `Loss` says which shape `y` has.

    Examples
    --------
    >>> import torch
    >>> def fourth_power(raw, y):
    ...     return (raw - y).pow(4).mean(-1)
    >>> CallableLoss(fourth_power).value(torch.tensor([[3.0]]), torch.tensor([[1.0]]))
    tensor([16.])
    """

    function: Callable[[Tensor, Tensor], Tensor]
    # The type checker wants the constant that it is in every other loss.
    target: Target = field(default="real", kw_only=True)  # type: ignore[misc]
    name: ClassVar[str] = "callable"
    over_outputs: ClassVar[Literal["mean", "sum"]] = "sum"
    zero_at_best: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ValueError(
                f"function must be a callable (raw, y) -> Tensor; got {self.function!r}."
            )
        check_choice("target", self.target, _LINKS)

    @property
    def inverse_link(self) -> Link:
        """Return the logistic function, the softmax or the identity, by the target."""
        return _LINKS[self.target]

    def value(self, raw: Tensor, y: Tensor) -> Tensor:
        """Return what the function returns, one number a row.

        Raises
        ------
        ValueError
            If it is not a tensor with one number a row.
        """
        losses = self.function(raw, y)
        n = len(raw)
        if not isinstance(losses, Tensor) or losses.shape not in ((n,), (n, 1)):
            found = f"of shape {tuple(losses.shape)}" if isinstance(losses, Tensor) else losses
            raise ValueError(
                f"The loss {self.function!r} must return a tensor of shape (n,), one number a "
                f"row, here ({n},); it returned {found!r}. Take the mean over outputs, not over "
                "rows (in torch: reduction='none')."
            )
        return losses.reshape(n)
