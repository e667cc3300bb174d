"""Estimators without anything in front, scored one by one."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sklearn.model_selection._validation import _score
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_method_params

from mlfund.model_selection._contract import SearchRows, TrainedModels


@dataclass(frozen=True)
class Prefix:
    """What stands in front of a final estimator: nothing."""

    final: Any
    key: Hashable = ()
    refusal: str | None = None


@dataclass(frozen=True)
class PreparedRows(SearchRows):
    """Rows behind a prefix."""

    seconds: float = 0.0

    def pipeline(self, estimator: Any, position: int, fitted: Any) -> Any:
        """Return the whole fitted estimator."""
        return fitted


@dataclass(frozen=True)
class FailedRows:
    """Splits whose prefix could not be fitted."""

    numbers: Sequence[int]
    error: Exception


def split_estimator(estimator: Any) -> Prefix:
    """Take an estimator apart."""
    refusal = "pipelines are fitted one by one" if isinstance(estimator, Pipeline) else None
    return Prefix(estimator, refusal=refusal)


def prepare_rows(
    prefix: Prefix,
    X: Any,
    y: Any,
    splits: Any,
    fit_params: Any,
    *,
    takes_affine: bool,
    train_scores: bool,
    numbers: Sequence[int],
) -> Iterator[PreparedRows | FailedRows]:
    """Yield the rows as they are."""
    yield PreparedRows(X, y, splits, numbers, fit_params)


def score_models(
    models: TrainedModels,
    rows: PreparedRows,
    estimators: Sequence[Any],
    *,
    X: Any,
    y: Any,
    scorer: Any,
    score_params: Any,
    return_train_score: bool,
    error_score: Any,
) -> list[dict[str, Any] | None]:
    """Score models one after the other."""
    train, test = rows.splits[list(rows.numbers).index(models.split)]
    scored: list[dict[str, Any] | None] = []
    for position in range(len(models.candidates)):
        if position in models.failures:
            scored.append(None)
            continue
        start = time.time()
        view = models.estimator(position)

        def score(indices: Any, view: Any = view) -> Any:
            params = _check_method_params(X, params=score_params, indices=indices)
            data = (_safe_indexing(X, indices), _safe_indexing(y, indices))
            return _score(view, *data, scorer, params, error_score)

        scores = {"test_scores": score(test), "score_time": time.time() - start}
        if return_train_score:
            scores["train_scores"] = score(train)
        scored.append(scores)
    return scored
