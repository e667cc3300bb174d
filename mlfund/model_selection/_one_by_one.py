"""One fit per candidate and split, as scikit-learn's searches do all of theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sklearn.base import clone
from sklearn.model_selection._validation import _fit_and_score
from sklearn.utils.parallel import Parallel, delayed

from mlfund.model_selection._search_task import Evaluated, SearchTask


def fit_one_by_one(
    task: SearchTask,
    candidates: Sequence[Mapping[str, Any]],
    pairs: Sequence[tuple[int, int]],
    *,
    reason_of: Callable[[int, int], str],
    context_of: Callable[[int, int], Any],
    caller: Any,
) -> Iterator[Evaluated]:
    """Fit pairs of candidate and split through joblib, and yield them as they are done.

    `caller` is the search, whose `n_jobs`, `pre_dispatch` and `verbose` hold.
    """
    # "generator": what is finished can be stored before the rest is
    parallel = Parallel(
        n_jobs=caller.n_jobs, pre_dispatch=caller.pre_dispatch, return_as="generator"
    )
    # A list: contexts must exist before any estimator is pickled.
    calls = [
        delayed(_fit_and_score)(
            clone(task.estimator),
            task.X,
            task.y,
            scorer=task.scorer,
            train=task.splits[split][0],
            test=task.splits[split][1],
            parameters=candidates[candidate],
            fit_params=task.fit_params,
            score_params=task.score_params,
            return_train_score=task.return_train_score,
            return_n_test_samples=True,
            return_times=True,
            error_score=task.error_score,
            verbose=caller.verbose,
            split_progress=(split, len(task.splits)),
            candidate_progress=(candidate, len(candidates)),
            caller=caller,
            callback_ctx=context_of(candidate, split),
        )
        for candidate, split in pairs
    ]
    for (candidate, split), result in zip(pairs, parallel(calls), strict=True):
        result |= {"batched": False, "reason": reason_of(candidate, split)}
        yield Evaluated(candidate, split, result)
