"""Every solver by its name: one optimum, one account of the way there."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.linear_model import LogisticRegression as Reference
from threadpoolctl import threadpool_info

from mlfund import LogisticRegression
from mlfund._solvers import linear, single
from mlfund._solvers.products import DETOUR_ENTRIES, skinny_product
from mlfund._solvers.threads import blas_threads, quiet_blas, threads_for

SMOOTH = ["newton", "preconditioned-lbfgs", "plain-lbfgs", "nesterov", "gradient-descent"]
SEARCHED = ["newton", "preconditioned-lbfgs", "plain-lbfgs", "gradient-descent"]


def table(k, n=400, d=5, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, d)) * np.logspace(-1, 1, d) + rng.standard_normal(d)
    scores = (X - X.mean(0)) / X.std(0) @ rng.standard_normal((d, k))
    return X, (scores + rng.gumbel(size=(n, k))).argmax(axis=1)


@pytest.mark.parametrize("solver", SMOOTH)
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("in_single", [False, True])
def test_all_solvers_agree_with_newton_cholesky(solver, k, sparse, in_single, monkeypatch):
    if in_single:
        monkeypatch.setattr(single, "SINGLE_ENTRIES", 1)
    X, y = table(k)
    reference = Reference(solver="newton-cholesky", tol=1e-8).fit(X, y)
    ours = LogisticRegression(solver=solver, tol=1e-8, max_iter=50_000)
    ours.fit(sp.csr_array(X) if sparse else X, y)
    assert ours.solver_ == solver
    np.testing.assert_allclose(ours.coef_, reference.coef_, atol=2e-5)
    np.testing.assert_allclose(ours.intercept_, reference.intercept_, atol=1e-4)


@pytest.mark.parametrize("solver", SEARCHED)
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("in_single", [False, True])
def test_the_loss_curve_falls_to_the_objective_at_the_end(solver, k, in_single, monkeypatch):
    if in_single:
        monkeypatch.setattr(single, "SINGLE_ENTRIES", 1)
    X, y = table(k)
    model = LogisticRegression(solver=solver, tol=1e-9, max_iter=20_000).fit(X, y)
    curve = np.array(model.loss_curve_)
    assert len(curve) == model.n_iter_[0] + 1
    assert curve[0] == pytest.approx(np.log(k), rel=1e-6)
    assert (np.diff(curve) <= 3e-7 * curve[0]).all()  # float32 values round at 6e-8
    own = -model.predict_log_proba(X)[np.arange(len(y)), y].mean()
    assert curve[-1] == pytest.approx(own + 0.5 * (model.coef_**2).sum() / len(y), rel=1e-9)


@pytest.mark.parametrize("solver", ["gradient-descent", "nesterov"])
def test_first_order_solvers_take_warm_starts(solver):
    X, y = table(2)
    model = LogisticRegression(solver=solver, tol=1e-6, max_iter=5000, warm_start=True)
    model.fit(X, y)
    assert model.n_iter_[0] > 2
    assert model.fit(X, y).n_iter_[0] == 0


@pytest.mark.parametrize("solver", ["proximal", "proximal-newton", "nesterov"])
def test_every_solver_has_a_loss_curve(solver):
    X, y = table(3)
    l1_ratio = 0.0 if solver == "nesterov" else 0.5
    model = LogisticRegression(solver=solver, l1_ratio=l1_ratio, max_iter=5000).fit(X, y)
    assert len(model.loss_curve_) == model.n_iter_[0] + 1
    assert model.loss_curve_[-1] < model.loss_curve_[0]


def test_float32_data_end_in_float64_where_the_tolerance_asks_for_it():
    X, y = table(2)
    tight = LogisticRegression(solver="plain-lbfgs", tol=1e-9, max_iter=5000)
    tight.fit(X.astype(np.float32), y)
    assert tight.coef_.dtype == np.float32
    reference = Reference(solver="newton-cholesky", tol=1e-10)
    reference.fit(X.astype(np.float32).astype(np.float64), y)
    np.testing.assert_allclose(tight.coef_, reference.coef_, rtol=1e-6, atol=1e-7)
    assert len(tight.loss_curve_) == tight.n_iter_[0] + 1


def test_threads_are_left_as_found():
    torch_before = torch.get_num_threads()
    before = [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()]
    try:
        torch.set_num_threads(2)
        with threads_for(1e3):
            assert torch.get_num_threads() == 1
            blas = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
            assert {pool["num_threads"] for pool in blas} == {1}
        assert torch.get_num_threads() == 2
        with threads_for(1e9):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(torch_before)
    assert [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()] == before


def test_a_quiet_blas_leaves_its_threads_to_the_loops():
    def of_blas():
        return {p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"}

    before = of_blas(), blas_threads()
    with quiet_blas():
        assert (of_blas(), blas_threads()) == ({1}, before[1])
        with quiet_blas():
            assert blas_threads() == before[1]
        assert (of_blas(), blas_threads()) == ({1}, before[1])
    assert (of_blas(), blas_threads()) == before


@pytest.mark.parametrize("case", ["plain", "read-only", "reversed", "fortran", "swapped"])
def test_skinny_products_of_any_layout(case):
    rng = np.random.RandomState(0)
    A, B = rng.standard_normal((3, 40)), rng.standard_normal((40, DETOUR_ENTRIES // 20))
    expected = np.einsum("ij,jk->ik", A, B)
    if case == "read-only":
        B.flags.writeable = False
    elif case == "reversed":
        A, B = A[:, ::-1], B[::-1]
    elif case == "fortran":
        B = np.asfortranarray(B)
    elif case == "swapped":
        B = B.astype(B.dtype.newbyteorder())
    np.testing.assert_allclose(skinny_product(A, B), expected, atol=1e-12)


def test_small_data_are_not_copied(monkeypatch):
    def refuse(design):
        raise AssertionError("a copy was made")

    monkeypatch.setattr(single, "SingleDesign", refuse)
    X, y = table(2)
    LogisticRegression(solver=linear.PRECONDITIONED).fit(X, y)
