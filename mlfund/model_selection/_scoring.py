"""Scores of models that were trained together.

The metrics of `_stacked_scores` are computed for all models at once from stacked raw scores.
A scorer of another metric, or a case in which scikit-learn warns or refuses, meets each
model as a view of its part of these scores. A scorer that asks for more than predictions,
such as a function of one's own, gets the whole fitted estimator and the user's rows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics._scorer import _MultimetricScorer, _PassthroughScorer, _Scorer
from sklearn.model_selection._validation import _score
from sklearn.utils import _safe_indexing
from sklearn.utils._metadata_requests import _routing_enabled
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.validation import _check_method_params

from mlfund.estimators._stacked_responses import ClassifierResponses, RegressorResponses
from mlfund.estimators._stacked_scores import Responses, stacked_metric, stacked_scores
from mlfund.model_selection._contract import TrainedModels
from mlfund.model_selection._prefix import PreparedRows
from mlfund.model_selection._scoring_view import METHODS, ModelView

# Raw scores of so many models are computed at once, and of so many they are scored: what
# metrics make of them stays in the cache.
BLOCK_BYTES, SCORED_BYTES = 16 << 20, 1 << 20


@dataclass(frozen=True)
class ScoredRows:
    """Rows that models are scored on, as the scorers and the models know them.

    Attributes
    ----------
    X, y : array-like of n rows
        The user's own.
    rows : ndarray of int
        Their numbers in X.
    model_rows : ndarray of int
        Their numbers in the rows that the final estimators see.
    params : dict
        By scorer: what the scorer gets, for these rows.
    """

    X: Any
    y: Any
    rows: NDArray[np.intp]
    model_rows: NDArray[np.intp]
    params: Mapping[str, Mapping[str, Any]]


def score_models(
    models: TrainedModels,
    rows: PreparedRows,
    estimators: Sequence[Any],
    *,
    X: Any,
    y: Any,
    scorer: Any,
    score_params: Mapping[str, Any],
    return_train_score: bool,
    error_score: Any,
) -> list[dict[str, Any] | None]:
    """Return the scores of the models of one split.

    Parameters
    ----------
    models : TrainedModels
    rows : PreparedRows
        What they were trained on.
    estimators : sequence of estimators
        The whole unfitted estimators, one a model.
    X, y
        The user's own.
    scorer : callable
        Of one metric or, as a `_MultimetricScorer`, of several.
    score_params : mapping
        What is routed to the scorer, with one entry a row of X or without.
    return_train_score : bool
        Whether the training rows are scored, too.
    error_score : float or "raise"
        As of scikit-learn's searches.

    Returns
    -------
    results : list of dict or None
        For each model: "test_scores", "train_scores" if asked for, "score_time" (seconds,
        the same share for all); None where the model could not be trained.
    """
    start = time.perf_counter()
    position = rows.position(models.split)
    train, test = rows.original_splits[position]
    scorers = _scorers_by_name(scorer)
    several = isinstance(scorer, _MultimetricScorer)

    def score(original: NDArray[np.intp], model_rows: NDArray[np.intp]) -> list[Any]:
        params = _check_method_params(X, params=score_params, indices=original)
        scored = ScoredRows(X, y, original, model_rows, _params_by_name(scorer, params))
        task = _Scoring(models, rows, estimators, scorers, scored, error_score)
        return task.as_results(single=not several)

    found = {"test_scores": score(test, rows.splits[position][1])}
    n_models = max(len(models.candidates) - len(models.failures), 1)
    seconds = (time.perf_counter() - start) / n_models
    if return_train_score:
        found["train_scores"] = score(train, rows.train_scored[position])
    return [
        None
        if model in models.failures
        else {**{name: scores[model] for name, scores in found.items()}, "score_time": seconds}
        for model in range(len(models.candidates))
    ]


def _scorers_by_name(scorer: Any) -> dict[str, Any]:
    return scorer._scorers if isinstance(scorer, _MultimetricScorer) else {"score": scorer}


def _params_by_name(scorer: Any, params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what each scorer gets, as scikit-learn's scorer of several metrics hands it on."""
    if not isinstance(scorer, _MultimetricScorer):
        return {"score": dict(params)}
    if _routing_enabled():
        routed = process_routing(scorer, "score", **params)
        return {name: dict(routed[name]["score"]) for name in scorer._scorers}
    common = {name: value for name, value in params.items() if name != "sample_weight"}
    given = params.get("sample_weight") is not None
    weight = {"sample_weight": params["sample_weight"]} if given else {}
    return {
        name: {**common, **(weight if given and one._accept_sample_weight() else {})}
        for name, one in scorer._scorers.items()
    }


def _blocks(n: int, step: int) -> Iterator[slice]:
    """Yield slices of at most `step` that cover range(n)."""
    for first in range(0, n, step):
        yield slice(first, min(first + step, n))


class _Scoring:
    """Scores of the models on some rows, by all scorers."""

    def __init__(
        self,
        models: TrainedModels,
        rows: PreparedRows,
        estimators: Sequence[Any],
        scorers: Mapping[str, Any],
        scored: ScoredRows,
        error_score: Any,
    ) -> None:
        self.models, self.rows, self.estimators = models, rows, estimators
        self.scorers, self.scored, self.error_score = scorers, scored, error_score
        self.methods = frozenset(name for name in METHODS if hasattr(estimators[0], name))
        self.y = None if scored.y is None else _safe_indexing(scored.y, scored.rows)
        self.truth = _codes_or_values(models, self.y)
        self._user_rows: Any = None

    def as_results(self, *, single: bool) -> list[Any]:
        """Return a dict of scores for each model, or one score; None for failed models."""
        results: list[Any] = [None] * len(self.models.candidates)
        for block in _blocks(len(results), self._models_within(BLOCK_BYTES)):
            raw = self.models.raw(self.scored.model_rows, block)
            for part in _blocks(len(raw), self._models_within(SCORED_BYTES)):
                for model, scores in self._score_part(raw[part], block.start + part.start):
                    results[model] = scores["score"] if single else scores
        return results

    def _models_within(self, n_bytes: int) -> int:
        """Return the raw scores of how many models fit into memory of a size, at least 1."""
        classes, y = self.models.classes, np.asarray(self.y)
        width = y.size // max(len(y), 1) if classes is None else len(classes)
        return max(1, n_bytes // (8 * width * max(len(y), 1)))

    def _score_part(self, raw: NDArray[Any], first: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the numbers of some models, from the first on, and their scores by scorer."""
        stacked: dict[str, NDArray[np.float64]] = {}
        responses: dict[Any, Responses | None] = {}
        for name, scorer in self.scorers.items():
            params = self.scored.params[name]
            weight = params.get("sample_weight")
            if id(weight) not in responses:
                responses[id(weight)] = self._responses(raw, weight)
            said = responses[id(weight)] if set(params) <= {"sample_weight"} else None
            scores = None if said is None else self._stacked(scorer, said)
            stacked[name] = np.full(len(raw), np.nan) if scores is None else scores
        for offset, model in enumerate(range(first, first + len(raw))):
            if model in self.models.failures:
                continue
            of_model: dict[str, Any] = {}
            for name, scorer in self.scorers.items():
                value = float(stacked[name][offset])
                if np.isnan(value):
                    value = self._score_one(name, scorer, model, raw[offset : offset + 1])
                of_model[name] = value
            yield model, of_model

    def _responses(self, raw: NDArray[Any], weight: Any) -> Responses | None:
        """Return what the models say, or None if the truth is nothing that can be stacked."""
        if self.truth is None:
            return None
        weights = None if weight is None else np.asarray(weight)
        models = self.models
        if models.classes is None:
            values = models.predict(raw)
            values = values.reshape(*values.shape[:2], -1)
            if values.shape[1:] != self.truth.shape:
                return None
            return RegressorResponses(self.truth, weights, values)
        return ClassifierResponses(
            models.classes, self.truth, weights, raw, models.codes, models.predict_proba
        )

    def _stacked(self, scorer: Any, said: Responses) -> NDArray[np.float64] | None:
        if isinstance(scorer, _PassthroughScorer):
            metric = self.models.default_metric
            return None if metric is None else stacked_metric(metric, said)
        return stacked_scores(scorer, said, self.methods)

    def _score_one(self, name: str, scorer: Any, model: int, raw: NDArray[Any]) -> Any:
        """Let scikit-learn score one model."""
        params = dict(self.scored.params[name])
        estimator, X = self.estimators[model], None
        if type(scorer) is _Scorer:
            seen = ModelView(estimator, self.models, raw)
        else:
            final = self.models.estimator(model)
            seen = self.rows.fitted(estimator, self.models.split, final)
            X = self._rows_of_user()
        return _score(seen, X, self.y, scorer, params, self.error_score)

    def _rows_of_user(self) -> Any:
        if self._user_rows is None:
            self._user_rows = _safe_indexing(self.scored.X, self.scored.rows)
        return self._user_rows


def _codes_or_values(models: TrainedModels, y: Any) -> NDArray[Any] | None:
    """Return numbers of the true classes (r,), or true values (r, k); None if y is neither."""
    y = np.asarray(y)
    if models.classes is None:
        if y.dtype.kind not in "iuf" or y.ndim > 2 or not np.isfinite(y).all():
            return None
        return y.reshape(len(y), -1).astype(np.result_type(y, np.float32), copy=False)
    classes = models.classes
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.ndim != 1 or getattr(models, "multilabel", False) or len(classes) < 2:
        return None
    try:
        code = np.searchsorted(classes, y)
    except TypeError:  # labels of several types, which scikit-learn refuses
        return None
    known = code < len(classes)
    return code if known.all() and (classes[code] == y).all() else None
