"""The rows, the nets and their initial weights, the same for every competitor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Task:
    """What is trained: rows, layer sizes, batches, epochs, the seed of the weights."""

    n_rows: int
    sizes: tuple[int, ...]
    n_epochs: int = 5
    batch_size: int = 256
    learning_rate: float = 1e-3
    seed: int = 0


WIDE = Task(50_000, (784, 128, 10))
NARROW = Task(50_000, (50, 128, 2))
QUICK = Task(2_000, (784, 128, 10), n_epochs=2)


def make_rows(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 X in [0, 1] and class codes: blurred prototypes, 20 % wrong labels.

    The wrong labels keep the final loss well above zero, where 1 % of it means something.
    """
    rng = np.random.default_rng(0)
    n_features, n_classes = task.sizes[0], task.sizes[-1]
    codes = rng.integers(n_classes, size=task.n_rows)
    prototypes = rng.random((n_classes, n_features), dtype=np.float32)
    noise = rng.random((task.n_rows, n_features), dtype=np.float32)
    X = 0.3 * prototypes[codes] + 0.7 * noise
    wrong = rng.random(task.n_rows) < 0.2
    y = np.where(wrong, rng.integers(n_classes, size=task.n_rows), codes)
    return X, y


def initial_weights(task: Task) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the weights that scikit-learn's MLP draws from `RandomState(seed)`.

    A binary net has two outputs here and one in scikit-learn and mlfund; its layers
    then start from weights of the same distribution, not from the same numbers.
    """
    rng = np.random.RandomState(task.seed)
    layers = []
    for fan_in, fan_out in zip(task.sizes[:-1], task.sizes[1:], strict=True):
        bound = np.sqrt(6.0 / (fan_in + fan_out))
        coef = rng.uniform(-bound, bound, (fan_in, fan_out)).astype(np.float32)
        layers.append((coef, rng.uniform(-bound, bound, fan_out).astype(np.float32)))
    return layers
