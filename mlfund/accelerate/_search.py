"""Replacements of scikit-learn's `GridSearchCV` and `RandomizedSearchCV`."""

from __future__ import annotations

import sys
from typing import Any

import sklearn.model_selection._search as _sklearn
from sklearn import get_config
from sklearn.metrics._scorer import _BaseScorer, _MultimetricScorer

from mlfund.accelerate._final_step import estimators_of_mlfund, why_not_fitted, why_not_translated
from mlfund.accelerate._record import active
from mlfund.accelerate._replacement import Replacement, accelerated, as_in, parameters

# What a search of mlfund's knows beside scikit-learn's.
_OURS = ("batched_reasons_",)


class _Search(Replacement):
    """What both share."""

    estimator: Any
    scoring: Any
    cv: Any
    verbose: int
    cv_results_: dict[str, Any]
    n_splits_: int
    _get_scorers: Any

    @as_in(_sklearn.BaseSearchCV.fit)
    def fit(self, X: Any, y: Any = None, **params: Any) -> Any:
        return accelerated(self, X, y, **params)

    def _refusal(self, X: Any, y: Any, **params: Any) -> str | None:
        if self.verbose > 1:
            return "verbose asks for scikit-learn's own words"
        if get_config()["enable_metadata_routing"]:
            return "metadata routing is enabled"
        if hasattr(self.cv, "__next__"):
            return "cv is an iterator that can be read once only"
        if not all(map(_known, _scorings(self.scoring))):
            return "scoring is a function that may look at the estimator"
        return why_not_translated(self.estimator) or why_not_fitted(self.estimator, params)

    def _fit_by_mlfund(self, X: Any, y: Any, **params: Any) -> None:
        from mlfund.accelerate import _search_fits

        given = parameters(self, self._replaced._get_param_names)
        given |= {"estimator": estimators_of_mlfund(self.estimator), "verbose": 0}
        ours = getattr(_search_fits, self._replaced.__name__)(**given)
        ours.searched = self.estimator
        _search_fits.fit(ours, X, y, params)
        for name, value in vars(ours).items():
            if name.endswith("_") and name not in _OURS:
                setattr(self, name, value)
        self._checked_cv_orig = ours._checked_cv_orig
        self.cv_results_.pop("batched")
        record = active()
        if record is not None:
            record.count_one_by_one(self._replaced.__name__, ours.batched_reasons_)
        scorer = self._get_scorers()[0]
        self.scorer_ = scorer._scorers if isinstance(scorer, _MultimetricScorer) else scorer
        if self.verbose:
            n = len(self.cv_results_["params"])
            sys.stdout.write(
                f"Fitting {self.n_splits_} folds for each of {n} candidates, "
                f"totalling {n * self.n_splits_} fits\n"
            )


class GridSearchCV(_Search, _sklearn.GridSearchCV, replaces=True):
    """Searches by mlfund where that comes to the same."""


class RandomizedSearchCV(_Search, _sklearn.RandomizedSearchCV, replaces=True):
    """Searches by mlfund where that comes to the same."""


def _scorings(scoring: Any) -> list[Any]:
    if isinstance(scoring, dict):
        return list(scoring.values())
    return list(scoring) if isinstance(scoring, list | tuple | set) else [scoring]


def _known(scoring: Any) -> bool:
    return scoring is None or isinstance(scoring, str | _BaseScorer)
