"""Permutation importance: how much worse a fitted pipeline gets without one column's meaning."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from mlfund.advisor.scores import METRICS, predict_for

if TYPE_CHECKING:
    from mlfund.advisor.work import Data

N_REPEATS = 5
# Enough rows for a standard error of a hundredth of the spread of the row losses.
MAX_ROWS = 5_000
# Wide tables: one permutation a column instead of five once this much time has gone.
PATIENCE_SECONDS = 15.0


def permutation_importance(
    model: Any, data: Data, rows: np.ndarray, metric: str, seed: int
) -> list[dict[str, Any]]:
    """Permute one column at a time on rows the model has not seen.

    Parameters
    ----------
    model : estimator
        Fitted on other rows.
    data : Data
        The table.
    rows : ndarray of int
        Positions of the held-out rows; at most 5,000 of them are drawn.
    metric : str
        Name of the metric to watch.
    seed : int
        Of the permutations.

    Returns
    -------
    columns : list of dict
        ``feature``, ``mean`` and ``std`` over the permutations of how much worse the metric
        becomes, in its own unit (positive: the column is used). Largest first.

    References
    ----------
    Breiman, L. Random Forests. Machine Learning 45, 2001.
    """
    watched = METRICS[metric]
    sign = -1.0 if watched.greater_is_better else 1.0
    generator = np.random.default_rng(seed)
    if len(rows) > MAX_ROWS:
        rows = np.sort(generator.choice(rows, MAX_ROWS, replace=False))
    X, y = data.X.iloc[rows], data.y[rows]

    def loss(table: Any) -> float:
        return sign * watched.value(
            y, predict_for(model, table, data.task, data.classes), data.classes
        )

    intact, columns, start = loss(X), [], monotonic()
    for j, name in enumerate(X.columns):
        repeats = N_REPEATS if monotonic() - start < PATIENCE_SECONDS else 1
        shuffled, worse = X.copy(), []
        for _ in range(repeats):
            mixed = X.iloc[generator.permutation(len(X)), j].set_axis(X.index)
            shuffled[name] = mixed
            worse.append(loss(shuffled) - intact)
        columns.append(
            {"feature": str(name), "mean": float(np.mean(worse)), "std": float(np.std(worse))}
        )
    return sorted(columns, key=lambda column: -column["mean"])
