"""Many logistic regressions at once: folds times strengths of the penalty."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers import kernels
from mlfund._solvers.stacked_pass import CompiledPass
from mlfund._solvers.stacked_products import BlockedPass
from mlfund._solvers.stacked_rows import FoldedDesign


class Places(NamedTuple):
    """Where models stand in a grid: numbers of their strengths, ascending, and folds, (m,)."""

    strength: NDArray
    fold: NDArray


class StackedProblem:
    """All models of a grid, on one copy of the rows.

    Model (c, f) minimises, over V of shape (k, p), the weighted mean of the loss over the
    rows that fold f trains on, plus 1/2 sum_j l2_cf spread_fj^2 v_j^2.

    Parameters
    ----------
    design : FoldedDesign
    code : ndarray of int of shape (n,)
        Class of each row of X.
    n_classes : int
    weights : ndarray of shape (n,), or None
        Row weights, the largest 1; None when all are equal.
    l2 : ndarray of shape (K, F)
        Strength of the penalty beside the mean loss.
    sums : ndarray of shape (F,)
        Sums of the weights over each fold's training rows.
    of_intercept : float or None
        As in `linear.Penalty`.
    dtype : numpy dtype
        Of the products with A.
    threads : int
        On how many the compiled passes run.

    Attributes
    ----------
    k : int
        Margins a row: 1 for two classes.
    fold, strength : ndarray of int of shape (K F,)
        f and c of each model; the models of one c stand together.
    units : ndarray of shape (F, p)
    penalty : ndarray of shape (K F, p)
        On 1/2 v_j^2: l2 times units.
    compiled : bool
        Whether the passes are.
    """

    def __init__(
        self,
        design: FoldedDesign,
        code,
        n_classes: int,
        weights,
        l2,
        sums,
        of_intercept,
        dtype,
        threads: int = 1,
    ):
        self.design, self.dtype = design, np.dtype(dtype)
        self.k = 1 if n_classes == 2 else n_classes
        self.code, self.n_classes, self.weights, self.sums = code, n_classes, weights, sums
        self.l2, self.of_intercept = l2, of_intercept
        self.compiled = kernels.takes_dense(design.X)
        self.threads = threads if self.compiled else 1
        K, F = l2.shape
        self.strength, self.fold = np.repeat(np.arange(K), F), np.tile(np.arange(F), K)
        self.units = np.zeros((F, design.p))
        self.units[:, : design.d] = design.spread**2
        if of_intercept is not None:
            self.units[:, design.d] = 1.0 / of_intercept**2
        self.penalty = l2.ravel()[:, None] * self.units[self.fold]
        self._standardised = 1.0 / np.sqrt(1.0 + self.penalty)
        self._pass = self._pass_in(self.dtype)

    def astype(self, dtype) -> StackedProblem:
        """Return the same problem with products in another dtype."""
        other = copy.copy(self)
        other.dtype = np.dtype(dtype)
        other._pass = self._pass_in(other.dtype)
        return other

    def _pass_in(self, dtype) -> CompiledPass | BlockedPass:
        rows = (self.design, self.code, self.n_classes, self.weights, dtype)
        return CompiledPass(*rows, self.threads) if self.compiled else BlockedPass(*rows)

    def places(self, models: NDArray) -> Places:
        """Return strengths and folds of some models, as the metric wants them."""
        return Places(self.strength[models], self.fold[models])

    def gradients(self, V: NDArray, models: NDArray) -> NDArray:
        """Return the gradients of some models, (m, k, p); one pass over A.

        Parameters
        ----------
        V : ndarray of shape (m, k, p)
        models : ndarray of int of shape (m,)
            Which of all models these are.
        """
        fold = self.fold[models]
        G = self._pass.gradients(self.design.to_shared(V, fold), fold)
        G /= self.sums[fold, None, None]
        G = self.design.pull_back(G, fold)
        G += self.penalty[models, None] * V
        return G

    def measure(self, G: NDArray, models: NDArray) -> tuple[NDArray, NDArray]:
        """Return the largest entries of each gradient, as `Stopping` measures them.

        Returns
        -------
        sizes, standardised : ndarray of shape (m,)
            The number to be compared with `tol`, and its part in standardised columns.
        """
        standardised = np.abs(G * self._standardised[models, None]).max(axis=(1, 2))
        original = np.abs(self.design.gradient_to_original(G, self.fold[models]))
        original = original.max(axis=(1, 2))
        return np.maximum(standardised, original), standardised
