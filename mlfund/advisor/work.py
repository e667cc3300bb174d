"""What is done with one candidate: fit folds, measure its cost, permute columns.

The same function runs in this process and in a child process; it reports each step as an event,
a dict of plain values.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from mlfund._measure import latency_ms, model_bytes
from mlfund.advisor.candidates import Setting, get_candidate
from mlfund.advisor.importance import permutation_importance
from mlfund.advisor.scores import confusion, predict_for, score_all

LATENCY_CALLS = 200
# A very slow candidate is measured with fewer calls: as many as fit in this time.
LATENCY_SECONDS = 10.0

Event = dict[str, Any]
Split = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Data:
    """The table as every candidate sees it.

    Attributes
    ----------
    X : DataFrame of shape (n, d), or ndarray of shape (n, h, w) or (n, h, w, c)
        Rows with a target only, or images.
    y : ndarray of shape (n,)
        Labels or numbers.
    task : str
        "classification" or "regression".
    classes : ndarray of shape (k,) or None
        Labels in sorted order.
    """

    X: Any
    y: np.ndarray
    task: str
    classes: np.ndarray | None

    @property
    def images(self) -> bool:
        """Whether rows are images."""
        return not isinstance(self.X, pd.DataFrame)

    def rows(self, which: Any) -> Any:
        """Return some rows of X, by position."""
        return self.X[which] if self.images else self.X.iloc[which]


@dataclass(frozen=True)
class Work:
    """What to do with one candidate.

    Attributes
    ----------
    candidate : str
        Its name.
    setting : Setting
        What its pipeline depends on.
    splits : sequence of (train, test)
        Positions of rows; each split is one fit and one "fold" event.
    costs : bool
        Measure latency and size of the model of the last split.
    importance : str or None
        Metric to permute the columns for, with the model of the last split.
    confusion : bool
        Count which class is taken for which on the test rows of each split.
    """

    candidate: str
    setting: Setting
    splits: Sequence[Split]
    costs: bool = False
    importance: str | None = None
    confusion: bool = False


def load_modules(work: Work) -> None:
    """Import what the candidate needs, so that imports count neither as time nor as memory."""
    candidate = get_candidate(work.candidate, work.setting.task, images=work.setting.images)
    for module in candidate.modules:
        importlib.import_module(module)


def perform(work: Work, data: Data) -> Iterator[Event]:
    """Do the work and yield an event after each step."""
    candidate = get_candidate(work.candidate, data.task, images=data.images)
    load_modules(work)
    model: Any = None
    for index, (train, test) in enumerate(work.splits):
        model = candidate.build(work.setting)
        X_train, y_train = data.rows(train), data.y[train]
        start = perf_counter()
        model.fit(X_train, y_train)
        seconds = perf_counter() - start
        model.set_params(**candidate.serving)
        predicted = predict_for(model, data.rows(test), data.task, data.classes)
        metrics = score_all(predicted, data.y[test], data.task, data.classes)
        event = {"event": "fold", "index": index, "fit_seconds": seconds, "metrics": metrics}
        if work.confusion:
            event["confusion"] = confusion(predicted, data.y[test], data.classes)
        yield event
    if work.costs:
        yield {"event": "costs", **_costs(model, data)}
    if work.importance:
        test = work.splits[-1][1]
        columns = permutation_importance(model, data, test, work.importance, work.setting.seed)
        yield {"event": "importance", "columns": columns}


def _costs(model: Any, data: Data) -> dict[str, float]:
    row = data.rows(slice(0, 1))

    def call() -> None:
        predict_for(model, row, data.task, data.classes)

    call()  # the first call pays for caches and lazy imports
    start = perf_counter()
    call()
    seconds = perf_counter() - start
    calls = int(np.clip(LATENCY_SECONDS / max(seconds, 1e-6), 10, LATENCY_CALLS))
    quantiles = latency_ms(call, repeats=calls, warmup=min(10, calls))
    return {
        "latency_ms_p50": quantiles["p50"],
        "latency_ms_p95": quantiles["p95"],
        "model_bytes": model_bytes(model),
    }
