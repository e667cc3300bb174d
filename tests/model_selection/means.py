"""A small estimator and its family, to test searches without a real stack."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from mlfund.model_selection._families import UnstackableError
from mlfund.model_selection._models import StackedRegressors


class ShrunkenMean(RegressorMixin, BaseEstimator):
    """Predicts the weighted mean of y times (1 - shrinkage)."""

    def __init__(self, shrinkage=0.0, group="a", trouble=None):
        self.shrinkage = shrinkage
        self.group = group
        self.trouble = trouble

    def fit(self, X, y, sample_weight=None):
        X, y = validate_data(self, X, y)
        if self.trouble == "fails":
            raise ValueError("this mean fails")
        if self.trouble == "warns":
            warnings.warn("this mean warns", UserWarning, stacklevel=2)
        self.mean_ = (1 - self.shrinkage) * np.average(y, weights=sample_weight)
        return self

    def predict(self, X):
        check_is_fitted(self)
        return np.full(len(validate_data(self, X, reset=False)), self.mean_)


def trained_means(estimators, rows, position):
    """The means of one split."""
    train, _ = rows.splits[position]
    weights = rows.fit_params.get("sample_weight")
    mean = np.average(
        np.asarray(rows.y)[train], weights=None if weights is None else weights[train]
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for estimator in estimators:
            if estimator.trouble == "warns":
                warnings.warn("this mean warns", UserWarning, stacklevel=2)
    failures = {
        number: ValueError("this mean fails")
        for number, estimator in enumerate(estimators)
        if estimator.trouble == "fails"
    }
    return MeanModels(
        rows,
        rows.numbers[position],
        range(len(estimators)),
        seconds=0.5 * len(estimators),
        failures=failures,
        warnings=caught,
        estimators=estimators,
        # where none could be trained there is nothing to score with
        means=None
        if len(failures) == len(estimators)
        else np.array([(1 - estimator.shrinkage) * mean for estimator in estimators]),
    )


@dataclass
class MeanModels(StackedRegressors):
    """The means of one split, one a candidate."""

    estimators: Sequence[ShrunkenMean] = ()
    means: Sequence[float] = ()

    def _raw(self, X, models):
        means = self.means[models]
        return np.broadcast_to(means[:, None, None], (len(means), len(X), 1))

    def estimator(self, position):
        fitted = clone(self.estimators[position])
        fitted.mean_ = self.means[position]
        fitted.n_features_in_ = np.shape(self.rows.X)[1]
        return fitted


class MeanFamily:
    """Trains means, and remembers how many at a time."""

    takes_affine = True

    def __init__(self):
        self.trained = []

    def refusal(self, estimator, rows):
        return "this mean refuses" if estimator.trouble == "refuses" else None

    def group_key(self, estimator):
        return estimator.group

    def looseness(self, estimator):
        return None

    def train(self, estimators, rows, *, memory_limit, report, undecided=None):
        if any(estimator.trouble == "bad data" for estimator in estimators):
            raise UnstackableError("these data cannot be stacked")
        self.trained.append((len(estimators), tuple(rows.numbers)))
        self.memory_limit = memory_limit
        for position in reversed(range(len(rows.splits))):
            report(len(estimators), len(estimators))
            yield trained_means(estimators, rows, position)


FAMILY = MeanFamily()
