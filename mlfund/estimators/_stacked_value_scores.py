"""Regression metrics of many models at once; see `_stacked_class_scores`."""

from __future__ import annotations

import numpy as np

from mlfund.estimators._stacked_class_scores import Scores
from mlfund.estimators._stacked_responses import RegressorResponses


def r2(said: RegressorResponses) -> Scores:
    """Return the shares of the variance explained, averaged over the outputs."""
    spread = said.average((said.y - said.average(said.y)) ** 2)
    # A weighted mean of equal values may differ from them by rounding.
    constant = (said.y == said.y[:1]).all(axis=0)
    if len(said.y) < 2 or constant.any() or not (spread > 0).all():
        return None
    return (1 - said.average(said.errors**2) / spread).mean(axis=1)


def mean_squared(said: RegressorResponses) -> Scores:
    """Return the mean squared errors."""
    return said.average(said.errors**2).mean(axis=1)


def root_mean_squared(said: RegressorResponses) -> Scores:
    """Return the roots of the mean squared errors of each output, averaged."""
    return np.sqrt(said.average(said.errors**2)).mean(axis=1)


def mean_absolute(said: RegressorResponses) -> Scores:
    """Return the mean absolute errors."""
    return said.average(np.abs(said.errors)).mean(axis=1)


def median_absolute(said: RegressorResponses) -> Scores:
    """Return the medians of the absolute errors."""
    if said.weights is not None:
        return None
    return np.median(np.abs(said.errors), axis=1).mean(axis=1)


def largest(said: RegressorResponses) -> Scores:
    """Return the largest absolute errors."""
    if said.weights is not None or said.y.shape[1] != 1:
        return None
    return np.abs(said.errors).max(axis=(1, 2))
