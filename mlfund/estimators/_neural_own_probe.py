"""A first pass of a module over a few rows: what it returns, what it costs, what is wrong."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

# Rows of the first pass: more than one, so that a module that mixes up the axes is found.
PROBED_ROWS = 3
# The largest tensor of a forward pass should not pass this: two or three live at a time.
PASS_BYTES = 64 << 20
MOST_ROWS = 8192
# Rounding of probabilities that sum to 1, in bfloat16.
SUM_TOLERANCE = 2e-2


@dataclass(frozen=True)
class FirstPass:
    """What a forward pass over a few rows showed.

    Attributes
    ----------
    output : object
        What the module returned.
    flop_per_row : float
        Floating-point operations of a forward and a backward pass for a row.
    rows_at_once : int
        Rows for which no tensor of a forward pass is larger than `PASS_BYTES`.
    last : str
        Name of the torch operation that wrote the output, "_softmax" for instance.
    """

    output: Any
    flop_per_row: float
    rows_at_once: int
    last: str


class _Watch(TorchDispatchMode):
    """Counts operations and bytes, and remembers which operation wrote which memory."""

    def __init__(self) -> None:
        super().__init__()
        self.flop = 0.0
        self.largest = 1
        self.writers: dict[int, str] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        count = flop_registry.get(func.overloadpacket)
        if count is not None:
            self.flop += count(*args, **kwargs, out_val=out)
        read = {_memory(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.nbytes)
                # A view is no writing.
                if _memory(tensor) not in read or func._schema.is_mutable:
                    self.writers[_memory(tensor)] = func.overloadpacket.__name__
        return out


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def first_pass(module: nn.Module, X: Tensor, name: str) -> FirstPass:
    """Run a module over the rows X in evaluation mode, without gradients.

    Raises
    ------
    ValueError
        If the module raises, with what it was given and what it said.
    """
    module.eval()
    watch = _Watch()
    try:
        with torch.no_grad(), watch:
            output = module(X)
    except Exception as error:
        raise ValueError(
            f"{name} failed in a first pass over {len(X)} rows, given as one "
            f"{str(X.dtype).removeprefix('torch.')} tensor of shape {tuple(X.shape)}: "
            f"{error}{_cure(X)}"
        ) from error
    parameters = sum(p.numel() for p in module.parameters() if p.ndim >= 2)
    per_row = max(watch.flop / len(X), 2.0 * parameters if watch.flop == 0 else 0.0)
    return FirstPass(
        output=output,
        # A backward pass takes two products for each of the forward pass.
        flop_per_row=3.0 * per_row,
        rows_at_once=max(1, min(MOST_ROWS, PASS_BYTES * len(X) // watch.largest)),
        last=watch.writers.get(_memory(output), "") if isinstance(output, Tensor) else "",
    )


def _cure(X: Tensor) -> str:
    if X.dtype == torch.int64:
        return ". Integers reach it as they are because of keep_integers=True."
    return (
        ". Its sizes can follow the data: a parameter of its constructor named n_features, "
        "input_shape or n_outputs is set to them. For integers to look up in an embedding, "
        "set keep_integers=True."
    )


def check_trainable(module: nn.Module, name: str) -> None:
    """Raise ValueError unless the module has a parameter to train."""
    parameters = list(module.parameters())
    if not any(p.requires_grad for p in parameters):
        what = "all its parameters frozen" if parameters else "no parameters"
        raise ValueError(
            f"{name} has {what}, so there is nothing to train: make layers attributes of the "
            "module (lists of layers as torch.nn.ModuleList), with requires_grad=True."
        )


def check_output(
    seen: FirstPass, n_rows: int, *, name: str, output: str, kind: str, width: int
) -> None:
    """Raise ValueError unless the output can be read as raw scores of that width."""
    found = seen.output
    if not isinstance(found, Tensor):
        size = f" of {len(found)}" if isinstance(found, tuple | list | dict) else ""
        raise ValueError(
            f"{name} returned a {type(found).__name__}{size}; forward must return one tensor, "
            "the scores: leave out what else it returns, or wrap it in a module that does."
        )
    if not found.is_floating_point():
        raise ValueError(
            f"{name} returned {str(found.dtype).removeprefix('torch.')}; forward must return "
            "floating-point scores, not labels (no argmax)."
        )
    shapes = _accepted(n_rows, kind, width)
    if tuple(found.shape) not in shapes:
        raise ValueError(
            f"{name} returned shape {tuple(found.shape)} for {n_rows} rows, where "
            f"{' or '.join(map(str, shapes))} is needed{_WHY[kind]}: give its last layer that many "
            "units; a constructor parameter named n_outputs is set to the number."
        )
    if output != "raw":
        _check_probabilities(found, name, output, several=found.ndim == 2 and kind != "multilabel")


_WHY = {
    "binary": " (two classes: one score, the log-odds of the second, or one for each)",
    "multiclass": " (one score for each class)",
    "multilabel": " (one score for each label)",
    "real": " (what the loss takes for these targets)",
}


def _accepted(n_rows: int, kind: str, width: int) -> list[tuple[int, ...]]:
    shapes: list[tuple[int, ...]] = [(n_rows, width)]
    if kind == "binary":
        shapes.append((n_rows, 2))
    if width == 1:
        shapes.append((n_rows,))
    return shapes


def _check_probabilities(found: Tensor, name: str, output: str, *, several: bool) -> None:
    proba = found if output == "proba" else torch.exp(found)
    in_range = bool(((proba >= 0) & (proba <= 1 + SUM_TOLERANCE)).all())
    sums = proba.sum(dim=1) if several and found.shape[1] > 1 else torch.ones(1)
    if not in_range or bool(((sums - 1).abs() > SUM_TOLERANCE).any()):
        what = "probabilities" if output == "proba" else "logarithms of probabilities"
        problem = (
            f"rows that sum to {float(sums[0]):.3g}"
            if in_range
            else f"values from {float(found.min()):.3g} to {float(found.max()):.3g}"
        )
        raise ValueError(
            f"module_output={output!r} says that {name} returns {what}, and it returned "
            f"{problem}: set module_output='raw' for scores before softmax or sigmoid."
        )


def _sums_to_one(output: Tensor) -> bool:
    """Whether rows of several columns are probabilities, as those of a softmax by hand."""
    if output.ndim == 1 or output.shape[1] == 1 or bool((output < 0).any()):
        return False
    return bool(((output.sum(dim=1) - 1).abs() < 1e-5).all())


def warn_of_double_link(seen: FirstPass, *, name: str, output: str, kind: str) -> None:
    """Warn if the module ends in a softmax or sigmoid and its output is read as raw."""
    if output != "raw" or kind == "real":
        return
    column = seen.output.ndim == 1 or seen.output.shape[1] == 1
    softmax = seen.last == "_softmax" or _sums_to_one(seen.output)
    if column and seen.last in ("_softmax", "_log_softmax"):
        problem, cure = "a softmax over one column, which is the same for every row", ""
    elif kind != "multilabel" and not column and softmax:
        problem, cure = "a softmax, and the loss applies another one", " or set 'proba'"
    elif (column or kind == "multilabel") and seen.last in ("sigmoid", "sigmoid_"):
        problem, cure = "a sigmoid, and the loss applies another one", " or set 'proba'"
    else:
        return
    warnings.warn(
        f"{name} ends in {problem} (module_output='raw' means scores before it). Leave it out of "
        f"the module{cure}.",
        UserWarning,
        stacklevel=8,  # the line that calls `fit`
    )
