"""The nets, the rows they are trained on, and the accuracy on rows that nobody saw."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from benchmarks._harness import Unavailable
from benchmarks._mnist import load_digits, pixel_rows
from benchmarks.engine.problem import Task
from benchmarks.engine.problem import make_rows as blurred_prototypes

Layers = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Net:
    """A net with its training, and what precision="auto" may take of scikit-learn's time."""

    task: Task
    most_to_sklearn: float
    n_test: int = 10_000


# So many rows and epochs that a fit takes seconds and a race of five rounds a few minutes.
NETS = [
    Net(Task(50_000, (50, 128, 2), n_epochs=3), 0.75),
    Net(Task(50_000, (784, 128, 10), n_epochs=3), 0.8),
    Net(Task(20_000, (784, 512, 512, 10), n_epochs=3), 0.35),
]
QUICK = Net(Task(2_000, (50, 128, 2), n_epochs=2), 0.75, n_test=500)


@dataclass(frozen=True)
class Rows:
    """Rows to train on and rows to test on, pixels or blurred prototypes in [0, 1]."""

    description: str
    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def make_rows(net: Net) -> Rows:
    """Return digits for a net of 784 inputs where they are at hand, else synthetic rows."""
    if net.task.sizes[0] == 784:
        try:
            return _digits(net)
        except Unavailable:
            pass  # the synthetic rows do as well, which the report says
    n = net.task.n_rows
    X, y = blurred_prototypes(replace(net.task, n_rows=n + net.n_test))
    return Rows(f"{n} rows of blurred prototypes", X[:n], y[:n], X[n:], y[n:])


def _digits(net: Net) -> Rows:
    (images, labels), (held_out, answers) = load_digits()
    n = net.task.n_rows
    return Rows(
        f"{n} rows of MNIST",
        pixel_rows(images[:n]),
        labels[:n].astype(np.int64),
        pixel_rows(held_out),
        answers.astype(np.int64),
    )


def accuracy(rows: Rows, layers: Layers) -> float:
    """Return the test accuracy of a ReLU net given as (coef, bias) of its layers."""
    hidden = rows.X_test.astype(np.float64)
    for i, (coef, bias) in enumerate(layers):
        hidden = hidden @ coef.astype(np.float64) + bias
        if i < len(layers) - 1:
            np.maximum(hidden, 0, out=hidden)
    return float((hidden.argmax(axis=1) == rows.y_test).mean())
