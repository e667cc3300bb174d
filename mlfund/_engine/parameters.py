"""All parameters of a module in one flat tensor, so that a step is a few large calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mlfund._engine.groups import Groups, RateGroup, as_piece, slices_of, with_parameters


class FlatParameters:
    """One flat parameter, of which the given parameters become views.

    The optimizer then works on one tensor (one fused call, whatever the number of
    layers), a snapshot is one copy, and penalties see all weights at once.

    Parameters
    ----------
    parameters : iterable of torch.nn.Parameter
        Parameters of one dtype and device; matrices ("weights", all of two axes or more)
        come first in the flat tensor, vectors ("biases" and scales) last.
    groups : sequence of RateGroup, optional
        Groups that share out the parameters; among the matrices, and among the vectors,
        those of the first group come first.

    Attributes
    ----------
    flat : torch.nn.Parameter of shape (p,)
        What the optimizer updates.
    grad : Tensor of shape (p,)
        Its gradient; each parameter's `grad` is a view of it.
    weights, weight_grad : Tensor
        The part of `flat` and `grad` that penalties apply to (matrices, not vectors).
    parts : list of torch.nn.Parameter
        The given parameters, matrices first.

    Raises
    ------
    ValueError
        If there are none, or their dtypes or devices differ.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], groups: Sequence[RateGroup] = ()
    ) -> None:
        self._number = {id(p): i for i, group in enumerate(groups) for p in group.parameters()}
        self._n_groups = max(1, len(groups))
        self.parts = sorted(parameters, key=lambda p: (p.ndim < 2, self._group_of(p)))
        _check_alike(self.parts)
        data = torch.cat([p.detach().reshape(-1) for p in self.parts])
        self.grad = torch.zeros_like(data)
        self.flat = nn.Parameter(data)
        self.publish_gradient()
        start = 0
        for part in self.parts:
            stop = start + part.numel()
            part.data = self.flat.data[start:stop].view(part.shape)
            part.grad = self.grad[start:stop].view(part.shape)
            start = stop
        n_weights = sum(p.numel() for p in self.parts if p.ndim >= 2)
        self.weights = self.flat.detach()[:n_weights]
        self.weight_grad = self.grad[:n_weights]
        self._buffers: list[Tensor] = []

    def watch_buffers(self, module: nn.Module) -> None:
        """Let snapshots hold what the module keeps beside parameters (running statistics)."""
        self._buffers = [b for b in module.buffers() if b.is_floating_point()]

    def matrices(self, unit_axis: int = 0) -> list[Tensor]:
        """Return views of all weights as matrices, one row for each unit they lead to.

        Parameters
        ----------
        unit_axis : int, default=0
            The axis of the weights that runs over those units.
        """
        return [_rows_are_units(p.detach(), unit_axis) for p in self.parts if p.ndim >= 2]

    def as_matrices(self, unit_axis: int = 0) -> list[list[nn.Parameter]]:
        """Return the same memory as parameters for an optimizer that works on matrices.

        For each group one parameter for each matrix, of shape (units, inputs), and one
        vector of all the rest; their gradients are views of `grad`.
        """
        views: list[list[nn.Parameter]] = [[] for _ in range(self._n_groups)]
        for part in self.parts:
            if part.ndim >= 2:
                assert part.grad is not None
                view = as_piece(
                    _rows_are_units(part.detach(), unit_axis),
                    _rows_are_units(part.grad, unit_axis),
                )
                views[self._group_of(part)].append(view)
        return [
            [*listed, *self._as_pieces([rest])]
            for listed, rest in zip(views, self.group_slices(False), strict=True)
        ]

    def as_vectors(self) -> list[list[nn.Parameter]]:
        """Return the same memory as one or two vectors a group, weights before the rest."""
        both = zip(self.group_slices(True), self.group_slices(False), strict=True)
        return [self._as_pieces(parts) for parts in both]

    def group_slices(self, matrices: bool) -> list[slice]:
        """Return where in the flat tensor the weights, or the vectors, of each group are."""
        sizes = [0] * self._n_groups
        for part in self.parts:
            if (part.ndim >= 2) == matrices:
                sizes[self._group_of(part)] += part.numel()
        return slices_of(sizes, 0 if matrices else len(self.weights))

    def _group_of(self, parameter: nn.Parameter) -> int:
        # Without groups, all are in the one there is.
        return self._number[id(parameter)] if self._number else 0

    def _as_pieces(self, parts: Iterable[slice]) -> list[nn.Parameter]:
        flat = self.flat.detach()
        return [as_piece(flat[p], self.grad[p]) for p in parts if p.stop > p.start]

    def publish_gradient(self) -> None:
        """Hand the gradient to the optimizer, whose `zero_grad` may have dropped it."""
        self.flat.grad = self.grad

    def snapshot(self, out: Tensor | None = None) -> Tensor:
        """Return a copy of all parameters and floating-point buffers in one tensor.

        Parameters
        ----------
        out : Tensor, optional
            An earlier snapshot, whose memory is used again.
        """
        if out is None:
            size = len(self.grad) + sum(b.numel() for b in self._buffers)
            out = torch.empty(size, dtype=self.grad.dtype, device=self.grad.device)
        for here, there in self._pairs(out):
            there.copy_(here)
        return out

    def restore(self, snapshot: Tensor) -> None:
        """Write a snapshot back."""
        for here, there in self._pairs(snapshot):
            here.copy_(there)

    def is_finite(self) -> bool:
        """Whether no parameter is NaN or infinite (one synchronisation)."""
        return math.isfinite(self.flat.detach().sum().item())

    def _pairs(self, snapshot: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield what lives in the module beside its place in a snapshot."""
        start = len(self.grad)
        yield self.flat.detach(), snapshot[:start]
        for buffer in self._buffers:
            stop = start + buffer.numel()
            yield buffer, snapshot[start:stop].view(buffer.shape)
            start = stop


def _check_alike(parameters: list[nn.Parameter]) -> None:
    if not parameters:
        raise ValueError(
            "The module has no parameter to train; give it one, or set requires_grad "
            "of those that are to be trained."
        )
    for what in ("dtype", "device"):
        found = sorted({str(getattr(p, what)) for p in parameters})
        if len(found) > 1:
            raise ValueError(
                f"The module's parameters have more than one {what}: {', '.join(found)}; all "
                f"that are trained must share one: call module.to({what}=...) before fit."
            )


def _rows_are_units(weight: Tensor, unit_axis: int) -> Tensor:
    # Filters of a convolution have the units first, in every library that torch reads.
    return weight.movedim(unit_axis, 0) if weight.ndim == 2 else weight.view(len(weight), -1)


BuildOptimizer = Callable[[list[Any], float], torch.optim.Optimizer]


class FlatOptimizer:
    """What skorch calls to make its optimizer: flattens the parameters, then builds.

    Parameters
    ----------
    build : callable
        ``build(parameters, learning_rate) -> torch.optim.Optimizer``.
    state : dict of str to ndarray, optional
        State of an earlier optimizer of the same kind, see `export_state`.
    per_matrix : bool, default=False
        Whether the optimizer needs each weight matrix by itself, as Muon does; else it
        gets one flat vector.
    unit_axis : int, default=0
        See `FlatParameters.matrices`.
    groups : iterable of RateGroup, optional
        Groups of layers with learning rates of their own, which share out all parameters
        that are trained; None trains all alike.

    Attributes
    ----------
    parameters : FlatParameters
        Set by the call.
    groups : Groups or None
        Set by the call; None without `groups`.
    """

    parameters: FlatParameters
    groups: Groups | None

    def __init__(
        self,
        build: BuildOptimizer,
        state: dict[str, np.ndarray] | None = None,
        *,
        per_matrix: bool = False,
        unit_axis: int = 0,
        groups: Iterable[RateGroup] | None = None,
    ) -> None:
        self.build = build
        self.state = state
        self.per_matrix = per_matrix
        self.unit_axis = unit_axis
        self.rate_groups = None if groups is None else with_parameters(groups)

    def begin_epoch(self, epoch: int) -> None:
        """Let the groups train whose time has come after so many epochs."""
        if self.groups is not None:
            self.groups.begin_epoch(epoch)

    def end_groups(self) -> None:
        """Leave the parameters of all groups as they were given."""
        if self.groups is not None:
            self.groups.end()

    def __call__(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Flatten the parameters that are not frozen and build the optimizer on the result."""
        everything = [p for group in groups for p in group["params"]]
        trained = [p for p in everything if p.requires_grad]
        self.parameters = flat = FlatParameters(trained, self.rate_groups or ())
        self.groups = None
        updated: list[Any] = [flat.flat]
        if self.rate_groups is not None or self.per_matrix:
            pieces = flat.as_matrices(self.unit_axis) if self.per_matrix else flat.as_vectors()
            updated = list(pieces[0])
            if self.rate_groups is not None:
                self.groups = Groups(self.rate_groups, flat, pieces)
                updated = self.groups.for_optimizer(lr)
        optimizer = self.build(updated, lr)
        if self.state:
            import_state(optimizer, self.state)
        return optimizer


def export_state(optimizer: torch.optim.Optimizer) -> dict[str, np.ndarray]:
    """Return the state of an optimizer as numpy arrays, named ``"number.key"``.

    The number is that of the parameter; an optimizer of one parameter has none.
    """
    members = [p for group in optimizer.param_groups for p in group["params"]]
    found = {}
    for i, member in enumerate(members):
        prefix = "" if len(members) == 1 else f"{i}."
        for key, value in optimizer.state.get(member, {}).items():
            if isinstance(value, Tensor):
                found[prefix + key] = value.detach().cpu().numpy().copy()
            elif value is not None:
                found[prefix + key] = np.array(value)
    return found


def import_state(optimizer: torch.optim.Optimizer, state: Mapping[str, np.ndarray]) -> None:
    """Give a fresh optimizer what `export_state` returned of one of the same kind."""
    states: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        number, _, key = name.rpartition(".")
        states.setdefault(int(number or 0), {})[key] = torch.from_numpy(np.array(value))
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})
