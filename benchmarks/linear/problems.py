"""The problems: data, penalty, and the line that the project wants to reach on each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from benchmarks._mnist import load_digits, pixel_rows


@dataclass(frozen=True)
class Line:
    """At most `ratio` times the fastest competitor whose name starts with `against`."""

    ratio: float
    against: str = "scikit-learn"


@dataclass(frozen=True)
class Problem:
    """Rows, labels and penalty; the objective is C * sum of losses + penalty, no intercept.

    Attributes
    ----------
    X : ndarray (C order) or CSR of shape (n, d), float64
    y : ndarray of int of shape (n,)
        Codes from 0.
    C : float
    l1 : bool
        Whether the penalty is |w|_1, else 1/2 |w|^2.
    """

    X: NDArray | sp.csr_array
    y: NDArray
    C: float = 1.0
    l1: bool = False

    @property
    def sparse(self) -> bool:
        """Whether X is a sparse array."""
        return sp.issparse(self.X)

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.y.max()) + 1


@dataclass(frozen=True)
class Entry:
    """A problem by name: how it is made, how often it is timed, what is wanted.

    `limit_seconds` ends the search for a competitor's setting: one that takes longer for a
    fit is reported as slower than that. Of the settings only every `stride`-th is tried.
    `like` names a smaller problem whose settings the search begins with.
    """

    title: str
    make: Callable[[], Problem]
    line: Line | None
    repeats: int
    limit_seconds: float = 30.0
    stride: int = 1
    like: str | None = None


def correlated(rng, n: int, d: int, rho: float) -> NDArray:
    """Return Gaussian rows with the covariance rho^|i - j| of columns i and j."""
    X = rng.standard_normal((n, d))
    for j in range(1, d):
        X[:, j] = rho * X[:, j - 1] + np.sqrt(1 - rho**2) * X[:, j]
    return X


def draw_labels(rng, margins: NDArray) -> NDArray:
    """Draw labels of the logistic model."""
    return (margins + rng.logistic(size=len(margins)) > 0).astype(np.int64)


def dense(n: int, d: int, rho: float = 0.0, *, seed: int = 0) -> Problem:
    """Gaussian columns, true weights N(0, 4 / d)."""
    rng = np.random.default_rng(seed)
    X = correlated(rng, n, d, rho)
    return Problem(X, draw_labels(rng, X @ rng.normal(0, np.sqrt(4 / d), d)))


def separable(n: int, d: int) -> Problem:
    """Isotropic columns and the sign of a linear function, as benchopt simulates them."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n, d))
    return Problem(X, (X @ rng.standard_normal(d) > 0).astype(np.int64))


def text_like(n: int, d: int, C: float, words: int = 56) -> Problem:
    """Zipf columns, tf-idf, rows of length 1; some 47 different words of `words` drawn."""
    rng = np.random.default_rng(2)
    frequency = 1.0 / np.arange(1, d + 1)
    columns = rng.choice(d, size=n * words, p=frequency / frequency.sum())
    rows = np.repeat(np.arange(n), words)
    counts = sp.csr_array((np.ones(n * words), (rows, columns)), shape=(n, d))
    counts.sum_duplicates()
    documents = np.bincount(counts.indices, minlength=d)
    counts.data *= (np.log((1 + n) / (1 + documents)) + 1)[counts.indices]
    lengths = np.sqrt(counts.multiply(counts).sum(axis=1))
    X = sp.csr_array(sp.diags_array(1 / lengths) @ counts)
    X.sort_indices()
    # 32-bit indices, as text vectorizers make them; some solvers take no others.
    X = sp.csr_array((X.data, X.indices.astype(np.int32), X.indptr.astype(np.int32)), X.shape)
    return Problem(X, draw_labels(rng, X @ rng.normal(0, 10, d)), C=C)


def with_l1(problem: Problem, fraction: float) -> Problem:
    """Return the problem with an l1 penalty, a fraction of the least that gives w = 0."""
    largest = np.abs(problem.X.T @ (problem.y - 0.5)).max()
    return Problem(problem.X, problem.y, C=1 / (fraction * largest), l1=True)


def l1_dense(n: int, d: int) -> Problem:
    """Correlated columns of which every tenth matters."""
    rng = np.random.default_rng(3)
    X = correlated(rng, n, d, 0.9)
    weights = np.where(np.arange(d) % 10 == 0, rng.choice([-1.0, 1.0], d), 0.0)
    return with_l1(Problem(X, draw_labels(rng, X @ weights)), 1 / 20)


def l1_sparse(n: int, d: int) -> Problem:
    """Text-like rows."""
    return with_l1(text_like(n, d, C=1.0), 1 / 20)


def mnist(n: int = 60_000) -> Problem:
    """Pixels of the first n training digits, in [0, 1]."""
    (images, labels), _ = load_digits()
    return Problem(pixel_rows(images[:n], np.float64), labels[:n].astype(np.int64))


# The lines are those of the issue that asked for these solvers.
PROBLEMS = {
    "dense": Entry(
        "dense, 100,000 x 100, correlated columns",
        partial(dense, 100_000, 100, 0.9),
        Line(0.15),
        repeats=5,
    ),
    "isotropic": Entry(
        "isotropic, 100,000 x 400, separable as benchopt's",
        partial(separable, 100_000, 400),
        Line(0.6),
        repeats=5,
    ),
    "isotropic-noisy": Entry(
        "isotropic, 100,000 x 400, labels of the logistic model",
        partial(dense, 100_000, 400),
        None,
        repeats=5,
    ),
    "sparse-1": Entry(
        "sparse, 20,000 x 50,000, C = 1",
        partial(text_like, 20_000, 50_000, 1.0),
        Line(0.5),
        repeats=7,
    ),
    "sparse-100": Entry(
        "sparse, 20,000 x 50,000, C = 100",
        partial(text_like, 20_000, 50_000, 100.0),
        Line(1.0),
        repeats=7,
    ),
    "l1-dense": Entry(
        "l1, dense, 20,000 x 200, correlated columns",
        partial(l1_dense, 20_000, 200),
        Line(1.2, "skglm"),
        repeats=7,
    ),
    "l1-sparse": Entry(
        "l1, sparse, 20,000 x 50,000",
        partial(l1_sparse, 20_000, 50_000),
        Line(1.2, "skglm"),
        repeats=7,
    ),
    "small": Entry("small, 1,000 x 10", partial(dense, 1_000, 10), Line(1.0), repeats=51),
    "mnist-third": Entry(
        "MNIST, first 20,000 x 784, 10 classes",
        partial(mnist, 20_000),
        None,
        repeats=3,
        limit_seconds=60.0,
        stride=2,
    ),
    "mnist": Entry(
        "MNIST, 60,000 x 784, 10 classes",
        mnist,
        Line(0.10),
        repeats=2,
        limit_seconds=150.0,
        stride=2,
        like="mnist-third",
    ),
}

QUICK = {
    "quick-dense": Entry("dense, 500 x 5", partial(dense, 500, 5), Line(1.0), repeats=1),
    "quick-l1": Entry("l1, dense, 500 x 10", partial(l1_dense, 500, 10), None, repeats=1),
}
