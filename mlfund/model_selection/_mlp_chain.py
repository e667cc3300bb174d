"""Modules of one's own that are multilayer perceptrons: what a stack of them is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from mlfund.nets.activations import Activation, get_activation


class NotAChainError(Exception):
    """A module is no chain of linear layers with one activation between them; says why."""


@dataclass(frozen=True)
class Chain:
    """A module as the layers of a multilayer perceptron.

    Attributes
    ----------
    layers : list of torch.nn.Linear
        Each with a bias.
    activation : Activation
        Behind each but the last.
    dropout : tuple of float
        Rate behind each but the last.
    """

    layers: list[nn.Linear]
    activation: Activation
    dropout: tuple[float, ...]


_MODULES: dict[type[nn.Module], Callable[[Any], Activation]] = {
    nn.ReLU: lambda module: get_activation("relu"),
    nn.Tanh: lambda module: get_activation("tanh"),
    nn.Sigmoid: lambda module: get_activation("logistic"),
    nn.SiLU: lambda module: get_activation("silu"),
    nn.Mish: lambda module: get_activation("mish"),
    nn.SELU: lambda module: get_activation("selu"),
    nn.ELU: lambda module: get_activation("elu", alpha=module.alpha),
    nn.LeakyReLU: lambda module: get_activation("leaky_relu", slope=module.negative_slope),
}
_FUNCTIONS: dict[Any, str] = {
    F.relu: "relu",
    torch.relu: "relu",
    torch.tanh: "tanh",
    F.tanh: "tanh",
    torch.sigmoid: "logistic",
    F.sigmoid: "logistic",
    F.silu: "silu",
    F.mish: "mish",
    F.selu: "selu",
}
_METHODS = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic"}

Part = nn.Linear | Activation | float


def chain_of(module: nn.Module) -> Chain:
    """Return the layers of a module.

    Raises
    ------
    NotAChainError
        If it is something else than linear layers, one activation and dropout in turn.

    Examples
    --------
    >>> import torch
    >>> from mlfund.model_selection._mlp_chain import chain_of
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    >>> chain_of(net).activation
    Tanh()
    """
    parts = _parts_in_both_modes(module)
    layers = [part for part in parts if isinstance(part, nn.Linear)]
    bends = [part for part in parts if isinstance(part, Activation)]
    if not layers or len(set(map(id, layers))) < len(layers):
        raise NotAChainError("it has no linear layer, or one twice")
    if any(layer.bias is None for layer in layers):
        raise NotAChainError("a linear layer has no bias")
    if len(set(bends)) > 1:
        raise NotAChainError("its activations differ")
    used = {id(p) for layer in layers for p in layer.parameters()}
    every = [*module.parameters(), *module.buffers()]
    if any(id(p) not in used or not p.requires_grad for p in every):
        raise NotAChainError("it has other parameters, or frozen ones")
    return Chain(layers, bends[0] if bends else get_activation("identity"), _rates(parts))


def _parts_in_both_modes(module: nn.Module) -> list[Part]:
    """Return what rows go through, which must be the same in training and out of it."""
    mode, found = module.training, []
    try:
        for training in (False, True):
            module.train(training)
            found.append(list(_parts(module)))
    finally:
        module.train(mode)
    # Dropout is in both, as what it is.
    if found[0] != found[1]:
        raise NotAChainError("it does something else in training")
    return found[1]


def _rates(parts: list[Part]) -> tuple[float, ...]:
    """Return the dropout behind each hidden layer; refuse what stands elsewhere."""
    rates: list[float] = []
    expected: type[Any] = nn.Linear
    for place, part in enumerate(parts):
        if isinstance(part, float):
            if expected is not nn.Linear or not rates or isinstance(parts[place - 1], float):
                raise NotAChainError("dropout stands elsewhere than behind an activation")
            rates[-1] = part
            continue
        if not isinstance(part, expected):
            raise NotAChainError("linear layers and activations do not take turns")
        if isinstance(part, Activation):
            rates.append(0.0)
        expected = Activation if isinstance(part, nn.Linear) else nn.Linear
    if expected is nn.Linear:
        raise NotAChainError("it does not end with a linear layer")
    return tuple(rates)


def _parts(module: nn.Module) -> Iterator[Part]:
    """Yield what rows go through, in turn; a rate stands for dropout."""
    hooked = [m for m in module.modules() if m._forward_hooks or m._forward_pre_hooks]
    hooked += [m for m in module.modules() if m._backward_hooks or m._backward_pre_hooks]
    if hooked:
        raise NotAChainError("it carries hooks")
    if isinstance(module, nn.Linear) and type(module) is nn.Linear:
        yield module
        return
    try:
        graph = fx.symbolic_trace(module).graph
    # A forward of one's own may raise anything where it is given no tensor.
    except Exception as error:
        raise NotAChainError(f"its forward cannot be traced: {error}") from error
    last: fx.Node | None = None
    for node in graph.nodes:
        if node.op == "placeholder":
            if last is not None:
                raise NotAChainError("its forward takes more than the rows")
        elif last is None or node.all_input_nodes != [last]:
            raise NotAChainError("its rows do not go through one layer after another")
        elif node.op != "output":
            part = _part(module, node)
            if part is not None:
                yield part
        last = node


def _part(module: nn.Module, node: fx.Node) -> Part | None:
    """Return what a node does to rows, None for nothing."""
    if node.op == "call_module":
        return _of_module(module.get_submodule(str(node.target)))
    if node.op == "call_function" and node.target in _FUNCTIONS:
        return get_activation(_FUNCTIONS[node.target])
    if node.op == "call_method" and node.target in _METHODS:
        return get_activation(_METHODS[str(node.target)])
    if node.op == "get_attr":
        raise NotAChainError("it has other parameters")
    name = getattr(node.target, "__name__", node.target)
    raise NotAChainError(f"its forward calls {name}")


def _of_module(part: nn.Module) -> Part | None:
    kind = type(part)
    # Subclasses may do something else.
    if isinstance(part, nn.Linear) and kind is nn.Linear:
        return part
    if kind in _MODULES:
        return _MODULES[kind](part)
    if kind is nn.GELU and part.approximate == "none":
        return get_activation("gelu")
    if isinstance(part, nn.Dropout) and kind is nn.Dropout:
        return float(part.p) if part.p else None
    if kind is nn.Identity:
        return None
    raise NotAChainError(f"it has a layer of the class {kind.__name__}")
