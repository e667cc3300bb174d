"""MLPs trained as a stack next to fits of clones, for the tests of the family."""

import warnings

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.utils import _safe_indexing

from mlfund.model_selection._contract import SearchRows
from mlfund.model_selection._mlp_family import MLPFamily

# Epochs that are always run, few enough to compare rounding.
SHORT = {"hidden_layer_sizes": (7,), "max_iter": 10, "random_state": 0, "n_iter_no_change": 20}


def rows_of(X, y, n_splits=2, *, splits=None, fit_params=None, affine=None):
    """Return the rows of a search over folds in order."""
    if splits is None:
        classes = np.asarray(y).ndim == 1 and len(np.unique(y)) < 10
        splits = (StratifiedKFold if classes else KFold)(n_splits).split(X, y)
    splits = list(splits)
    return SearchRows(X, y, splits, list(range(len(splits))), fit_params or {}, affine)


def stacked(candidates, rows, *, memory_limit=None):
    """Return the models of each split, by its number."""
    family = MLPFamily()
    for candidate in candidates:
        assert family.refusal(candidate, rows) is None
    assert len({family.group_key(candidate) for candidate in candidates}) == 1
    found = {}
    for models in family.train(
        candidates, rows, memory_limit=memory_limit, report=lambda alive, total: None
    ):
        assert list(models.candidates) == list(range(len(candidates)))
        found[models.split] = models
    assert sorted(found) == sorted(rows.numbers)
    return found


def alone(candidate, rows, place):
    """Return a clone fitted on the training rows of one split."""
    train, _ = rows.splits[place]
    fit_params = {name: np.asarray(value)[train] for name, value in rows.fit_params.items()}
    X = _safe_indexing(rows.X, train)
    X = scaled(X, rows, place)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return clone(candidate).fit(X, _safe_indexing(rows.y, train), **fit_params)


def scaled(X, rows, place):
    """Return rows as the scaler of a split makes them."""
    if rows.affine is None:
        return X
    centre, scale = rows.affine.centre[place], rows.affine.scale[place]
    return X.multiply(1 / scale).tocsr() if sp.issparse(X) else (X - centre) / scale


def assert_same_fit(one, other, rtol=1e-9):
    """Fail unless two estimators went through the same training."""
    assert type(one) is type(other)
    assert one.n_iter_ == other.n_iter_
    assert one.t_ == other.t_
    np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=rtol)
    layers = zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True)
    for mine, theirs in layers:
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=rtol)
    assert (one.validation_scores_ is None) == (other.validation_scores_ is None)
    if one.validation_scores_ is not None:
        np.testing.assert_allclose(one.validation_scores_, other.validation_scores_, rtol=rtol)


def assert_as_alone(candidates, rows, rtol=1e-9):
    """Fail unless models of a stack are what fits of clones give.

    Each candidate is compared on one split, the next one on the next, which takes less time
    than all of them on all.
    """
    found = stacked(candidates, rows)
    for place, number in enumerate(rows.numbers):
        models = found[number]
        assert not models.failures
        _, test = rows.splits[place]
        raw = models.raw(test)
        for position, candidate in enumerate(candidates):
            if position % len(rows.numbers) != place % max(1, len(candidates)):
                continue
            expected = alone(candidate, rows, place)
            assert_same_fit(models.estimator(position), expected, rtol)
            X = _safe_indexing(rows.X, test)
            X = scaled(X, rows, place)
            np.testing.assert_allclose(raw[position], expected._raw(X), rtol=rtol, atol=rtol)
            predicted = models.predict(raw)[position]
            if hasattr(expected, "classes_"):
                np.testing.assert_array_equal(predicted, expected.predict(X))
            else:
                np.testing.assert_allclose(predicted, expected.predict(X), rtol=rtol, atol=rtol)
            if hasattr(expected, "predict_proba"):
                proba = models.predict_proba(raw)[position]
                np.testing.assert_allclose(proba, expected.predict_proba(X), rtol=rtol, atol=rtol)
    return found
