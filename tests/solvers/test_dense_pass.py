"""The compiled pass over dense rows against numpy in float64."""

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from mlfund import LogisticRegression
from mlfund._solvers import dense_pass, kernels
from mlfund._solvers.losses import BinaryLoss, MultinomialLoss

compiled = pytest.mark.skipif(
    kernels.register_bytes() == 0, reason="these loops need gcc at installation"
)
WIDTHS = [width for width in (16, 32, 64) if width <= kernels.register_bytes()]


@pytest.fixture(autouse=True)
def of_any_size(monkeypatch):
    monkeypatch.setattr(dense_pass, "LEAST_ENTRIES", 1)


def draw(n, d, k, dtype, weighted, seed=0):
    """Return X, W, offsets and a loss."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)).astype(dtype)
    W = rng.normal(0, 2 / np.sqrt(d), (k, d)).astype(dtype)
    offsets = rng.standard_normal((k, 1)).astype(dtype)
    weights = rng.dirichlet(np.ones(n)).astype(dtype) if weighted else 1.0 / n
    code = rng.integers(0, max(k, 2), n)
    if k == 1:
        return X, W, offsets, BinaryLoss(code.astype(dtype), weights)
    return X, W, offsets, MultinomialLoss(code, k, weights, dtype)


def in_double(X, W, offsets, loss):
    """Return what `evaluate` should."""
    Z = W.astype(np.float64) @ X.T.astype(np.float64) + offsets
    code = loss.target.astype(int)
    if loss.k == 1:
        P = expit(Z)
        losses, R = np.logaddexp(0, Z[0]) - code * Z[0], P - code
    else:
        P, R, every = softmax(Z, axis=0), softmax(Z, axis=0), np.arange(len(X))
        losses = -log_softmax(Z, axis=0)[code, every]
        R[code, every] -= 1
    R = R * loss.weights
    return Z, P, R @ X, R.sum(axis=1), float(np.sum(losses * loss.weights))


@compiled
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 2, 4, 5, 7, 10])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_agrees_with_numpy_at_every_size(dtype, k, width, monkeypatch):
    monkeypatch.setattr(kernels, "register_bytes", lambda: width)
    for n in (1, 9, 300):
        for d in (1, 4, 17, 67):
            case = draw(n, d, k, dtype, weighted=(n + d) % 2 == 0)
            assert dense_pass.suits(case[0], case[-1])
            tolerance = 100 * np.finfo(dtype).eps
            for given, wanted in zip(dense_pass.evaluate(*case), in_double(*case), strict=True):
                np.testing.assert_allclose(given, wanted, rtol=tolerance, atol=tolerance)


@compiled
@pytest.mark.parametrize("k", [1, 3])
def test_a_loss_near_zero_keeps_its_digits(k):
    _, W, offsets, loss = draw(64, 5, k, np.float64, weighted=False)
    offsets[:] = 0.0
    own = loss.target.astype(int) * (k > 1)
    sign = 2 * loss.target - 1 if k == 1 else np.ones(64)
    X = sign[:, None] * np.linalg.pinv(24 * W).T[own] * 24**2
    Z, _, _, _, value = dense_pass.evaluate(X, W, offsets, loss)
    # Of every other class beside the own one.
    behind = -sign * Z if k == 1 else Z - Z[own, np.arange(64)]
    if k > 1:
        behind[own, np.arange(64)] = -np.inf
    others = np.exp(behind).sum(axis=0)
    assert 0 < value < 1e-8
    np.testing.assert_allclose(value, np.log1p(others).mean(), rtol=1e-12)


@compiled
@pytest.mark.parametrize("k", [1, 3])
def test_large_margins_saturate_and_nan_is_seen(k):
    X, W, offsets, loss = draw(40, 6, k, np.float32, weighted=False)
    Z, P, products, _, value = dense_pass.evaluate(X, W * np.float32(1e6), offsets, loss)
    assert np.isfinite(Z).all()
    assert np.isfinite(products).all()
    assert np.isfinite(value)
    assert ((P >= 0) & (P <= 1)).all()
    X[3, 2] = np.nan
    assert np.isnan(dense_pass.evaluate(X, W, offsets, loss)[2]).any()


@compiled
def test_threads_change_no_digit(monkeypatch):
    monkeypatch.setattr(dense_pass, "PART_FLOP", 1e4)
    case = draw(501, 33, 3, np.float32, weighted=True)
    several = {}
    for threads in (1, 3):
        monkeypatch.setattr(dense_pass, "blas_threads", lambda n=threads: n)
        several[threads] = dense_pass.evaluate(*case)
    for one, other in zip(*several.values(), strict=True):
        np.testing.assert_array_equal(one, other)


@compiled
def test_what_the_loops_do_not_take_is_left_to_numpy(monkeypatch):
    X, _, _, loss = draw(10, 4, 3, np.float64, weighted=False)
    assert not dense_pass.suits(np.asfortranarray(X), loss)
    assert not dense_pass.suits(X[:, ::2], loss)
    assert not dense_pass.suits(X.astype(">f8"), loss)
    assert dense_pass.suits(X, loss)
    monkeypatch.setattr(dense_pass, "LEAST_ENTRIES", X.size + 1)
    assert not dense_pass.suits(X, loss)


@pytest.mark.parametrize("k", [2, 4])
def test_fits_with_and_without_the_loops_agree(k, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 12))
    y = (X @ rng.standard_normal((12, k)) + rng.gumbel(size=(300, k))).argmax(axis=1)
    fast = LogisticRegression(tol=1e-9, solver="preconditioned-lbfgs").fit(X, y)
    monkeypatch.setattr(kernels, "_library", lambda: None)
    plain = LogisticRegression(tol=1e-9, solver="preconditioned-lbfgs").fit(X, y)
    np.testing.assert_allclose(fast.coef_, plain.coef_, atol=1e-7)
    np.testing.assert_allclose(fast.loss_curve_[-1], plain.loss_curve_[-1], rtol=1e-12)
