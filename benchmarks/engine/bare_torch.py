"""The bare loop: tensors, a permutation, index slicing, fused Adam."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.engine.problem import Task, initial_weights


def make_net(task: Task) -> torch.nn.Sequential:
    """Return the net with the initial weights of the task."""
    layers: list[torch.nn.Module] = []
    for coef, bias in initial_weights(task):
        linear = torch.nn.Linear(*coef.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(coef.T))
            linear.bias.copy_(torch.from_numpy(bias))
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def weights_of(net: torch.nn.Module) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (coef, bias) of each linear layer, coef as (fan_in, fan_out)."""
    linears = [m for m in net.modules() if isinstance(m, torch.nn.Linear)]
    return [(m.weight.detach().numpy().T, m.bias.detach().numpy()) for m in linears]


def fit(X: np.ndarray, y: np.ndarray, task: Task) -> list[tuple[np.ndarray, np.ndarray]]:
    """Train and return the weights."""
    generator = torch.Generator().manual_seed(task.seed)
    X_rows, y_rows = torch.from_numpy(X), torch.from_numpy(y)
    net = make_net(task)
    optimizer = torch.optim.Adam(net.parameters(), lr=task.learning_rate, fused=True)
    for _ in range(task.n_epochs):
        order = torch.randperm(len(X_rows), generator=generator)
        for start in range(0, len(X_rows), task.batch_size):
            index = order[start : start + task.batch_size]
            optimizer.zero_grad()
            loss = F.cross_entropy(net(X_rows[index]), y_rows[index])
            loss.backward()
            optimizer.step()
    return weights_of(net)
