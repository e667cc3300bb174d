"""The compiled loops against numpy, and what happens without them."""

import numpy as np
import pytest
import scipy.sparse as sp

from mlfund import LogisticRegression
from mlfund._solvers import kernels
from mlfund._solvers.choice import choose
from mlfund._solvers.moments import column_statistics, column_sums
from mlfund._solvers.proximal import least_subgradient

compiled = pytest.mark.skipif(not kernels.available(), reason="installed without a C compiler")


@pytest.fixture
def without_kernels(monkeypatch):
    monkeypatch.setattr(kernels, "_library", lambda: None)


def matrix(n=40, d=12, dtype=np.float64, seed=0):
    X = sp.random_array((n, d), density=0.3, rng=np.random.RandomState(seed), dtype=dtype)
    X = X.tocsr()
    X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    return X


@compiled
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_are_selected_in_the_order_asked_for(dtype):
    X, columns = matrix(dtype=dtype), np.array([7, 0, 11])
    part = kernels.select_columns(X, columns)
    assert part.dtype == dtype
    np.testing.assert_array_equal(part.toarray(), X.toarray()[:, columns])
    assert kernels.select_columns(X, columns[:0]).shape == (40, 0)


@compiled
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("at_once", [10, 10**9])
def test_gram_and_sums_are_those_of_numpy(dtype, at_once, monkeypatch):
    monkeypatch.setattr(kernels, "WORK_AT_ONCE", at_once)
    X, h = matrix(dtype=dtype), np.random.RandomState(1).uniform(size=40)
    A = X.toarray().astype(float)
    np.testing.assert_allclose(kernels.sparse_gram(X, h), (A.T * h) @ A, rtol=1e-12)
    first, second = kernels.column_sums(X, h.astype(dtype))
    np.testing.assert_allclose(first, h.astype(dtype) @ A, rtol=1e-12)
    np.testing.assert_allclose(second, h.astype(dtype) @ A**2, rtol=1e-12)


@compiled
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("centred", [False, True])
def test_moments_of_rows_are_those_of_numpy(dtype, centred):
    X, dead = matrix(dtype=dtype), np.zeros(12, dtype=bool)
    centre = np.random.RandomState(1).uniform(size=12) * centred
    A = X.toarray().astype(float)
    squares, along, filled = kernels.row_moments(X, centre, dead)
    np.testing.assert_allclose(squares, (A**2).sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(along, A @ centre, rtol=1e-12)
    assert not filled
    dead[5] = True
    assert kernels.row_moments(X, centre, dead)[2]
    X = kernels.select_columns(X, np.array([0, 1]))
    assert not kernels.row_moments(X, centre[:2], np.array([False, False]))[2]
    X.indices[:] = 0
    assert not kernels.row_moments(X, centre[:2], np.array([False, True]))[2]


@compiled
def test_model_sweeps_end_at_the_minimum_and_keep_the_gradient():
    rng = np.random.RandomState(0)
    A = rng.standard_normal((30, 8))
    H, g, l1 = A.T @ A, rng.standard_normal(8) * 5, np.full(8, 3.0)
    v, q = np.zeros(8), g.copy()
    assert kernels.model_sweeps(H, l1, v, q, 1e-12, 1000) <= 1e-12
    np.testing.assert_allclose(q, g + H @ v, atol=1e-11)
    assert np.abs(least_subgradient(q, v, l1)).max() < 1e-10
    assert (v == 0).any()
    assert v.any()


@compiled
def test_the_random_order_is_a_permutation_that_the_seed_repeats():
    orders = []
    for seed in (1, 1, 3):
        order, state = np.arange(500, dtype=np.int32), np.array([seed], dtype=np.uint64)
        kernels.shuffle(order, state)
        np.testing.assert_array_equal(np.sort(order), np.arange(500))
        orders.append(order)
    np.testing.assert_array_equal(orders[0], orders[1])
    assert (orders[0] != orders[2]).any()


@compiled
def test_arrays_that_a_kernel_would_misread_are_refused():
    H, l1, v = np.eye(3), np.ones(3), np.zeros(3)
    for bad in (np.ones(2), np.ones(3, np.float32), np.ones(6)[::2]):
        with pytest.raises(ValueError, match="contiguous float64 array of shape"):
            kernels.model_sweeps(H, l1, v, bad, 0.0, 1)
    X = matrix()
    X.indices = X.indices.astype(np.int64)
    assert not kernels.suits(X)
    with pytest.raises(ValueError, match="int32"):
        kernels.column_sums(X, np.ones(40))


def test_parts_cover_everything_once(monkeypatch):
    monkeypatch.setattr(kernels, "WORK_AT_ONCE", 10)
    work = np.array([3, 3, 30, 1, 9, 0, 10])
    parts = list(kernels.parts_of(np.cumsum(work)))
    assert [i for start, stop in parts for i in range(start, stop)] == list(range(7))
    assert all(work[start:stop].sum() <= 10 or stop == start + 1 for start, stop in parts)


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
@pytest.mark.parametrize("centred", [False, True])
def test_column_statistics_with_and_without_kernels(scale, centred, monkeypatch):
    X, weights = matrix(), np.random.RandomState(2).dirichlet(np.ones(40))
    X = sp.csr_array(X * scale)
    here = column_statistics(X, weights, centred)
    sums = column_sums(X, weights) if scale == 1 else None
    monkeypatch.setattr(kernels, "_library", lambda: None)
    for a, b in zip(here, column_statistics(X, weights, centred), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)
    if sums is not None:
        np.testing.assert_allclose(sums, column_sums(X, weights), rtol=1e-12)


@pytest.mark.parametrize("solver", ["coordinate", "dual-coordinate"])
def test_a_solver_that_needs_kernels_says_so(solver, without_kernels):
    X = np.arange(8.0).reshape(4, 2)
    with pytest.raises(RuntimeError, match=f"solver='{solver}' needs mlfund's compiled kernels"):
        LogisticRegression(solver=solver).fit(X, [0, 1, 0, 1])


@pytest.mark.parametrize("C", [1.0, 1000.0])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_everything_else_works_without_kernels(C, l1_ratio, monkeypatch):
    rng = np.random.RandomState(0)
    X = sp.random_array((200, 60), density=0.2, rng=rng).tocsr()
    y = (X @ rng.standard_normal(60) > rng.standard_normal(200)).astype(int)
    model = LogisticRegression(solver="auto", C=C, l1_ratio=l1_ratio, tol=1e-8, max_iter=5000)
    scores = model.fit(X, y).decision_function(X)
    monkeypatch.setattr(kernels, "_library", lambda: None)
    plain = model.fit(X, y)
    assert plain.solver_ not in ("coordinate", "dual-coordinate")
    np.testing.assert_allclose(plain.decision_function(X), scores, atol=1e-4)


def test_the_choice_needs_the_kernels():
    shape = {"n": 20_000, "p": 50_000, "k": 1, "l1": True}
    assert choose(**shape, kernels=True) == "coordinate"
    assert choose(**shape) == "proximal"
    assert choose(20_000, 50_000, 3, l1=True, kernels=True) == "proximal"
