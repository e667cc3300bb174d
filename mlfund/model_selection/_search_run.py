"""One run of a search: what `fit` sets up once and every call for candidates adds to."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection._validation import (
    _insert_error_scores,
    _warn_or_raise_about_fit_failures,
)
from sklearn.utils.validation import _num_samples

from mlfund.model_selection._checkpoints import Scores, open_scores
from mlfund.model_selection._search_evaluation import evaluate
from mlfund.model_selection._search_task import Result, SearchTask


class SearchRun:
    """Evaluates candidates for `_run_search` and gathers the results.

    Parameters
    ----------
    search : BaseBatchedSearch
    X, y : array-like of n rows
    scorer : callable
    routed : Bunch
        Parameters of the `fit` of estimator, splitter and scorer.

    Attributes
    ----------
    estimator : estimator
        Clone of the search's, of which candidates are clones.
    results : dict
        `cv_results_` so far.
    out : list of dict
        All results so far, candidate by candidate.
    """

    def __init__(self, search: Any, X: Any, y: Any, scorer: Any, routed: Any) -> None:
        self.search = search
        self.X = X
        self.y = y
        self.scorer = scorer
        self.routed = routed
        self.estimator = clone(search.estimator)
        self.results: dict[str, Any] = {}
        self.out: list[Result] = []
        self._parameters: list[Mapping[str, Any]] = []
        self._stores: list[Scores] = []
        self._more_results: dict[str, list[Any]] = defaultdict(list)

    def evaluate_candidates(
        self,
        candidate_params: Iterable[Mapping[str, Any]],
        cv: Any = None,
        more_results: Mapping[str, list[Any]] | None = None,
        callback_ctx: Any = None,
    ) -> dict[str, Any]:
        """Evaluate candidates and return the results of the run so far.

        The arguments are those of scikit-learn's `BaseSearchCV._run_search`.
        """
        candidates = list(candidate_params)
        task = self._task(cv or self.search._checked_cv_orig)
        n_fits = len(candidates) * len(task.splits)
        if self.search.verbose > 0:
            # what scikit-learn's searches print
            sys.stdout.write(
                f"Fitting {len(task.splits)} folds for each of {len(candidates)} candidates, "
                f"totalling {n_fits} fits\n"
            )
        contexts = callback_ctx and [
            callback_ctx.subcontext(task_name="candidate-split-evaluation", task_id=number)
            for number in range(n_fits)
        ]
        self._stores.append(open_scores(self.search.checkpoint_dir, task))
        out = evaluate(
            task,
            candidates,
            caller=self.search,
            store=self._stores[-1],
            metric=self._metric(),
            contexts=contexts,
        )
        if not out:
            raise ValueError(
                "No fits were performed. Was the CV iterator empty? Were there no candidates?"
            )
        if self.search.verbose > 0:
            self._tell_reasons(out)
        _warn_or_raise_about_fit_failures(out, task.error_score)
        if callable(self.search.scoring):
            # only a call shows the names of the scores of a callable
            _insert_error_scores(out, task.error_score)
        self.out += out
        self._parameters += candidates
        for name, values in (more_results or {}).items():
            self._more_results[name].extend(values)
        self.results = self._format_results()
        return self.results

    def _metric(self) -> str:
        """Return the name of the score that decides, where there are several."""
        return self.search.refit if isinstance(self.search.refit, str) else "score"

    def _task(self, cv: Any) -> SearchTask:
        """Return what the candidates are evaluated on: the splits of `cv`."""
        splits = list(cv.split(self.X, self.y, **self.routed.splitter.split))
        if len(splits) != self.search.n_splits_:
            raise ValueError(
                "cv.split and cv.get_n_splits return inconsistent results. Expected "
                f"{self.search.n_splits_} splits, got {len(splits)}"
            )
        return SearchTask(
            estimator=self.estimator,
            X=self.X,
            y=self.y,
            splits=numbered_splits(splits, _num_samples(self.X)),
            scorer=self.scorer,
            fit_params=self.routed.estimator.fit,
            score_params=self.routed.scorer.score,
            return_train_score=self.search.return_train_score,
            error_score=self.search.error_score,
        )

    def _format_results(self) -> dict[str, Any]:
        """Return scikit-learn's table of the results, with the column "batched"."""
        n_splits = self.search.n_splits_
        results = self.search._format_results(
            self._parameters, n_splits, self.out, self._more_results
        )
        batched = np.array([result["batched"] for result in self.out])
        results["batched"] = batched.reshape(-1, n_splits).all(axis=1)
        return results

    def reasons(self) -> dict[str, int]:
        """Return why candidates were fitted one by one, and how many of each."""
        return self._reasons_of(self.out)

    def _reasons_of(self, out: list[Result]) -> dict[str, int]:
        n_splits = self.search.n_splits_
        counts: dict[str, int] = {}
        for first in range(0, len(out), n_splits):
            reasons = (result["reason"] for result in out[first : first + n_splits])
            reason = next(filter(None, reasons), None)
            if reason is not None:
                counts[reason] = counts.get(reason, 0) + 1
        return counts

    def _tell_reasons(self, out: list[Result]) -> None:
        for reason, n_candidates in self._reasons_of(out).items():
            noun = "candidate" if n_candidates == 1 else "candidates"
            # where its progress is told, too
            sys.stdout.write(f"Fitted one by one, {n_candidates} {noun}: {reason.rstrip('.')}.\n")

    def forget_checkpoints(self) -> None:
        """Remove what was kept for the case that the search is interrupted."""
        for store in self._stores:
            store.clear()


def numbered_splits(
    splits: Iterable[tuple[Any, Any]], n: int
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return splits of n rows as row numbers from 0, also of masks and of negative numbers."""
    numbers = np.arange(n)
    return [(_numbers_of(train, numbers), _numbers_of(test, numbers)) for train, test in splits]


def _numbers_of(rows: Any, numbers: NDArray[np.intp]) -> NDArray[np.intp]:
    # An empty list would become an array of floats.
    return numbers[np.asarray(rows, dtype=None if len(rows) else np.intp)]
