"""Initializers that are functions of the user's own."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mlfund._check import preserved_torch_state
from mlfund.initializers._base import Initializer
from mlfund.initializers._gains import AnyActivation


@dataclass(frozen=True)
class FromFunction(Initializer):
    """A function of your own; `get_initializer` makes this entry from any callable.

    Parameters
    ----------
    function : callable
        ``function(weight, generator=generator)`` fills the tensor `weight` of shape
        (out, in) in place, as the functions of `torch.nn.init` do. One that takes no
        generator may draw from torch's own, which is seeded for it and left as found.
    """

    name: ClassVar[str] = "function"
    function: Callable[..., object]

    def _fill(
        self, weight: Tensor, generator: torch.Generator | None, activation: AnyActivation
    ) -> None:
        weight.fill_(math.nan)
        if _takes_generator(self.function):
            self.function(weight, generator=generator)
        else:
            seed = int(torch.randint(2**31, (1,), generator=generator, device=weight.device))
            with preserved_torch_state():
                torch.manual_seed(seed)
                self.function(weight)
        if not bool(weight.isfinite().all()):
            raise ValueError(
                f"The initializer {self.function!r} left weights that are not finite; it must "
                "fill the tensor it is given in place, as those of torch.nn.init do."
            )


def _takes_generator(function: Callable[..., object]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # compiled functions may hide their signature
        return True
    return any(p.name == "generator" or p.kind is p.VAR_KEYWORD for p in parameters)
