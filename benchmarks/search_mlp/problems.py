"""The searches that are timed: a table, a net, 16 candidates and 5 folds each."""

from __future__ import annotations

import dataclasses
from itertools import product

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

FOLDS = 5
BATCH_SIZE = 200
LEARNING_RATES = (5e-4, 1e-3, 2e-3, 4e-3)
ALPHAS = (1e-5, 1e-4, 1e-3, 1e-2)


@dataclasses.dataclass(frozen=True)
class Problem:
    """One search.

    Attributes
    ----------
    sizes : tuple of int
        Columns, hidden units and classes.
    n_rows, n_epochs : int
        Rows of the table, and epochs of each fit.
    """

    sizes: tuple[int, int, int]
    n_rows: int
    n_epochs: int

    @property
    def name(self) -> str:
        """Return the sizes of the net."""
        return "-".join(str(size) for size in self.sizes)

    @property
    def n_steps(self) -> int:
        """Return the optimizer steps of one fit."""
        n_train = self.n_rows - self.n_rows // FOLDS
        return self.n_epochs * -(-n_train // BATCH_SIZE)


PROBLEMS = (
    Problem((50, 16, 2), 5_000, 10),
    Problem((50, 64, 2), 5_000, 10),
    Problem((784, 128, 10), 5_000, 2),
)
QUICK = (Problem((10, 4, 2), 300, 2), Problem((12, 5, 3), 300, 2))


@dataclasses.dataclass(frozen=True)
class Search:
    """Data, folds and grid of a problem.

    Attributes
    ----------
    X : ndarray of shape (n, d), float32
    y : ndarray of shape (n,)
        Class codes.
    folds : list of (train, test)
    grid : list of (learning rate, alpha)
    """

    problem: Problem
    X: NDArray[np.float32]
    y: NDArray[np.int64]
    folds: list[tuple[NDArray[np.intp], NDArray[np.intp]]]
    grid: list[tuple[float, float]]


def make(problem: Problem) -> Search:
    """Draw a table whose classes a net of a few units tells apart, with a tenth of noise."""
    n_columns, _, n_classes = problem.sizes
    rng = np.random.default_rng(0)
    X = rng.standard_normal((problem.n_rows, n_columns)).astype(np.float32)
    hidden = np.tanh(X @ rng.standard_normal((n_columns, 8)) / np.sqrt(n_columns))
    y = np.argmax(hidden @ rng.standard_normal((8, n_classes)), axis=1)
    noise = rng.uniform(size=problem.n_rows) < 0.1
    y = np.where(noise, rng.integers(n_classes, size=problem.n_rows), y)
    folds = list(StratifiedKFold(FOLDS).split(X, y))
    return Search(problem, X, y, folds, list(product(LEARNING_RATES, ALPHAS)))


def start(sizes: tuple[int, int, int], random_state: np.random.RandomState):
    """Draw initial weights (units, inputs) and biases as scikit-learn does, widths of y's."""
    n_columns, n_hidden, n_classes = sizes
    drawn = []
    for fan_in, fan_out in ((n_columns, n_hidden), (n_hidden, width(n_classes))):
        bound = np.sqrt(6 / (fan_in + fan_out))
        weight = random_state.uniform(-bound, bound, (fan_in, fan_out)).astype(np.float32)
        bias = random_state.uniform(-bound, bound, fan_out).astype(np.float32)
        drawn += [np.ascontiguousarray(weight.T), bias]
    return drawn


def width(n_classes: int) -> int:
    """Return the raw scores a row: one for two classes."""
    return 1 if n_classes == 2 else n_classes


def orders(n_rows: int, random_state: np.random.RandomState, n_epochs: int):
    """Yield the row orders of scikit-learn's MLPs, epoch by epoch."""
    order = np.arange(n_rows)
    for _ in range(n_epochs):
        step = np.arange(n_rows)
        random_state.shuffle(step)
        order = order[step]
        yield order
