"""Cross-validation whose folds are trained as one program."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.model_selection._validation import (
    _check_groups_routing_disabled,
    _insert_error_scores,
    _normalize_score_results,
    _warn_or_raise_about_fit_failures,
)
from sklearn.model_selection._validation import cross_validate as sklearn_cross_validate
from sklearn.utils import indexable
from sklearn.utils._param_validation import Interval, validate_params
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _manual_routing,
    _routing_enabled,
    process_routing,
)
from sklearn.utils.validation import _num_samples

from mlfund.model_selection._checkpoints import check_resumable, open_scores
from mlfund.model_selection._search_evaluation import evaluate
from mlfund.model_selection._search_run import numbered_splits
from mlfund.model_selection._search_task import Result, SearchTask


@dataclass(frozen=True)
class _Caller:
    """How an evaluation runs, as it is asked of a search."""

    n_jobs: int | None
    pre_dispatch: int | str
    verbose: int
    memory_limit: int | str | None


@validate_params(
    {
        **sklearn_cross_validate._skl_parameter_constraints,
        "memory_limit": [Interval(Integral, 1, None, closed="left"), str, None],
        "checkpoint_dir": [str, os.PathLike, None],
    },
    prefer_skip_nested_validation=False,
)
def cross_validate(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    groups: Any = None,
    scoring: Any = None,
    cv: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
    params: dict[str, Any] | None = None,
    pre_dispatch: int | str = "2*n_jobs",
    return_train_score: bool = False,
    return_estimator: bool = False,
    return_indices: bool = False,
    error_score: Any = np.nan,
    memory_limit: int | str | None = None,
    checkpoint_dir: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Score an estimator by cross-validation, all folds trained together.

    Takes the place of `sklearn.model_selection.cross_validate`: the same parameters, and the
    same scores in the same dict. Linear models and multilayer perceptrons of mlfund, alone or
    at the end of a pipeline, are trained on all folds as one program; other estimators are
    fitted fold by fold.

    Parameters
    ----------
    estimator : estimator
        What is scored; it stays unfitted.
    X : array-like or sparse matrix of shape (n, d)
        Rows.
    y : array-like of shape (n,) or (n, n_outputs), default=None
        Labels or values.
    groups : array-like of shape (n,), default=None
        Groups for the splitter, where metadata routing is not enabled.
    scoring : str, callable, list, tuple or dict, default=None
        One score or several, as in scikit-learn; None is the estimator's `score`.
    cv : int, splitter or iterable, default=None
        Any splits; None is 5 folds, stratified for classifiers.
    n_jobs : int, default=None
        Processes for what is fitted fold by fold. Stacks are one program in this process,
        and use the threads of the numerical libraries.
    verbose : int, default=0
        Above 0, tell where the evaluation stands, and why folds are not trained together
        where they are not.
    params : dict, default=None
        For the estimator's `fit` (`sample_weight`, one entry a row), and with metadata
        routing for the scorer and the splitter too.
    pre_dispatch : int or str, default="2*n_jobs"
        Jobs handed out at a time, of what is fitted fold by fold.
    return_train_score : bool, default=False
        Whether the rows trained on are scored too.
    return_estimator : bool, default=False
        Whether the fitted estimators are returned.
    return_indices : bool, default=False
        Whether the row numbers of the splits are returned.
    error_score : "raise" or float, default=np.nan
        Score of a fold whose `fit` or scoring raises.
    memory_limit : int or str, default=None
        Bytes, or a text such as "2GB", that training together may take beside the data.
        None is half of what is free.
    checkpoint_dir : str or path, default=None
        Folder where the scores of finished folds are kept until all are done: a call that
        was killed goes on from them when it is made again.

    Returns
    -------
    scores : dict of str to ndarray of shape (n_splits,)
        "test_score", or "test_<name>" for each of several scores, and the same with "train"
        if asked for; "fit_time" and "score_time" in seconds, where the time of folds trained
        together is shared equally; "estimator", a list, and "indices", a dict with the row
        numbers "train" and "test", if asked for.

    Raises
    ------
    ValueError
        If all fits fail, or a fingerprint for `checkpoint_dir` cannot be made, for instance
        because `cv` shuffles without a seed.

    See Also
    --------
    BatchedGridSearchCV : Searches over parameters in the same way.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from mlfund import LogisticRegression, cross_validate
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), LogisticRegression())
    >>> cross_validate(model, X, y)["test_score"].round(3)
    array([0.982, 0.982, 0.974, 0.974, 0.991])
    """
    _check_groups_routing_disabled(groups)
    if checkpoint_dir is not None and return_estimator:
        raise ValueError(
            "checkpoint_dir keeps scores and no estimators: give it without return_estimator=True."
        )
    X, y = indexable(X, y)
    cv = check_cv(cv, y, classifier=is_classifier(estimator))
    check_resumable(checkpoint_dir, cv)
    scorer = check_scoring(estimator, scoring=scoring, raise_exc=error_score == "raise")
    routed = _routed(estimator, cv, scorer, groups, params or {})
    splits = list(cv.split(X, y, **routed.splitter.split))
    task = SearchTask(
        estimator=clone(estimator),
        X=X,
        y=y,
        splits=numbered_splits(splits, _num_samples(X)),
        scorer=scorer,
        fit_params=routed.estimator.fit,
        score_params=routed.scorer.score,
        return_train_score=return_train_score,
        error_score=error_score,
        return_estimator=return_estimator,
    )
    store = open_scores(checkpoint_dir, task)
    caller = _Caller(n_jobs, pre_dispatch, verbose, memory_limit)
    results = evaluate(task, [{}], caller=caller, store=store)
    _warn_or_raise_about_fit_failures(results, error_score)
    if verbose:
        _tell_reasons(results)
    if callable(scoring):
        # only a call shows the names of the scores of a callable
        _insert_error_scores(results, error_score)
    scores = _times_and_models(task, results)
    if return_indices:
        train, test = zip(*splits, strict=True)
        scores["indices"] = {"train": train, "test": test}
    store.clear()
    return scores | _scores(task, results)


def _routed(estimator: Any, cv: Any, scorer: Any, groups: Any, params: Mapping[str, Any]) -> Any:
    """Return what goes to the splitter, to the estimator's `fit` and to the scorer."""
    if not _routing_enabled():
        to = {"splitter": {"split": {"groups": groups}}, "estimator": {"fit": params}}
        return _manual_routing({**to, "scorer": {}})
    router = (
        MetadataRouter(owner="cross_validate")
        .add(splitter=cv, method_mapping=MethodMapping().add(caller="fit", callee="split"))
        .add(estimator=estimator, method_mapping=MethodMapping().add(caller="fit", callee="fit"))
        .add(scorer=scorer, method_mapping=MethodMapping().add(caller="fit", callee="score"))
    )
    try:
        return process_routing(router, "fit", **params)
    except UnsetMetadataPassedError as error:
        # there is no `fit` in the user's call
        raise UnsetMetadataPassedError(
            message=str(error).replace("cross_validate.fit", "cross_validate"),
            unrequested_params=error.unrequested_params,
            routed_params=error.routed_params,
        ) from error


def _tell_reasons(results: Sequence[Result]) -> None:
    for reason in dict.fromkeys(result["reason"] for result in results if result["reason"]):
        sys.stdout.write(f"Fitted fold by fold: {reason.rstrip('.')}.\n")


def _times_and_models(task: SearchTask, results: Sequence[Result]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: np.array([result[name] for result in results]) for name in ("fit_time", "score_time")
    }
    if task.return_estimator:
        # one that could not be trained is there too, unfitted
        found["estimator"] = [
            result["estimator"] if "estimator" in result else clone(task.estimator)
            for result in results
        ]
    return found


def _scores(task: SearchTask, results: Sequence[Result]) -> dict[str, Any]:
    kinds = ("test", "train") if task.return_train_score else ("test",)
    tables = {
        kind: _normalize_score_results([result[f"{kind}_scores"] for result in results])
        for kind in kinds
    }
    names = [(kind, name) for name in tables["test"] for kind in kinds]
    return {f"{kind}_{name}": np.asarray(tables[kind][name]) for kind, name in names}
