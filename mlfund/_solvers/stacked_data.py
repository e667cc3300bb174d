"""What a grid of models is fitted on, and what comes out."""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class FoldedRows:
    """The rows of a cross-validation.

    Attributes
    ----------
    X : ndarray or CSR of shape (n, d), float32 or float64
    code : ndarray of int of shape (n,)
        Class of each row.
    n_classes : int
    weights : ndarray of shape (n,), or None
        Row weights, not negative.
    times : ndarray of shape (F, n)
        How often each fold trains on each row: any splitter's answer, or weights.
    affine : tuple of two ndarrays of shape (F, d), or None
        Centre and scale of the columns in which each fold's models are penalised:
        (x - centre) / scale.
    """

    X: NDArray | sp.csr_array
    code: NDArray
    n_classes: int
    weights: NDArray | None
    times: NDArray
    affine: tuple[NDArray, NDArray] | None = None

    @property
    def k(self) -> int:
        """Margins a row."""
        return 1 if self.n_classes == 2 else self.n_classes

    def of_folds(self, folds) -> FoldedRows:
        """Return the same rows with some of the folds (a mask, numbers or a slice)."""
        affine = self.affine and (self.affine[0][folds], self.affine[1][folds])
        return dataclasses.replace(self, times=self.times[folds], affine=affine)


@dataclasses.dataclass
class GridFit:
    """The models of a grid, in the columns of X.

    Attributes
    ----------
    W : ndarray of shape (F, R, K, k, d)
        For fold, l1 ratio and strength.
    b : ndarray of shape (F, R, K, k)
    n_iter : ndarray of int of shape (F, R, K)
    converged : ndarray of bool of shape (F, R, K)
        False where `max_iter` came first.
    gradient : ndarray of shape (F, R, K)
        Largest entry of the gradient.
    solver : str
        "stacked", or the algorithm that fitted all models one by one.
    mean, scale : ndarray of shape (F, d), or None
        What each fold scaled the columns by: W and b act on X as it is; the weights of the
        scaled columns, which were penalised, are W * scale.
    """

    W: NDArray
    b: NDArray
    n_iter: NDArray
    converged: NDArray
    gradient: NDArray
    solver: str = "stacked"
    mean: NDArray | None = None
    scale: NDArray | None = None

    def put(self, folds, part: GridFit) -> None:
        """Take over the models of some folds."""
        for name in ("W", "b", "n_iter", "converged", "gradient", "mean", "scale"):
            if getattr(self, name) is not None:
                getattr(self, name)[folds] = getattr(part, name)
        self.solver = part.solver


def training_times(trains: list[NDArray], n: int) -> NDArray:
    """Return how often each fold trains on each of n rows, for the folds' row numbers.

    Examples
    --------
    >>> import numpy as np
    >>> training_times([np.array([0, 1]), np.array([2, 2])], 3)
    array([[1, 1, 0],
           [0, 0, 2]])
    """
    return np.stack([np.bincount(train, minlength=n) for train in trains])


@dataclasses.dataclass(frozen=True)
class Terms:
    """The arguments of `solve_grid` that are the same for all models."""

    intercept: bool
    tol: float
    max_iter: int
    rng: np.random.RandomState
    of_intercept: float | None
    standardise: bool
    solver: str | None


def empty_fit(rows: FoldedRows, R: int, K: int, terms: Terms) -> GridFit:
    """Return a fit of zeros for R l1 ratios and K strengths."""
    scaled = terms.standardise or rows.affine is not None
    F, d = len(rows.times), rows.X.shape[1]
    return GridFit(
        W=np.zeros((F, R, K, rows.k, d)),
        b=np.zeros((F, R, K, rows.k)),
        n_iter=np.zeros((F, R, K), dtype=np.int32),
        converged=np.ones((F, R, K), dtype=bool),
        gradient=np.zeros((F, R, K)),
        mean=np.zeros((F, d)) if scaled else None,
        scale=np.ones((F, d)) if scaled else None,
    )


def fold_weight_sums(rows: FoldedRows) -> NDArray:
    """Return the sum of the weights that each fold trains on, (F,)."""
    weights = np.ones(rows.X.shape[0]) if rows.weights is None else rows.weights
    total = rows.times @ weights
    if not (total > 0).all():
        fold = int(np.argmin(total))
        raise ValueError(
            f"all training rows of fold {fold} have weight zero; "
            "give some of them weight or choose another cv."
        )
    return total
