"""mlfund's MLPClassifier with the same net."""

from __future__ import annotations

import numpy as np

from benchmarks.engine.problem import Task
from benchmarks.engine.sklearn_mlp import train
from mlfund import MLPClassifier


def fit(X: np.ndarray, y: np.ndarray, task: Task) -> list[tuple[np.ndarray, np.ndarray]]:
    """Train and return the weights."""
    return train(MLPClassifier, X, y, task)
