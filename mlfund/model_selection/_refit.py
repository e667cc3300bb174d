"""The best candidate fitted on all rows, as its own `fit` does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from mlfund.model_selection._prefix_scalers import fit_standard, is_affine


def fit_on_all(estimator: Any, X: Any, y: Any, params: Mapping[str, Any], *, batched: bool) -> None:
    """Fit an estimator; its attributes are, to rounding, those of its own `fit`.

    Of a StandardScaler and a model the scaler is fitted in one pass over X, where its own
    `fit` makes ten; all else is theirs.

    Parameters
    ----------
    estimator : estimator
    X, y
        y is None where there is none.
    params : mapping
        What `fit` gets beside them.
    batched : bool
        Whether this candidate was trained in stacks, so that its parts have been checked.
    """
    if batched and not params and _is_scaled(estimator) and _is_plain(X):
        (_, scaler), (_, final) = estimator.steps
        final.fit(fit_standard(scaler, X).transform(X), y)
        return
    data = (X,) if y is None else (X, y)
    estimator.fit(*data, **params)


def _is_scaled(estimator: Any) -> bool:
    """Whether an estimator is a StandardScaler and a model, and its fit does nothing else."""
    if type(estimator) is not Pipeline or len(estimator.steps) != 2:
        return False
    scaler = estimator.steps[0][1]
    parts = (estimator, scaler, estimator.steps[1][1])
    return (
        type(scaler) is StandardScaler
        and is_affine(scaler)
        and estimator.memory is None
        and not estimator.verbose
        and not any(getattr(part, "_skl_callbacks", None) for part in parts)
    )


def _is_plain(X: Any) -> bool:
    return type(X) is np.ndarray and X.ndim == 2 and X.dtype in (np.float32, np.float64)
