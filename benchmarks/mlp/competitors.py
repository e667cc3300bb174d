"""Who races: a bare fused torch loop, mlfund, skorch and scikit-learn."""

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


def competitors(bf16: bool) -> dict[str, Fit]:
    """Return who races in float32, and in bfloat16 where there are units for it."""
    entered: dict[str, Fit] = {
        "bare torch": bare_torch.fit,
        "mlfund": mlfund_fit,
        "skorch": skorch_net.fit,
        "scikit-learn": sklearn_mlp.fit,
    }
    if bf16:
        entered["bare torch, bf16"] = bare_bf16_fit
        entered["mlfund, bf16"] = partial(mlfund_fit, precision="bf16")
        entered["mlfund, auto"] = partial(mlfund_fit, precision="auto")
    return entered


def mlfund_fit(X: np.ndarray, y: np.ndarray, task: Task, precision: str | None = None) -> Layers:
    """Train mlfund's MLPClassifier."""
    from mlfund import MLPClassifier

    return sklearn_mlp.train(partial(MLPClassifier, precision=precision), X, y, task)


def bare_bf16_fit(X: np.ndarray, y: np.ndarray, task: Task) -> Layers:
    """Train by the bare loop, forward pass and loss under autocast, as torch's guide has it."""
    generator = torch.Generator().manual_seed(task.seed)
    X_rows, y_rows = torch.from_numpy(X), torch.from_numpy(y)
    net = bare_torch.make_net(task)
    optimizer = torch.optim.Adam(net.parameters(), lr=task.learning_rate, fused=True)
    for _ in range(task.n_epochs):
        order = torch.randperm(len(X_rows), generator=generator)
        for start in range(0, len(X_rows), task.batch_size):
            index = order[start : start + task.batch_size]
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = F.cross_entropy(net(X_rows[index]), y_rows[index])
            loss.backward()
            optimizer.step()
    return bare_torch.weights_of(net)
