"""Wide rows are solved in the span of each fold's rows: the models stay the same."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlfund._solvers import stacked_span
from mlfund._solvers.stacked import solve_grid
from mlfund._solvers.stacked_data import FoldedRows, training_times
from mlfund._solvers.stacked_span import principal_span

CS = np.array([1e-2, 1.0])


def wide(n=40, d=90, k=2, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, d)) * 10 ** rng.uniform(-1, 1, d) + rng.standard_normal(d)
    code = rng.permutation(np.arange(n) % k)
    return X + code[:, None] * rng.standard_normal(d) * 0.3, code


def fit(X, code, k, trains, *, weights=None, **terms):
    rows = FoldedRows(X, code, k, weights, training_times(trains, len(X)))
    options = {"intercept": True, "tol": 1e-10, "max_iter": 1000} | terms
    return solve_grid(rows, CS, np.zeros(1), rng=np.random.RandomState(0), **options)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("standardise", [True, False])
def test_models_are_scikit_learns(k, intercept, standardise):
    X, code = wide(k=k)
    weights = np.random.RandomState(1).uniform(0.5, 2, len(X))
    trains = [train for train, _ in StratifiedKFold(3).split(X, code)]
    if standardise:
        weights = None
    terms = {"intercept": intercept, "standardise": standardise}
    found = fit(X, code, k, trains, weights=weights, **terms)
    assert found.solver == "stacked"
    assert found.converged.all()
    for f, train in enumerate(trains):
        for c, C in enumerate(CS):
            model = LogisticRegression(
                C=C, fit_intercept=intercept, tol=1e-9, max_iter=10_000, solver="newton-cg"
            )
            front = [StandardScaler()] if standardise else []
            pipeline = make_pipeline(*front, model)
            options = {
                "logisticregression__sample_weight": None if weights is None else weights[train]
            }
            pipeline.fit(X[train], code[train], **options)
            raw = X @ found.W[f, 0, c].T + found.b[f, 0, c]
            theirs = pipeline.decision_function(X).reshape(len(X), -1)
            np.testing.assert_allclose(raw, theirs, atol=2e-5)


def test_the_span_is_taken_where_it_is_narrower(monkeypatch):
    widths = []

    def noted(X):
        widths.append(X.shape)
        return principal_span(X)

    monkeypatch.setattr(stacked_span, "principal_span", noted)
    X, code = wide()
    trains = [train for train, _ in StratifiedKFold(2).split(X, code)]
    fit(X, code, 2, trains)
    assert widths == [(20, 90), (20, 90)]
    fit(X[:, :20], code, 2, trains)
    assert len(widths) == 2


def test_columns_that_are_constant_in_a_fold():
    X, code = wide()
    X[:, 3] = 7.0
    trains = [train for train, _ in StratifiedKFold(2).split(X, code)]
    found = fit(X, code, 2, trains, standardise=True)
    assert np.isfinite(found.W).all()
    np.testing.assert_allclose(found.W[..., 3], 0, atol=1e-14)


def test_fewer_distinct_rows_than_rows():
    X, code = wide()
    X = np.repeat(X[:10], 4, axis=0)
    trains = [train for train, _ in StratifiedKFold(2).split(X, code)]
    found = fit(X, code, 2, trains)
    model = LogisticRegression(C=1.0, tol=1e-12, max_iter=10_000).fit(X[trains[0]], code[trains[0]])
    np.testing.assert_allclose(found.W[0, 0, 1], model.coef_, atol=1e-5)
