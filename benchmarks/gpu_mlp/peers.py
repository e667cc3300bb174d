"""Who races on the GPU: a CUDA graph by hand, mlfund, skorch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.engine import bare_torch, sklearn_mlp, skorch_net
from benchmarks.engine.problem import Task
from benchmarks.mlp.problems import Layers

Fit = Callable[[np.ndarray, np.ndarray, Task], Layers]
DEVICE = "cuda"
WARM_UP = 3


def competitors() -> dict[str, Fit]:
    """Return who races, by name."""
    return {"graph by hand": graph_fit, "mlfund": mlfund_fit, "skorch": skorch_fit}


def graph_fit(X: np.ndarray, y: np.ndarray, task: Task) -> Layers:
    """Train by a loop whose step is one captured graph; the ragged last batch is eager."""
    size, n = task.batch_size, len(X)
    X_rows, y_rows = (torch.from_numpy(a).to(DEVICE) for a in (X, y))
    net = bare_torch.make_net(task).to(DEVICE)
    optimizer = torch.optim.Adam(
        net.parameters(), lr=task.learning_rate, fused=True, capturable=True
    )
    index = torch.zeros(size, dtype=torch.int64, device=DEVICE)

    def step(rows: torch.Tensor) -> None:
        optimizer.zero_grad(set_to_none=False)
        F.cross_entropy(net(X_rows[rows]), y_rows[rows]).backward()
        optimizer.step()

    replay = _captured(partial(step, index), [*net.parameters()], optimizer)
    torch.manual_seed(task.seed)
    for _ in range(task.n_epochs):
        order = torch.randperm(n, device=DEVICE)
        for start in range(0, n - size + 1, size):
            index.copy_(order[start : start + size])
            replay()
        if n % size:
            step(order[n - n % size :])
    return bare_torch.weights_of(net.cpu())


def _captured(
    step: Callable[[], None], parameters: list[torch.Tensor], optimizer: torch.optim.Optimizer
) -> Callable[[], None]:
    """Capture a step after a warm-up that leaves weights and optimizer as they were."""
    if not torch.cuda.is_available():
        return step
    start = [p.detach().clone() for p in parameters]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    with torch.no_grad():
        for parameter, value in zip(parameters, start, strict=True):
            parameter.copy_(value)
            for state in optimizer.state[parameter].values():
                state.zero_()
    return graph.replay


def mlfund_fit(X: np.ndarray, y: np.ndarray, task: Task) -> Layers:
    """Train mlfund's MLPClassifier on the device."""
    from mlfund import MLPClassifier

    return sklearn_mlp.train(partial(MLPClassifier, device=DEVICE), X, y, task)


def skorch_fit(X: np.ndarray, y: np.ndarray, task: Task) -> Layers:
    """Train skorch's classifier on the device."""
    return skorch_net.fit(X, y, task, device=DEVICE)
