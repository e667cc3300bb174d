"""Models of a grid that are trained on end where a tight fit of them ends; others stay."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from mlfund._solvers import stacked, stacked_grid
from mlfund._solvers.stacked import grid_of
from mlfund._solvers.stacked_data import FoldedRows, Terms, training_times
from mlfund._solvers.stacked_finish import finish

CS = np.array([3.0, 0.01, 1.0, 30.0])


def table(seed, *, k, n=150, d=5):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, d)) * np.logspace(-1, 1, d) + rng.standard_normal(d)
    raw = (X / np.logspace(-1, 1, d)) @ rng.standard_normal((d, k))
    code = (raw + 2 * rng.standard_normal((n, k))).argmax(axis=1)
    code[: 6 * k] = np.tile(np.arange(k), 6)
    trains = [train for train, _ in StratifiedKFold(3).split(X, code)]
    return X, code, training_times(trains, n)


def solved(rows, tol, *, ratio=0.0, intercept=True, of_intercept=None, standardise=False):
    terms = Terms(intercept, tol, 1000, np.random.RandomState(0), of_intercept, standardise, None)
    grid = grid_of(rows, CS, np.array([ratio]), terms)
    grid.solve()
    return grid


def check_finished(rows, *, ratio=0.0, loose=1e-2, atol=1e-7, far=True, anew=False, **terms):
    grid = solved(rows, loose, ratio=ratio, **terms)
    found = grid.fit
    before, first = found.W.copy(), found.n_iter.copy()
    exact = solved(rows, 1e-12, ratio=ratio, **terms).fit
    chosen = np.array([2, 1])
    if anew:
        grid = grid_of(rows, CS, grid.ratios, grid.terms, found)
    finish(grid, 0, chosen, 1e-11)
    others = np.setdiff1d(np.arange(len(CS)), chosen)
    np.testing.assert_array_equal(found.W[:, :, others], before[:, :, others])
    unit = np.abs(exact.W).max()
    np.testing.assert_allclose(found.W[:, :, chosen], exact.W[:, :, chosen], atol=atol * unit)
    np.testing.assert_allclose(found.b[:, :, chosen], exact.b[:, :, chosen], atol=10 * atol)
    if far:
        assert np.abs(before - exact.W)[:, :, chosen].max() > 10 * atol * unit
    assert (found.n_iter[:, :, chosen] >= first[:, :, chosen]).all()
    assert found.converged[:, :, chosen].all()


@settings(deadline=None, max_examples=12)
@given(
    seed=st.integers(0, 10**6),
    k=st.sampled_from([2, 3]),
    scaled=st.booleans(),
    intercept=st.sampled_from(["free", "penalised", "none"]),
    weighted=st.booleans(),
    anew=st.booleans(),
)
def test_finished_models_are_those_of_a_tight_fit(seed, k, scaled, intercept, weighted, anew):
    X, code, times = table(seed, k=k)
    weights = np.random.RandomState(seed).uniform(0.5, 2, len(X)) if weighted else None
    rows = FoldedRows(X, code, k, weights, times)
    check_finished(
        rows,
        # whatever the seed, a small problem may be solved at once
        far=False,
        anew=anew,
        standardise=scaled,
        intercept=intercept != "none",
        of_intercept=1.0 if intercept == "penalised" else None,
    )


def test_a_stack_in_float32_is_finished_in_float64(monkeypatch):
    monkeypatch.setattr(stacked_grid, "FLOAT32_WORK", 0)
    X, code, times = table(0, k=2)
    check_finished(FoldedRows(X, code, 2, None, times), standardise=True)


@pytest.mark.parametrize("k", [2, 3])
def test_sparse_rows(monkeypatch, k):
    monkeypatch.setattr(stacked, "DENSE_ENTRIES", 0)
    monkeypatch.setattr(stacked, "DENSE_PART", 1.0)
    X, code, times = table(1, k=k)
    X[np.random.RandomState(0).uniform(size=X.shape) < 0.7] = 0.0
    rows = FoldedRows(sp.csr_array(X), code, k, None, times)
    check_finished(rows, standardise=True, atol=1e-6)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("stacked_l1", [True, False])
def test_models_with_an_l1_part(monkeypatch, stacked_l1, k):
    if not stacked_l1:
        monkeypatch.setattr(stacked_grid, "L1_UNKNOWNS", 0)
    X, code, times = table(2, k=k)
    rows = FoldedRows(X, code, k, None, times)
    check_finished(rows, ratio=0.5, standardise=True, atol=1e-7 if stacked_l1 else 1e-5)
