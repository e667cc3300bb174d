"""What all batched searches share: the course of `fit`."""

from __future__ import annotations

import os
import time
from inspect import signature
from numbers import Integral
from typing import Any, ClassVar

from sklearn.base import _fit_context, clone, is_classifier
from sklearn.metrics._scorer import _MultimetricScorer
from sklearn.model_selection import check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import Tags, get_tags, indexable
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _check_method_params

from mlfund._version_stamp import VersionStamped
from mlfund.model_selection._checkpoints import check_resumable
from mlfund.model_selection._distributions import restored, saved
from mlfund.model_selection._plot import PlottedSearch
from mlfund.model_selection._refit import fit_on_all
from mlfund.model_selection._search_run import SearchRun

# The parameter of random searches that may hold distributions of scipy.
_DISTRIBUTIONS = "param_distributions"


class BaseBatchedSearch(VersionStamped, PlottedSearch, BaseSearchCV):
    """Base of the batched searches.

    Candidates and splits, table, choice and refit are scikit-learn's; between them, the
    candidates that can be stacked are trained on all splits as one program.
    """

    added_constraints: ClassVar[dict[str, list[Any]]] = {
        "memory_limit": [Interval(Integral, 1, None, closed="left"), str, None],
        "checkpoint_dir": [str, os.PathLike, None],
    }

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        targets = get_tags(self.estimator).target_tags
        tags.target_tags.multi_output = targets.multi_output
        tags.target_tags.single_output = targets.single_output
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if _DISTRIBUTIONS in state:
            state[_DISTRIBUTIONS] = saved(state[_DISTRIBUTIONS])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if _DISTRIBUTIONS in state:
            state = state | {_DISTRIBUTIONS: restored(state[_DISTRIBUTIONS])}
        super().__setstate__(state)

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, **params: Any) -> BaseBatchedSearch:
        """Evaluate all candidates, and refit the best one.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n, d)
            Rows.
        y : array-like of shape (n,) or (n, n_outputs), default=None
            Labels or values.
        **params : dict of str to object
            For the `fit` of the estimator, the scorer and the splitter, as in scikit-learn's
            searches: `sample_weight`, `groups`, ..., one entry a row or without.

        Returns
        -------
        self : object
            The fitted search.
        """
        scorer, refit_metric = self._get_scorers()
        X, y = indexable(X, y)
        params = _check_method_params(X, params=params)
        routed = self._get_routed_params_for_fit(params)
        weights = params.get("sample_weight")
        told = {
            "estimator": self,
            "X": X,
            "y": y,
            "metadata": None if weights is None else {"sample_weight": weights},
        }
        # refit may be a name or a callable
        context = self._init_callback_context(max_subtasks=1 + (self.refit is not False))
        context.call_on_fit_task_begin(**told)
        self._checked_cv_orig = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        self._check_input_parameters(X=X, y=y, split_params=routed.splitter.split)
        self.n_splits_ = self._checked_cv_orig.get_n_splits(X, y, **routed.splitter.split)
        check_resumable(
            self.checkpoint_dir, self._checked_cv_orig, getattr(self, "random_state", 0)
        )
        run = SearchRun(self, X, y, scorer, routed)
        # a subclass of the user's own need not know callbacks
        knows_callbacks = "callback_ctx" in signature(self._run_search).parameters
        self._run_search(
            run.evaluate_candidates, **({"callback_ctx": context} if knows_callbacks else {})
        )
        self._choose_best(run, refit_metric)
        if self.refit:
            self._refit(run, context, told)
        self.scorer_ = scorer._scorers if isinstance(scorer, _MultimetricScorer) else scorer
        self.cv_results_ = run.results
        self.batched_reasons_ = run.reasons()
        run.forget_checkpoints()
        context.call_on_fit_task_end(**told)
        return self

    def _choose_best(self, run: SearchRun, refit_metric: Any) -> None:
        """Set `best_index_`, `best_score_` and `best_params_` where there is a best one."""
        first_scores = run.out[0]["test_scores"]
        # a callable's scores are known only now
        self.multimetric_ = isinstance(first_scores, dict)
        if callable(self.scoring) and self.multimetric_:
            self._check_refit_for_multimetric(first_scores)
            refit_metric = self.refit
        if self.refit or not self.multimetric_:
            self.best_index_ = self._select_best_index(self.refit, refit_metric, run.results)
            if not callable(self.refit):
                self.best_score_ = run.results[f"mean_test_{refit_metric}"][self.best_index_]
            self.best_params_ = run.results["params"][self.best_index_]

    def _refit(self, run: SearchRun, context: Any, told: dict[str, Any]) -> None:
        """Fit the best candidate on all rows."""
        # parameters are cloned since they may be estimators themselves
        self.best_estimator_ = clone(run.estimator).set_params(
            **clone(self.best_params_, safe=False)
        )
        refit_context = context.subcontext(task_name="refit-with-best-params")
        with refit_context.propagate_callback_context(self.best_estimator_):
            refit_context.call_on_fit_task_begin(**told)
            start = time.time()
            fit_on_all(
                self.best_estimator_,
                run.X,
                run.y,
                run.routed.estimator.fit,
                batched=bool(run.results["batched"][self.best_index_]),
            )
            self.refit_time_ = time.time() - start
        if hasattr(self.best_estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.best_estimator_.feature_names_in_
        refit_context.call_on_fit_task_end(**told)
