"""The largest batch that a device takes, found by measurement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mlfund._engine.data import Batch, DeviceRows
from mlfund._engine.objective import Objective

# Share of the free memory of a device that one step may take: the allocator's rounding,
# the optimizer's state and the validation pass need the rest.
SHARE_OF_DEVICE = 0.6
# On a processor a batch whose activations leave the caches is slower a row, not faster.
CPU_BYTES = 16 << 20
# Larger batches train worse for the same number of passes (Keskar et al. 2017).
MOST_ROWS = 8192
LEAST_STEPS = 16
SMALLEST = 16


def largest_batch_size(module: nn.Module, objective: Objective, rows: DeviceRows) -> int:
    """Return the largest power of two of rows whose step fits the device with headroom.

    Two small steps are measured, and memory grows linearly with rows; the module's
    gradients, statistics and random streams are left alone. An epoch keeps at least
    `LEAST_STEPS` steps where there are rows enough, and a batch has `MOST_ROWS` at most.

    Parameters
    ----------
    module : torch.nn.Module
        On the device of `rows`.
    objective : Objective
        What is minimised.
    rows : DeviceRows
        The training rows.
    """
    if rows.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(rows.device)
        measure, budget = _peak_bytes, SHARE_OF_DEVICE * free
    else:
        measure, budget = _saved_bytes, float(CPU_BYTES)

    def step_bytes(size: int) -> float:
        return float(measure(lambda: _one_step(module, objective, rows, size), rows.device))

    with _as_it_was(module):
        return choose(step_bytes, len(rows), budget)


def choose(step_bytes: Callable[[int], float], n: int, budget: float) -> int:
    """Return the largest power of two within the budget, from the memory of two steps.

    Parameters
    ----------
    step_bytes : callable
        ``rows -> bytes`` of one step.
    n : int
        Rows of an epoch.
    budget : float
        Bytes that a step may take.
    """
    most = min(MOST_ROWS, max(SMALLEST, n // LEAST_STEPS), n)
    small, large = min(SMALLEST, n), min(4 * SMALLEST, n)
    if small == large:
        return small
    few, many = step_bytes(small), step_bytes(large)
    per_row = max((many - few) / (large - small), 1.0)
    size = small
    while 2 * size <= most and few + per_row * (2 * size - small) <= budget:
        size *= 2
    return size


def _one_step(module: nn.Module, objective: Objective, rows: DeviceRows, size: int) -> Tensor:
    part = slice(0, size)
    weight = rows.weight_of(part)
    total = float(size) if weight is None else float(weight.sum())
    batch = Batch.of(rows.features(part), rows.y[part], weight, total)
    return objective(module(batch[0]), batch)


def _peak_bytes(step: Callable[[], Tensor], device: torch.device) -> int:
    """Memory that a forward and a backward pass take at their height."""
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step().backward()
    torch.cuda.synchronize(device)
    return int(torch.cuda.max_memory_allocated(device)) - before


def _saved_bytes(step: Callable[[], Tensor], device: torch.device) -> int:
    """Memory of what a forward pass keeps for the backward pass."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(kept.values())


@contextmanager
def _as_it_was(module: nn.Module) -> Iterator[None]:
    """Measure in evaluation mode, which draws nothing and moves no statistics."""
    modes = [part.training for part in module.modules()]
    gradients = [p.grad for p in module.parameters()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in zip(module.modules(), modes, strict=True):
            part.training = mode
        for parameter, gradient in zip(module.parameters(), gradients, strict=True):
            parameter.grad = gradient
