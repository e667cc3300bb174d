import numpy as np
import pytest
import scipy.sparse as sp

from mlfund._solvers.design import Design
from tests.solvers.problems import data


def explicit(X, design):
    """The standardised matrix that the design stands for."""
    rows = (X - design.centre) / design.scale
    rows[:, design.dead] = 0
    return np.column_stack([rows, np.ones(len(X))]) if design.intercept else rows


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
@pytest.mark.parametrize(("intercept", "centred"), [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [1, 3])
def test_products_are_those_of_the_standardised_matrix(container, intercept, centred, weighted, k):
    X, _, weights = data(weighted=weighted)
    design = Design(container(X), weights, intercept=intercept, centred=centred)
    A = explicit(X, design)
    rng = np.random.RandomState(1)
    V, R, h = rng.standard_normal((k, design.p)), rng.standard_normal((k, 60)), rng.uniform(size=60)
    np.testing.assert_allclose(design.margins(V), V @ A.T, atol=1e-12)
    np.testing.assert_allclose(design.pull_back(R), R @ A, atol=1e-11)
    np.testing.assert_allclose(design.squared_sums(h), h @ A**2, rtol=1e-10)
    np.testing.assert_allclose(design.rows(slice(3, 9)), A[3:9], atol=1e-12)
    np.testing.assert_allclose(np.concatenate([b for _, b in design.blocks()]), A, atol=1e-12)


def test_coordinates_there_and_back():
    X, _, weights = data()
    design = Design(X, weights, intercept=True, centred=True)
    V = np.random.RandomState(2).standard_normal((2, design.p))
    W, b = design.to_original(V)
    np.testing.assert_allclose(design.margins(V), W @ X.T + b[:, None], atol=1e-12)
    np.testing.assert_allclose(design.from_original(W, b), V, atol=1e-12)


def test_gradient_in_the_columns_of_X():
    X, _, weights = data()
    design = Design(X, weights, intercept=True, centred=True)
    R = np.random.RandomState(3).standard_normal((2, 60))
    expected = np.column_stack([R @ X, R.sum(axis=1)])
    np.testing.assert_allclose(design.gradient_to_original(design.pull_back(R)), expected)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_constant_columns_are_dead_whatever_their_size(container):
    X, _, weights = data(d=4)
    X[:, 1], X[:, 2] = 1e9 + 0.1, 0.0
    design = Design(container(X), weights, intercept=True, centred=True)
    np.testing.assert_array_equal(design.dead, [False, True, True, False])


def test_a_column_that_is_rarely_not_zero_is_not_taken_for_constant():
    X = np.zeros((10_000, 2))
    X[:, 0] = np.arange(10_000)
    X[5, 1] = 1.0  # not among the strided sample of rows
    design = Design(X, 1e-4, intercept=True, centred=True)
    assert not design.dead.any()
    np.testing.assert_allclose(design.scale[1], X[:, 1].std())


def test_scales_near_the_limits_do_not_overflow():
    X, _, weights = data(d=2)
    design = Design(X * [1e300, 1e-300], weights, intercept=True, centred=True)
    np.testing.assert_allclose(design.scale, X.std(axis=0) * [1e300, 1e-300])
