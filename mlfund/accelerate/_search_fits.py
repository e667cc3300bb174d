"""mlfund's searches over what scikit-learn's estimators stand for.

Apart from `_search`, so that installing an acceleration imports no search of mlfund.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from mlfund.accelerate import _linear, _mlp
from mlfund.accelerate._final_step import candidate, final_step, kind_of
from mlfund.accelerate._replacement import NotEquivalentError
from mlfund.model_selection._search import BaseBatchedSearch
from mlfund.model_selection.search import BatchedGridSearchCV, BatchedRandomizedSearchCV


class _OfSklearn(BaseBatchedSearch):
    """Mixin of a batched search that stands in for one of scikit-learn's.

    Attributes
    ----------
    searched : estimator
        What the user searches, of scikit-learn's classes; `estimator` is the same of mlfund's.
    candidates : list of estimator
        The last steps of all candidates, of scikit-learn's classes.
    """

    searched: Any

    def _run_search(
        self, evaluate_candidates: Callable[..., Any], *, callback_ctx: Any = None
    ) -> None:
        def checked(candidates: Iterable[Mapping[str, Any]], **more: Any) -> Any:
            given = list(candidates)
            self.candidates = [candidate(self.searched, params) for params in given]
            self._check()
            return evaluate_candidates(given, **more)

        super()._run_search(checked, callback_ctx=callback_ctx)

    def _check(self) -> None:
        """Raise `NotEquivalentError` for the first candidate that mlfund fits otherwise."""
        for final in self.candidates:
            final._validate_params()
            linear = kind_of(final) is _linear.LogisticRegression
            reason = _linear.why_not_linear(final) if linear else _why_not_mlp(final)
            if reason is not None:
                raise NotEquivalentError(reason)

    def _refit(self, run: Any, context: Any, told: dict[str, Any]) -> None:
        # best_estimator_ is of the classes that the user searches
        run.estimator = clone(self.searched)
        super()._refit(run, context, told)


class GridSearchCV(_OfSklearn, BatchedGridSearchCV):
    """A grid search of mlfund's in the place of scikit-learn's."""


class RandomizedSearchCV(_OfSklearn, BatchedRandomizedSearchCV):
    """A random search of mlfund's in the place of scikit-learn's."""


def _why_not_mlp(final: Any) -> str | None:
    if final.solver == "lbfgs":
        return "trainings by lbfgs cannot be trained in batches"
    if final.random_state is None:
        return "without random_state the fits draw from numpy's global stream one after the other"
    return _mlp.why_not_equivalent(final)


def fit(search: Any, X: Any, y: Any, params: Mapping[str, Any]) -> None:
    """Fit a search; raise `NotEquivalentError` where that is not scikit-learn's optimum."""
    with warnings.catch_warnings():
        if kind_of(final_step(search.searched)[1]) is _linear.LogisticRegression:
            # short of the optimum results depend on the path of the solver
            warnings.simplefilter("error", ConvergenceWarning)
        try:
            search.fit(X, y, **params)
        except ConvergenceWarning as warning:
            raise NotEquivalentError(f"a fit did not converge ({warning})") from None
    if search.n_jobs in (None, 1):
        for final in search.candidates:
            # clones have streams of their own but for the global one
            if final.random_state is None or final.random_state is np.random:
                _linear.draw(final, search.n_splits_)
