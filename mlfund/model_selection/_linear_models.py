"""Linear models that were trained as a stack."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.base import clone

from mlfund.estimators._linear_arguments import Objective
from mlfund.model_selection._models import StackedClassifiers, StackedRegressors

# Rows that are centred at once: their copy stays in the cache.
BLOCK_ENTRIES = 2**17


@dataclass(frozen=True)
class Stack:
    """The weights of the models of one split, as the final estimators have them.

    Attributes
    ----------
    coef : ndarray of shape (m, k, d)
        On the columns that the final estimators see, those of the scaler where there is one.
    intercept : ndarray of shape (m, k)
    n_iter : sequence of int of length m
    solver : sequence of str of length m
    affine : tuple of two ndarrays of shape (d,), or None
        Centre and scale of the columns of X.
    names : ndarray of str of shape (d,), or None
    """

    coef: NDArray
    intercept: NDArray
    n_iter: Sequence[int]
    solver: Sequence[str]
    affine: tuple[NDArray, NDArray] | None
    names: NDArray | None

    def raw(self, X: Any, models: slice) -> NDArray:
        """Return raw scores of rows of X, (m, r, k), in the dtype of the weights."""
        W, b = self.coef[models], self.intercept[models]
        m, k, d = W.shape
        W = W.reshape(m * k, d)
        if self.affine is not None:
            W = (W / self.affine[1]).astype(W.dtype)
        Z = np.empty((m * k, X.shape[0]), dtype=W.dtype)
        if sp.issparse(X):
            Z[:] = (X @ W.T).T
        elif self.affine is None or not self.affine[0].any():
            np.matmul(W, X.T, out=Z)
        else:
            step = max(BLOCK_ENTRIES // max(d, 1), 64)
            for start in range(0, X.shape[0], step):
                index = slice(start, start + step)
                # Far from zero, products with the rows as they are would lose the digits.
                part = (X[index] - self.affine[0]).astype(W.dtype, copy=False)
                np.matmul(W, part.T, out=Z[:, index])
        Z += b.reshape(m * k, 1)
        return Z.reshape(m, k, -1).transpose(0, 2, 1)

    def publish(self, model: Any, position: int) -> None:
        """Set the attributes that all linear models have."""
        if self.names is not None:
            model.feature_names_in_ = self.names
        model.n_features_in_ = self.coef.shape[2]
        model.solver_ = self.solver[position]
        model.device_ = "cpu"


@dataclass(kw_only=True)
class _Linear:
    """What both kinds of trained linear models share."""

    estimators: Sequence[Any] = field(repr=False)
    stack: Stack = field(repr=False)

    def _raw(self, X: Any, models: slice) -> NDArray:
        return self.stack.raw(X, models)


@dataclass(kw_only=True)
class LinearClassifiers(_Linear, StackedClassifiers):
    """Logistic regressions of one split.

    Attributes
    ----------
    estimators : sequence of LogisticRegression
        The unfitted ones of all candidates.
    objectives : sequence of Objective
        What each model minimises.
    stack : Stack
    weights : ndarray of shape (n,)
        Weights of the rows that they were trained on, zero for others.
    """

    objectives: Sequence[Objective] = field(repr=False)
    weights: NDArray = field(repr=False)

    def estimator(self, position: int) -> Any:
        """Return one model as a fitted LogisticRegression.

        Its loss curve is the objective of zero weights and that of its own.
        """
        model = clone(self.estimators[self.candidates[position]])
        self.stack.publish(model, position)
        model.classes_ = self.classes
        model.coef_ = self.stack.coef[position].copy()
        model.intercept_ = self.stack.intercept[position].copy()
        model.n_iter_ = np.array([self.stack.n_iter[position]], dtype=np.int32)
        model.loss_curve_ = [float(np.log(len(self.classes))), self._values[position]]
        return model

    @functools.cached_property
    def _values(self) -> list[float]:
        """The objectives of all models, for which their margins on all rows are needed."""
        index = np.flatnonzero(self.weights)
        weight_sum = self.weights.sum()
        share = self.weights[index] / weight_sum
        own = np.searchsorted(self.classes, self.rows.y[index])
        values = []
        for position, objective in enumerate(self.objectives):
            raw = self.raw(index, slice(position, position + 1))[0]
            if raw.shape[1] == 1:
                raw = np.concatenate([np.zeros_like(raw), raw], axis=1)
            log_proba = log_softmax(raw, axis=1)[np.arange(len(own)), own]
            W, (l2, l1) = self.stack.coef[position], objective.strengths(weight_sum)
            penalty = 0.5 * l2 * np.sum(W**2) + l1 * np.abs(W).sum()
            if objective.of_intercept is not None:
                b = np.abs(self.stack.intercept[position]) / objective.of_intercept
                penalty += 0.5 * l2 * np.sum(b**2) + l1 * np.sum(b)
            values.append(float(penalty - share @ log_proba))
        return values


@dataclass(kw_only=True)
class LinearValues(_Linear, StackedRegressors):
    """Linear regressions of one split.

    Attributes
    ----------
    estimators : sequence of LinearRegressor
        The unfitted ones of all candidates.
    stack : Stack
    curves : sequence of list of float
        Objectives, one list a model.
    exponential : bool
        Whether predictions are exponentials of raw scores.
    """

    curves: Sequence[list[float]] = field(repr=False)
    exponential: bool = False

    def predict(self, raw: NDArray) -> NDArray:
        """Return the predictions, (m, r), or (m, r, k) of several targets."""
        values = super().predict(raw)
        return np.exp(values) if self.exponential else values

    def estimator(self, position: int) -> Any:
        """Return one model as a fitted LinearRegressor."""
        model = clone(self.estimators[self.candidates[position]])
        self.stack.publish(model, position)
        W, b = self.stack.coef[position].copy(), self.stack.intercept[position].copy()
        model.coef_, model.intercept_ = (W[0], b[0]) if self.flat else (W, b)
        model.n_iter_ = self.stack.n_iter[position]
        model.loss_curve_ = self.curves[position]
        return model
