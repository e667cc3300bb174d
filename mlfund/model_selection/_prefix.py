"""Pipelines taken apart: leading transformers, fitted once for all candidates, and the rest.

A column scaler in front of an estimator whose family folds it into the weights becomes
numbers (`SearchRows.affine`); other transformers are fitted to the training rows of each
split, and what they make of the rows is shared by all candidates behind them. Transformers in
front that take each row by itself, and learn nothing, transform all rows once for all splits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils._metadata_requests import _routing_enabled
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import _check_method_params, _num_samples

from mlfund.model_selection._contract import SearchRows
from mlfund.model_selection._prefix_key import content_key
from mlfund.model_selection._prefix_outputs import joined, passes, rows_of, same, transform
from mlfund.model_selection._prefix_scalers import as_scalers_see, fit_affine, is_affine

Split = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True)
class Prefix:
    """An unfitted estimator taken apart.

    Attributes
    ----------
    final : estimator
        The last step of a pipeline, or the estimator itself.
    final_name : str or None
        The name of that step; None for an estimator that is no pipeline.
    key : hashable
        Equal for estimators whose rows may be shared.
    refusal : str or None
        Why the pipeline cannot be taken apart.
    whole : estimator
        What was taken apart.
    """

    final: Any
    final_name: str | None
    key: Hashable
    refusal: str | None
    whole: Any

    @property
    def leading(self) -> list[tuple[str, Any]]:
        """The steps before the last that do something, by name."""
        steps = [] if self.final_name is None else self.whole.steps[:-1]
        return [(name, step) for name, step in steps if not passes(step)]

    def unfitted_leading(self) -> Pipeline:
        """Return the steps before the last as an unfitted pipeline."""
        return clone(self.whole[:-1])


@dataclass(frozen=True, kw_only=True)
class PreparedRows(SearchRows):
    """Rows behind a prefix.

    Attributes
    ----------
    original_splits : sequence of (ndarray of int, ndarray of int)
        `splits` in the rows of the user's X.
    seconds : float
        What fitting and applying the prefix took.
    train_scored : sequence of ndarray of int
        Rows of X that scores on training rows are computed on, one array a split: those
        trained on, but as `transform` makes them, not `fit_transform`.
    fitted_leading : callable
        Returns the fitted leading steps of a split, by its position in `splits`.
    """

    original_splits: Sequence[Split]
    seconds: float
    train_scored: Sequence[NDArray[np.intp]]
    fitted_leading: Callable[[int], list[tuple[str, Any]]] = field(repr=False)

    def position(self, number: int) -> int:
        """Return the position in `splits` of a split by its number in the search."""
        return list(self.numbers).index(number)

    def fitted(self, estimator: Any, number: int, final: Any) -> Any:
        """Return a whole fitted estimator.

        Parameters
        ----------
        estimator : estimator
            The unfitted one, a pipeline or not.
        number : int
            Number of the split in the search.
        final : estimator
            Its fitted final step.
        """
        prefix = split_estimator(estimator)
        if prefix.final_name is None:
            return final
        whole = clone(estimator)
        leading = self.fitted_leading(self.position(number))
        whole.steps = [*leading, (prefix.final_name, final)]
        return whole


@dataclass(frozen=True)
class FailedRows:
    """Splits whose prefix could not be fitted.

    Attributes
    ----------
    numbers : sequence of int
        Their numbers in the search.
    error : Exception
    """

    numbers: Sequence[int]
    error: Exception


def split_estimator(estimator: Any) -> Prefix:
    """Take an estimator apart.

    Parameters
    ----------
    estimator : estimator
        Unfitted.

    Returns
    -------
    Prefix

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from mlfund import LogisticRegression
    >>> prefix = split_estimator(make_pipeline(StandardScaler(), LogisticRegression()))
    >>> prefix.final_name, prefix.leading
    ('logisticregression', [('standardscaler', StandardScaler())])
    """
    if type(estimator) is not Pipeline or passes(estimator.steps[-1][1]):
        return Prefix(estimator, None, (), None, estimator)
    final_name, final = estimator.steps[-1]
    leading = [(name, step) for name, step in estimator.steps[:-1] if not passes(step)]
    # Beside the transformers, what steers the metadata to the final step.
    requests = repr(getattr(final, "_metadata_request", None)) if _routing_enabled() else None
    key = (final_name, type(final), requests, content_key(leading))
    refusal = None
    if estimator.transform_input is not None:
        refusal = "its pipeline transforms metadata (transform_input)"
    elif any(getattr(step, "_skl_callbacks", None) for _, step in leading):
        refusal = "a transformer of its pipeline has callbacks"
    return Prefix(final, final_name, key, refusal, estimator)


def prepare_rows(
    prefix: Prefix,
    X: Any,
    y: Any,
    splits: Sequence[Split],
    fit_params: Mapping[str, Any],
    *,
    takes_affine: bool,
    train_scores: bool = False,
    numbers: Sequence[int] | None = None,
) -> Iterator[PreparedRows | FailedRows]:
    """Yield what the final estimators behind a prefix are trained on.

    Parameters
    ----------
    prefix : Prefix
        Of any estimator that has its key.
    X, y
        The user's own.
    splits : sequence of (ndarray of int, ndarray of int)
        Row numbers to train on and to score on.
    fit_params : mapping
        What the estimator's `fit` gets, with one entry a row of X or without.
    takes_affine : bool
        Whether a column scaler may be handed on as numbers.
    train_scores : bool
        Whether the training rows are scored, too.
    numbers : sequence of int, optional
        The numbers of the splits in the search; by default those from 0.

    Yields
    ------
    PreparedRows or FailedRows
        One for all splits if X is shared, else one a split. Errors of the transformers are
        not raised but handed on.
    """
    numbers = list(range(len(splits)) if numbers is None else numbers)
    n_front = _n_row_by_row(prefix, fit_params)
    if n_front:
        options = {"takes_affine": takes_affine, "train_scores": train_scores, "numbers": numbers}
        yield from _behind_front(prefix, n_front, X, y, splits, fit_params, **options)
        return
    leading = [step for _, step in prefix.leading]
    shared = not leading or (takes_affine and len(leading) == 1 and is_affine(leading[0]))
    if shared:
        yield _or_failed(numbers, _shared_rows, prefix, X, y, splits, numbers, fit_params)
        return
    for number, split in zip(numbers, splits, strict=True):
        yield _or_failed(
            [number], _transformed_rows, prefix, X, y, split, number, fit_params, train_scores
        )


def _n_row_by_row(prefix: Prefix, fit_params: Mapping[str, Any]) -> int:
    """Return how many steps in front make of each row what they make of it alone."""
    steps = [] if prefix.final_name is None else prefix.whole.steps[:-1]
    front = list(takewhile(lambda step: passes(step[1]) or is_row_by_row(step[1]), steps))
    if all(passes(step) for _, step in front):
        return 0
    _, of_steps, _ = _route(prefix, fit_params)
    return 0 if any(of_steps.get(name) for name, _ in front) else len(front)


def is_row_by_row(transformer: Any) -> bool:
    """Whether a transformer learns nothing, and a row's neighbours change it by rounding only."""
    return getattr(type(transformer), "transforms_row_by_row", False) is True


def _behind_front(
    prefix: Prefix,
    n_front: int,
    X: Any,
    y: Any,
    splits: Sequence[Split],
    fit_params: Mapping[str, Any],
    **options: Any,
) -> Iterator[PreparedRows | FailedRows]:
    """Yield the rows behind the steps that take each row by itself; see `prepare_rows`."""
    start = time.perf_counter()
    front = clone(prefix.whole[:n_front])
    numbers = options["numbers"]
    try:
        seen = front.fit_transform(X, y)
    except Exception as error:
        yield FailedRows(numbers, error)
        return
    seconds = time.perf_counter() - start
    behind = replace(prefix, whole=prefix.whole[n_front:])
    for rows in prepare_rows(behind, seen, y, splits, fit_params, **options):
        yield (
            rows
            if isinstance(rows, FailedRows)
            else _with_front(rows, front, seconds * len(rows.numbers) / len(numbers))
        )


def _with_front(rows: PreparedRows, front: Pipeline, seconds: float) -> PreparedRows:
    """Return rows whose fitted steps begin with some that are the same for all splits."""
    behind = rows.fitted_leading
    return replace(
        rows,
        seconds=rows.seconds + seconds,
        fitted_leading=lambda position: [*front.steps, *behind(position)],
    )


def _or_failed(numbers: Sequence[int], prepare: Callable, *args: Any) -> PreparedRows | FailedRows:
    try:
        return prepare(*args)
    except Exception as error:
        return FailedRows(numbers, error)


def _route(prefix: Prefix, fit_params: Mapping[str, Any]) -> tuple[dict, dict, dict]:
    """Return fit's metadata for the final step, for each step, and for the leading pipeline."""
    if prefix.final_name is None or not fit_params:
        return dict(fit_params), {}, {}
    pipeline, final_name = prefix.whole, prefix.final_name
    routed = pipeline._check_method_params(method="fit", props=dict(fit_params))
    of_steps = {name: dict(routed[name]["fit_transform"]) for name, _ in prefix.leading}
    if _routing_enabled():
        consumed = get_routing_for_object(pipeline[:-1]).consumes("fit_transform", set(fit_params))
    else:
        consumed = {name for name in fit_params if not name.startswith(f"{final_name}__")}
    leading_params = {name: fit_params[name] for name in fit_params if name in consumed}
    return dict(routed[final_name]["fit"]), of_steps, leading_params


def _shared_rows(
    prefix: Prefix,
    X: Any,
    y: Any,
    splits: Sequence[Split],
    numbers: Sequence[int],
    fit_params: Mapping[str, Any],
) -> PreparedRows:
    """Return rows of all splits; a scaler in front becomes numbers."""
    start = time.perf_counter()
    final_params, step_params, leading_params = _route(prefix, fit_params)
    seen, affine = X, None
    for name, scaler in prefix.leading:
        seen = as_scalers_see(X)
        trains = [np.asarray(train) for train, _ in splits]
        affine = fit_affine(scaler, seen, trains, step_params.get(name, {}))

    @cache
    def fitted_leading(position: int) -> list[tuple[str, Any]]:
        # The scaler as an object is for whole pipelines, which few scorers ask for.
        if not prefix.leading:
            return prefix.whole.steps[:-1]
        train = splits[position][0]
        cut = _check_method_params(X, params=leading_params, indices=train)
        pipeline = prefix.unfitted_leading()
        return pipeline.fit(_safe_indexing(X, train), rows_of(y, train), **cut).steps

    return PreparedRows(
        seen,
        y,
        splits,
        numbers,
        final_params,
        affine,
        original_splits=splits,
        seconds=time.perf_counter() - start,
        train_scored=[train for train, _ in splits],
        fitted_leading=fitted_leading,
    )


def _transformed_rows(
    prefix: Prefix,
    X: Any,
    y: Any,
    split: Split,
    number: int,
    fit_params: Mapping[str, Any],
    train_scores: bool,
) -> PreparedRows:
    """Return the rows of one split behind transformers fitted to its training rows."""
    start = time.perf_counter()
    final_params, _, leading_params = _route(prefix, fit_params)
    train, test = split
    pipeline = prefix.unfitted_leading()
    X_train, y_train = _safe_indexing(X, train), rows_of(y, train)
    cut = _check_method_params(X, params=leading_params, indices=train)
    parts = [pipeline.fit_transform(X_train, y_train, **cut)]
    parts.append(transform(pipeline, _safe_indexing(X, test)))
    ends = np.cumsum([_num_samples(part) for part in parts])
    if ends[0] != len(train) or ends[1] - ends[0] != len(test):
        raise ValueError("The steps before the last one change the number of rows.")
    fitted_rows, scored_rows = np.arange(ends[0]), np.arange(ends[0], ends[1])
    order, train_scored = np.concatenate([train, test]), fitted_rows
    if train_scores:
        again = transform(pipeline, X_train)
        if not same(again, parts[0]):
            parts.append(again)
            order = np.concatenate([order, train])
            train_scored = np.arange(ends[1], ends[1] + ends[0])
    return PreparedRows(
        joined(parts),
        rows_of(y, order),
        [(fitted_rows, scored_rows)],
        [number],
        _check_method_params(X, params=final_params, indices=order),
        original_splits=[split],
        seconds=time.perf_counter() - start,
        train_scored=[train_scored],
        fitted_leading=lambda position: pipeline.steps,
    )
