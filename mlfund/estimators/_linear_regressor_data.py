"""Rows, targets and weights of a linear regressor, ready for the solvers."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from mlfund.estimators._linear_data import check_weights


def make_rows(loss: str, X, y, sample_weight, *, whole: bool = True):
    """Return rows of weight above zero, their targets (k, n), and weights with sum 1.

    `whole` is false for a chunk of a stream, in which zeros alone have no optimum to reach.

    Raises
    ------
    ValueError
        If the weights are not usable, or the loss "poisson" does not take the targets.
    """
    if loss == "poisson" and y.min() < 0:
        raise ValueError(
            f"loss='poisson' needs targets of at least 0 (counts, rates); the smallest is "
            f"{y.min():g}: shift the target or use loss='squared_error'."
        )
    weights = check_weights(sample_weight, len(y))
    X, targets, weights = _weighted_rows(X, y.reshape(len(y), -1).T, weights)
    if whole and loss == "poisson" and not np.all(targets.any(axis=1)):
        raise ValueError(
            "loss='poisson' needs a target above 0 in at least one row of weight above 0: "
            "with zeros alone the optimum is minus infinity."
        )
    return X, np.ascontiguousarray(targets), weights


def _weighted_rows(X, targets, weights):
    if sp.issparse(X) and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    if weights is None:
        return X, targets, 1.0 / targets.shape[1]
    used = weights > 0
    if not used.all():
        X, targets, weights = X[used], targets[:, used], weights[used]
    # Scaled by the largest first: the sum of huge weights may overflow.
    weights = weights / weights.max()
    return X, targets, weights / weights.sum()
