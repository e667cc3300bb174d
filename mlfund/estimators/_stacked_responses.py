"""What many models say about the same rows, and what is true of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


def class_numbers(raw: NDArray[Any], *, multilabel: bool = False) -> NDArray[np.intp]:
    """Return numbers of classes, (m, r), from raw scores (m, r, k).

    One raw score (k = 1) means the second of two classes where it is above 0. For
    `multilabel` the result is 0/1 indicators, (m, r, k).
    """
    if multilabel:
        return (raw > 0).astype(np.intp)
    if raw.shape[-1] == 1:
        return (raw[..., 0] > 0).astype(np.intp)
    return raw.argmax(axis=-1)


def probabilities(raw: NDArray[Any], *, multilabel: bool = False) -> NDArray[Any]:
    """Return probabilities of the classes, (m, r, n_classes), from raw scores (m, r, k)."""
    if multilabel:
        return _logistic(raw)
    if raw.shape[-1] > 1:
        proba = raw - raw.max(axis=-1, keepdims=True)
        np.exp(proba, out=proba)
        proba /= proba.sum(axis=-1, keepdims=True)
        return proba
    proba = np.empty((*raw.shape[:-1], 2), dtype=raw.dtype)
    proba[..., 1:] = _logistic(raw)
    np.subtract(1, proba[..., 1], out=proba[..., 0])
    return proba


def _logistic(raw: NDArray[Any]) -> NDArray[Any]:
    """Return the logistic function; scipy's takes three times as long for the last digit."""
    with np.errstate(over="ignore"):
        powers = np.exp(-raw)
    powers += 1
    return np.divide(1, powers, out=powers)


@dataclass
class ClassifierResponses:
    """What m classifiers say about r rows that each belong to one class.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
    code : ndarray of int of shape (r,)
        Number of the true class of each row.
    weights : ndarray of shape (r,), or None
    raw : ndarray of shape (m, r, k)
        Raw scores; k is 1 for two classes.
    to_codes : callable
        Returns numbers of classes (m, r) of raw scores.
    to_proba : callable
        Returns probabilities (m, r, n_classes) of raw scores, or None.
    """

    classes: NDArray[Any]
    code: NDArray[np.intp]
    weights: NDArray[Any] | None
    raw: NDArray[Any]
    to_codes: Callable[[NDArray[Any]], NDArray[np.intp]] = class_numbers
    to_proba: Callable[[NDArray[Any]], NDArray[Any] | None] = probabilities

    @cached_property
    def predicted(self) -> NDArray[np.intp]:
        """Number of the predicted class, (m, r)."""
        return self.to_codes(self.raw)

    @cached_property
    def proba(self) -> NDArray[Any] | None:
        """Probabilities of the classes, (m, r, n_classes)."""
        return self.to_proba(self.raw)

    @cached_property
    def all_present(self) -> bool:
        """Whether each class is the true one of some row."""
        return bool(np.bincount(self.code, minlength=len(self.classes)).all())

    @cached_property
    def confusion(self) -> NDArray[np.float64]:
        """Weights of rows by true and predicted class, (m, n_classes, n_classes)."""
        return self.count(self.weights)

    def count(self, weights: NDArray[Any] | None) -> NDArray[np.float64]:
        """Return the confusion matrices, (m, n_classes, n_classes), for these weights."""
        K, (m, r) = len(self.classes), self.predicted.shape
        cell = self.predicted + self.code * K
        cell += np.arange(m)[:, None] * K * K
        spread = None if weights is None else np.broadcast_to(weights, (m, r)).ravel()
        counts = np.bincount(cell.ravel(), weights=spread, minlength=m * K * K)
        return counts.reshape(m, K, K).astype(np.float64)

    def average(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the weighted means over rows, (m,), of values (m, r)."""
        return average(values, self.weights)


@dataclass
class RegressorResponses:
    """What m regressors say about r rows.

    Attributes
    ----------
    y : ndarray of shape (r, k)
    weights : ndarray of shape (r,), or None
    values : ndarray of shape (m, r, k)
        Predictions.
    """

    y: NDArray[Any]
    weights: NDArray[Any] | None
    values: NDArray[Any]

    @cached_property
    def errors(self) -> NDArray[Any]:
        """Predictions less the truth, (m, r, k)."""
        return self.values - self.y

    def average(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the weighted means over rows, (..., k), of values (..., r, k)."""
        return average(np.swapaxes(values, -1, -2), self.weights)


def average(values: NDArray[Any], weights: NDArray[Any] | None) -> NDArray[np.float64]:
    """Return the weighted means over the last axis."""
    if weights is None:
        return values.mean(axis=-1, dtype=np.float64)
    return values @ weights.astype(np.float64) / weights.sum(dtype=np.float64)
