"""The steps of a pipeline one by one, and their outputs for different rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing


def transform(pipeline: Pipeline, X: Any) -> Any:
    """Return X as the fitted steps transform it."""
    # Not the pipeline's own transform, which asks the last of these steps whether it is
    # fitted: one without state may not know, and inside the whole pipeline is not asked.
    for _, step in pipeline.steps:
        X = X if passes(step) else step.transform(X)
    return X


def passes(step: Any) -> bool:
    """Whether a step of a pipeline does nothing."""
    return step is None or (isinstance(step, str) and step == "passthrough")


def rows_of(y: Any, rows: NDArray[np.intp]) -> Any:
    """Return some rows of y, which may be None."""
    return None if y is None else _safe_indexing(y, rows)


def same(one: Any, other: Any) -> bool:
    """Whether two outputs of a transformer for the same rows are equal."""
    if type(one) is not type(other) or one.shape != other.shape:
        return False
    if sp.issparse(one):
        return (one != other).nnz == 0
    if hasattr(one, "iloc"):
        return one.equals(other)
    return bool(np.array_equal(one, other))


def joined(parts: list[Any]) -> Any:
    """Return outputs of a transformer for different rows as one."""
    if any(sp.issparse(part) for part in parts):
        return sp.vstack(parts, format="csr")
    if hasattr(parts[0], "iloc"):
        # Searches without tables need not wait for this import.
        import pandas as pd

        return pd.concat(parts)
    return np.concatenate(parts)
