"""Stacks of linear models beside single fits."""

import warnings

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from mlfund.model_selection._contract import Affine, SearchRows
from mlfund.model_selection._linear_family import FAMILY


def unheard(alive, total):
    pass


def scaled_rows(X, y, splits, fit_params=None, *, scaler=None):
    """Rows of all splits, behind a scaler fitted on the training rows of each."""
    affine = None
    if scaler is not None:
        fitted = [clone(scaler).fit(X[train]) for train, _ in splits]
        zeros = np.zeros(X.shape[1])
        centres = [getattr(one, "mean_", None) if one.with_mean else zeros for one in fitted]
        affine = Affine(np.stack(centres), np.stack([one.scale_ for one in fitted]))
    return SearchRows(X, y, splits, list(range(len(splits))), fit_params or {}, affine)


def train(estimators, rows, *, memory_limit=None, report=unheard):
    assert {FAMILY.refusal(one, rows) for one in estimators} == {None}
    assert len({FAMILY.group_key(one) for one in estimators}) == 1
    return list(FAMILY.train(estimators, rows, memory_limit=memory_limit, report=report))


def standardised(rows, split):
    """X as the final estimators of a split see it."""
    if rows.affine is None:
        return rows.X
    centre, scale = rows.affine.centre[split], rows.affine.scale[split]
    if sp.issparse(rows.X):
        return sp.csr_array(rows.X.multiply(1 / scale))
    return ((rows.X - centre) / scale).astype(rows.X.dtype)


def single_fit(estimator, rows, split):
    """The model that scikit-learn's search would fit, and what it warned of."""
    train_rows = rows.splits[split][0]
    weights = rows.fit_params.get("sample_weight")
    given = {} if weights is None else {"sample_weight": np.asarray(weights)[train_rows]}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = clone(estimator).fit(
            standardised(rows, split)[train_rows], rows.y[train_rows], **given
        )
    return model, caught


def pairs(estimators, rows, **options):
    """Yield (models, position, single model, held-out rows) of every model."""
    seen = set()
    for models in train(estimators, rows, **options):
        for position, number in enumerate(models.candidates):
            seen.add((number, models.split))
            yield models, position, single_fit(estimators[number], rows, models.split)[0]
    assert len(seen) == len(estimators) * len(rows.splits)


def scaler_of(X):
    return StandardScaler(with_mean=not sp.issparse(X))
