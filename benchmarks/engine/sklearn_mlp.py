"""scikit-learn's MLPClassifier with the same net."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from benchmarks.engine.problem import Task


def fit(X: np.ndarray, y: np.ndarray, task: Task) -> list[tuple[np.ndarray, np.ndarray]]:
    """Train and return the weights."""
    return train(MLPClassifier, X, y, task)


def train(
    kind: type, X: np.ndarray, y: np.ndarray, task: Task
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Train an estimator with scikit-learn's parameters."""
    model = kind(
        task.sizes[1:-1],
        batch_size=task.batch_size,
        learning_rate_init=task.learning_rate,
        max_iter=task.n_epochs,
        random_state=task.seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    layers = list(zip(model.coefs_, model.intercepts_, strict=True))
    return with_two_outputs(layers) if model.n_outputs_ == 1 else layers


def with_two_outputs(
    layers: list[tuple[np.ndarray, np.ndarray]],
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return a binary net of one log-odds as one of two raw scores (0 and the log-odds)."""
    coef, bias = layers[-1]
    return [*layers[:-1], (np.hstack([0 * coef, coef]), np.concatenate([0 * bias, bias]))]
