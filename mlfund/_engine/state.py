"""Everything a training needs to go on: read from an engine, and written back into one.

The state is a tree of dicts, lists, plain values, arrays and tensors, which
`mlfund._engine.state_file` writes without pickle. What only says how to train (entries
of the vocabulary, functions, devices) is no state: whoever resumes gives it anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from skorch.callbacks import EpochTimer
from skorch.history import History
from torch import Tensor, nn

from mlfund._engine.net import Engine
from mlfund._engine.values import STREAMS, read_object, read_value, write_object, write_value

# Attributes of the engine that may keep something from one step to the next.
PARTS = (
    "iterator_train__draw_order",
    "rules",
    "after_step",
    "transforms",
    "averaging",
    "generator",
)


def engine_state(engine: Engine) -> dict[str, Any]:
    """Return the state of a training at the end of an epoch.

    Tensors and arrays are those of the engine, not copies: write or hash them before
    the training goes on.

    Raises
    ------
    TypeError
        If a part of the training keeps something that cannot be written.
    """
    return {
        "module": dict(_tensors(engine.module_)),
        "extra": {name: m.get_extra_state() for name, m in _with_extra_state(engine.module_)},
        "streams": {name: read_value(stream, name) for name, stream in _streams(engine)},
        "torch": _torch_streams(engine),
        "optimizer": _optimizer_state(engine.optimizer_),
        "parts": _states_of_parts(engine),
        "n_steps": engine.n_steps_,
        "history": [dict(row) for row in engine.history],
    }


def restore_engine(engine: Engine, state: Mapping[str, Any]) -> None:
    """Write a state that `engine_state` returned into an engine built for the same training."""
    with torch.no_grad():
        for name, tensor in _tensors(engine.module_):
            tensor.copy_(state["module"][name])
    for name, module in _with_extra_state(engine.module_):
        module.set_extra_state(state["extra"][name])
    for name, stream in _streams(engine):
        write_value(stream, state["streams"][name])
    _restore_torch_streams(engine, state["torch"])
    _restore_optimizer(engine.optimizer_, state["optimizer"])
    for name, part in _parts(engine):
        if name in state["parts"]:
            write_object(part, state["parts"][name])
    engine.n_steps_ = state["n_steps"]
    engine.history_ = History(state["history"])


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield parameters and buffers, also the buffers that `state_dict` leaves out."""
    yield from module.named_parameters()
    yield from module.named_buffers()


def _with_extra_state(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, part in module.named_modules():
        if type(part).get_extra_state is not nn.Module.get_extra_state:
            yield name, part


def _streams(engine: Engine) -> Iterator[tuple[str, Any]]:
    """Yield the random streams that the module and the loss hold."""
    for root in ("module_", "criterion_"):
        for name, module in getattr(engine, root).named_modules():
            for attribute, value in vars(module).items():
                if isinstance(value, STREAMS):
                    yield f"{root}.{name}.{attribute}", value


def _torch_streams(engine: Engine) -> dict[str, Tensor]:
    """Return torch's global streams, from which modules of users draw."""
    state = {"cpu": torch.get_rng_state()}
    device = torch.device(engine.device)
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _restore_torch_streams(engine: Engine, state: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], torch.device(engine.device))


def _parts(engine: Engine) -> Iterator[tuple[str, Any]]:
    """Yield what else changes in a training: callbacks, step rules, the order of the rows."""
    for name, callback in engine.callbacks_:
        # The timer holds the time of day, which is not to be had again.
        if not isinstance(callback, EpochTimer):
            yield f"callback {name}", callback
    for attribute in PARTS:
        part = getattr(engine, attribute, None)
        if isinstance(part, STREAMS) or hasattr(part, "__dict__"):
            yield attribute, part
        elif isinstance(part, list | tuple):
            yield from ((f"{attribute}[{i}]", item) for i, item in enumerate(part))


def _states_of_parts(engine: Engine) -> dict[str, Any]:
    states = {name: read_object(part, name) for name, part in _parts(engine)}
    # One that only tells of the training may be there or not.
    return {
        name: state for name, state in states.items() if not (isinstance(state, dict) and not state)
    }


def _optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    groups = [
        {key: value for key, value in group.items() if key != "params"}
        for group in optimizer.param_groups
    ]
    return {
        "groups": read_value(groups, "optimizer"),
        "states": read_value([dict(optimizer.state.get(p, {})) for p in parameters], "optimizer"),
    }


def _restore_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    # Not load_state_dict: it casts what an optimizer keeps to the dtype of the parameters.
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for group, saved in zip(optimizer.param_groups, state["groups"], strict=True):
        group.update(saved)
    for parameter, saved in zip(parameters, state["states"], strict=True):
        if saved:
            optimizer.state[parameter] = dict(saved)
