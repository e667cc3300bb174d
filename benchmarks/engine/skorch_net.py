"""skorch with its defaults, but for `train_split=None`: nobody else holds rows out."""

from __future__ import annotations

import numpy as np
import torch
from skorch import NeuralNetClassifier

from benchmarks.engine.bare_torch import make_net, weights_of
from benchmarks.engine.problem import Task


def fit(
    X: np.ndarray, y: np.ndarray, task: Task, *, device: str = "cpu"
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Train and return the weights."""
    torch.manual_seed(task.seed)
    net = NeuralNetClassifier(
        make_net(task),
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        optimizer__fused=True,
        lr=task.learning_rate,
        max_epochs=task.n_epochs,
        batch_size=task.batch_size,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        device=device,
    )
    net.fit(X, y)
    return weights_of(net.module_.cpu())
