"""How a module of the user's own is built, and built again from a file."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from mlfund._check import nearest, preserved_torch_state

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Recipe:
    """All that it takes to build a module again and to read its output.

    Attributes
    ----------
    source : type, callable or torch.nn.Module
        A class or a function that returns a module; or a module, of which copies are made.
    options : dict
        What the source is called with.
    seed : int
        Seed of torch's generator while the source is called.
    dtype : str
        Dtype of floating parameters and buffers.
    output, kind : str
        What the module returns and for what target, as `RawScores` takes them.
    integers : bool
        Whether the module takes integers.
    """

    source: Any
    options: dict[str, Any]
    seed: int
    dtype: str
    output: str
    kind: str
    integers: bool

    def build(self) -> nn.Module:
        """Return a new module with its initial weights; torch's random state stays as it is.

        Raises
        ------
        ValueError
            If the source returns something else than a module.
        """
        with preserved_torch_state():
            torch.manual_seed(self.seed)
            if isinstance(self.source, nn.Module):
                module = copy.deepcopy(self.source)
            else:
                # A module among the options would be trained: it must not be the user's.
                module = self.source(**copy.deepcopy(self.options))
        if not isinstance(module, nn.Module):
            raise ValueError(
                f"module={name_of(self.source)} returned {type(module).__name__}; it must be a "
                "torch.nn.Module class, an instance, or a function that returns an instance."
            )
        return module.to(getattr(torch, self.dtype))

    def rebuild(self, state: Mapping[str, np.ndarray]) -> nn.Module:
        """Return the module with the weights and buffers of `state`, in evaluation mode."""
        module = self.build()
        # torch refuses read-only memory, which a memory map of a file is.
        module.load_state_dict({key: torch.from_numpy(np.array(a)) for key, a in state.items()})
        return module.eval()


def export_weights(module: nn.Module) -> dict[str, np.ndarray]:
    """Return the parameters and buffers of a module as numpy arrays, by name."""
    return {key: t.detach().cpu().numpy().copy() for key, t in module.state_dict().items()}


def name_of(source: Any) -> str:
    """Return what errors call a class, a function or a module."""
    if isinstance(source, partial):
        return name_of(source.func)
    return getattr(source, "__name__", type(source).__name__)


def options_for(
    source: Any, given: Mapping[str, Any] | None, deduced: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what to call `source` with: what was given, and what it names of the deduced.

    Raises
    ------
    ValueError
        If options are given for an instance, or the source does not take one of them, or
        lacks one.
    """
    given = dict(given or {})
    if isinstance(source, nn.Module):
        if given:
            raise ValueError(
                f"module is an instance of {name_of(source)}, which is built already, and "
                f"module_params={given!r} would build it: give the class, module="
                f"{name_of(source)}, or leave module_params away."
            )
        return {}
    parameters = _parameters(source)
    if parameters is None:
        return given
    _check_known(source, given, parameters)
    held = source.keywords if isinstance(source, partial) else {}
    named = {name for name, p in parameters.items() if p.kind in _NAMED and name not in held}
    options = {**{name: deduced[name] for name in deduced if name in named}, **given}
    missing = [
        name
        for name, p in parameters.items()
        if p.kind in _NAMED and p.default is p.empty and name not in options
    ]
    if missing:
        raise ValueError(
            f"{name_of(source)} cannot be built without {', '.join(map(repr, missing))}: give "
            f"module_params={{{missing[0]!r}: ...}}. Only {', '.join(map(repr, deduced))} are "
            "taken from the data."
        )
    return options


def _parameters(source: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    """Return the parameters of a callable; None where Python cannot tell them."""
    try:
        return inspect.signature(source).parameters
    except (TypeError, ValueError):
        return None


def _check_known(
    source: Any, given: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter]
) -> None:
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    allowed = [name for name, p in parameters.items() if p.kind in _NAMED]
    for name in given:
        if name not in allowed:
            suggestion = nearest(name, allowed)
            raise ValueError(
                f"module_params has {name!r}, which {name_of(source)} does not take; it takes "
                f"{', '.join(map(repr, allowed)) or 'nothing'}."
                + (f" Did you mean {suggestion!r}?" if suggestion else "")
            )
