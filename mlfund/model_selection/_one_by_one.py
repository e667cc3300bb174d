"""One fit per candidate and split, as scikit-learn's searches do all of theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    reasons: Mapping[tuple[int, int], str],
    contexts: Mapping[tuple[int, int], Any],
    caller: Any,
) -> Iterator[list[Evaluated]]:
    """Fit pairs of candidate and split through joblib, and yield them as they are done.

    Parameters
    ----------
    task : SearchTask
    candidates : sequence of dict
        Parameters of all candidates.
    pairs : sequence of (int, int)
        Numbers of candidate and split.
    reasons : mapping
        Why each pair is not stacked.
    contexts : mapping
        Of the callbacks for each pair; its values may be None.
    caller : estimator
        The search: `n_jobs`, `pre_dispatch` and `verbose` hold.
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
            return_estimator=task.return_estimator,
            error_score=task.error_score,
            verbose=caller.verbose,
            split_progress=(split, len(task.splits)),
            candidate_progress=(candidate, len(candidates)),
            caller=caller,
            callback_ctx=contexts[candidate, split],
        )
        for candidate, split in pairs
    ]
    for (candidate, split), result in zip(pairs, parallel(calls), strict=True):
        result |= {"batched": False, "reason": reasons[candidate, split]}
        yield [Evaluated(candidate, split, result)]
