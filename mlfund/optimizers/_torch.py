"""Any class of torch optimizers as an entry of the vocabulary."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import torch

from mlfund._check import nearest
from mlfund.optimizers._base import Optimizer

# Each weight's step depends on that weight alone: one flat vector of all does as well.
_ELEMENTWISE = frozenset(
    {
        torch.optim.SGD,
        torch.optim.ASGD,
        torch.optim.Adadelta,
        torch.optim.Adagrad,
        torch.optim.Adam,
        torch.optim.AdamW,
        torch.optim.Adamax,
        torch.optim.NAdam,
        torch.optim.RAdam,
        torch.optim.RMSprop,
        torch.optim.Rprop,
    }
)


@dataclass(frozen=True, init=False)
class TorchOptimizer(Optimizer):
    """An optimizer class of torch, or one written like them, with options of its own.

    Weight decay is the class's own, and applies to biases too.

    Parameters
    ----------
    optimizer_class : type
        A subclass of torch.optim.Optimizer whose `step` needs no closure.
    **options : object
        What the class takes beside parameters and learning rate, under its own names.

    Raises
    ------
    ValueError
        If it is no such class, or does not take an option.

    Examples
    --------
    >>> import torch
    >>> entry = TorchOptimizer(torch.optim.NAdam, momentum_decay=0.01)
    >>> type(entry.build([torch.nn.Parameter(torch.zeros(2))], learning_rate=0.1)).__name__
    'NAdam'
    """

    optimizer_class: type[torch.optim.Optimizer]
    options: tuple[tuple[str, Any], ...] = field(default=())

    def __init__(self, optimizer_class: type[torch.optim.Optimizer], **options: Any) -> None:
        _check_class(optimizer_class)
        _check_options(optimizer_class, options)
        object.__setattr__(self, "optimizer_class", optimizer_class)
        object.__setattr__(self, "options", tuple(sorted(options.items())))

    def __repr__(self) -> str:
        """Return the call that makes the entry."""
        options = "".join(f", {name}={value!r}" for name, value in self.options)
        return f"TorchOptimizer({self.name}{options})"

    @property
    def name(self) -> str:  # type: ignore[override]  # a constant in all other entries
        """Return the import path of the class."""
        return f"{self.optimizer_class.__module__}.{self.optimizer_class.__qualname__}"

    @property
    def per_matrix(self) -> bool:  # type: ignore[override]  # a constant in all other entries
        """Say whether matrices must come as they are, which is taken for granted elsewhere."""
        return self.optimizer_class not in _ELEMENTWISE

    def with_options(self, **options: Any) -> TorchOptimizer:
        """Return this entry with some options of its class set."""
        return TorchOptimizer(self.optimizer_class, **{**dict(self.options), **options})

    def _built(self, groups: list[Any], learning_rate: float) -> torch.optim.Optimizer:
        make: Any = self.optimizer_class
        built: torch.optim.Optimizer = make(groups, lr=learning_rate, **dict(self.options))
        return built


def _check_class(optimizer_class: Any) -> None:
    if not (
        isinstance(optimizer_class, type) and issubclass(optimizer_class, torch.optim.Optimizer)
    ):
        raise ValueError(
            f"optimizer_class must be a subclass of torch.optim.Optimizer; got {optimizer_class!r}."
        )
    closure = inspect.signature(optimizer_class.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ValueError(
            f"{optimizer_class.__name__} evaluates the loss several times a step, which training "
            "in mini-batches does not; use solver='lbfgs' or another optimizer."
        )


def _check_options(optimizer_class: type[Any], options: dict[str, Any]) -> None:
    parameters = inspect.signature(optimizer_class).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    allowed = [name for name in parameters if name not in ("params", "lr")]
    for option in options:
        if option not in allowed:
            suggestion = nearest(option, allowed)
            raise ValueError(
                f"{optimizer_class.__name__} has no option {option!r}; allowed are "
                f"{', '.join(map(repr, allowed))}; the learning rate is set apart."
                + (f" Did you mean {suggestion!r}?" if suggestion else "")
            )
