"""All parameters of a module in one flat tensor, so that a step is a few large calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class FlatParameters:
    """One flat parameter, of which the given parameters become views.

    The optimizer then works on one tensor (one fused call, whatever the number of
    layers), a snapshot is one copy, and penalties see all weights at once.

    Parameters
    ----------
    parameters : iterable of torch.nn.Parameter
        Parameters of one dtype and device; matrices ("weights") come first in the flat
        tensor, vectors ("biases") last.

    Attributes
    ----------
    flat : torch.nn.Parameter of shape (p,)
        What the optimizer updates.
    grad : Tensor of shape (p,)
        Its gradient; each parameter's `grad` is a view of it.
    weights, weight_grad : Tensor
        The part of `flat` and `grad` that penalties apply to (matrices, not biases).
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parts = sorted(parameters, key=lambda p: p.ndim < 2)
        data = torch.cat([p.detach().reshape(-1) for p in self.parts])
        self.grad = torch.zeros_like(data)
        self.flat = nn.Parameter(data)
        self.flat.grad = self.grad
        start = 0
        for part in self.parts:
            stop = start + part.numel()
            part.data = self.flat.data[start:stop].view(part.shape)
            part.grad = self.grad[start:stop].view(part.shape)
            start = stop
        n_weights = sum(p.numel() for p in self.parts if p.ndim >= 2)
        self.weights = self.flat.detach()[:n_weights]
        self.weight_grad = self.grad[:n_weights]

    def publish_gradient(self) -> None:
        """Hand the gradient to the optimizer, whose `zero_grad` may have dropped it."""
        self.flat.grad = self.grad

    def snapshot(self) -> Tensor:
        """Return a copy of all parameters."""
        return self.flat.detach().clone()

    def restore(self, snapshot: Tensor) -> None:
        """Write a snapshot back."""
        self.flat.detach().copy_(snapshot)

    def is_finite(self) -> bool:
        """Whether no parameter is NaN or infinite (one synchronisation)."""
        return math.isfinite(self.flat.detach().sum().item())


BuildOptimizer = Callable[[list[nn.Parameter], float], torch.optim.Optimizer]


class FlatOptimizer:
    """What skorch calls to make its optimizer: flattens the parameters, then builds.

    Parameters
    ----------
    build : callable
        ``build(parameters, learning_rate) -> torch.optim.Optimizer``.
    state : dict of str to ndarray, optional
        State of an earlier optimizer of the same kind, see `export_state`.

    Attributes
    ----------
    parameters : FlatParameters
        Set by the call.
    """

    parameters: FlatParameters

    def __init__(self, build: BuildOptimizer, state: dict[str, np.ndarray] | None = None) -> None:
        self.build = build
        self.state = state

    def __call__(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Flatten the parameters that are not frozen and build the optimizer on the result."""
        everything = [p for group in groups for p in group["params"]]
        self.parameters = FlatParameters(p for p in everything if p.requires_grad)
        optimizer = self.build([self.parameters.flat], lr)
        if self.state:
            state = {key: torch.from_numpy(np.array(value)) for key, value in self.state.items()}
            groups_now = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": {0: state}, "param_groups": groups_now})
        return optimizer


def export_state(optimizer: torch.optim.Optimizer) -> dict[str, np.ndarray]:
    """Return the state of a one-parameter optimizer as numpy arrays."""
    states = list(optimizer.state.values())
    if not states:
        return {}
    tensors = {key: value for key, value in states[0].items() if value is not None}
    return {
        key: value.detach().cpu().numpy().copy() if isinstance(value, Tensor) else np.array(value)
        for key, value in tensors.items()
    }
