"""The torch backend, on torch's CPU device, against numpy's."""

import gc
import weakref

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from mlfund._solvers import torch_design, torch_losses, torch_solve
from mlfund._solvers.linear import Penalty, make_problem, solve
from mlfund._solvers.torch_design import COPIED_BYTES, TorchDesign
from mlfund._solvers.torch_device import computing_on
from mlfund._solvers.torch_solve import problem_on
from tests.solvers.problems import data, loss_for, problem_for

CPU = torch.device("cpu")
FORMS = [np.asarray, sp.csr_array]


def pair(k=2, **options):
    """The same problem with numpy's and with torch's arrays."""
    problem = problem_for(k, **options)
    return problem, problem_on(problem, CPU)


def fit(X, code, weights, *, l2=0.01, l1=0.0, seed=0, **options):
    """A fit on torch's CPU device, unless `device` says otherwise."""
    given = {"intercept": True, "tol": 1e-8, "max_iter": 1000, "device": CPU, **options}
    loss = loss_for(code, code.max() + 1, weights, X.dtype)
    return solve(X, loss, Penalty(l2, l1), rng=np.random.RandomState(seed), **given)


def tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("intercept", "of_intercept"), [(True, None), (True, 2.0), (False, None)])
def test_products_are_those_of_numpy(k, sparse, weighted, intercept, of_intercept):
    options = {"intercept": intercept, "of_intercept": of_intercept}
    here, there = pair(k, sparse=sparse, weighted=weighted, **options)
    here, there = here.design, there.design
    rng = np.random.RandomState(1)
    outputs = 1 if k == 2 else k
    V, R = rng.standard_normal((outputs, here.p)), rng.standard_normal((outputs, here.n))
    h, some = rng.uniform(size=here.n), np.array([1, 5, 5, 30])
    R_there, h_there = tensors(R, h)
    np.testing.assert_allclose(there.margins(V), here.margins(V), atol=1e-12)
    np.testing.assert_allclose(there.pull_back(R_there), here.pull_back(R), atol=1e-11)
    np.testing.assert_allclose(there.squared_sums(h_there), here.squared_sums(h), rtol=1e-10)
    for index in (slice(3, 9), some):
        rows = there.rows(index)
        np.testing.assert_allclose(rows, here.rows(index), atol=1e-12)
        np.testing.assert_allclose(there.weights_of(index), here.weights_of(index))
        expected = here.gram(here.rows(index), h[index])
        np.testing.assert_allclose(there.gram(rows, h_there[index]), expected, atol=1e-11)
    blocks = np.concatenate([rows for _, rows in there.blocks()])
    np.testing.assert_allclose(blocks, here.rows(slice(0, here.n)), atol=1e-12)
    np.testing.assert_allclose(there.moved(R_there, R_there, 0.25), 1.25 * R)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_are_those_of_numpy(k, weighted):
    here, there = pair(k, weighted=weighted)
    here, there = here.loss, there.loss
    rng = np.random.RandomState(1)
    Z, Zp = 3 * rng.standard_normal((2, here.k, 60))
    Z_there, Zp_there = tensors(Z, Zp)
    P, P_there = here.probabilities(Z), there.probabilities(Z_there)
    np.testing.assert_allclose(P_there, P, rtol=1e-12)
    assert there.value(Z_there) == pytest.approx(here.value(Z), rel=1e-13)
    assert there.along(P_there, Zp_there) == pytest.approx(here.along(P, Zp), rel=1e-11)
    np.testing.assert_allclose(there.residual(P_there), here.residual(P), atol=1e-15)
    products = there.curvature_product(P_there, Zp_there), here.curvature_product(P, Zp)
    np.testing.assert_allclose(*products, atol=1e-15)
    for index in (slice(3, 9), np.array([1, 5, 5])):
        curvatures = there.mean_curvature(P_there, index), here.mean_curvature(P, index)
        np.testing.assert_allclose(*curvatures, rtol=1e-12)
    np.testing.assert_array_equal(there.start_margins(), here.start_margins())
    assert there.curvature_bound == here.curvature_bound
    if k == 2:
        np.testing.assert_allclose(there.curvature(P_there), here.curvature(P), rtol=1e-12)
    else:
        np.testing.assert_allclose(there.mean_coupling(P_there), here.mean_coupling(P), rtol=1e-12)
        u = rng.standard_normal(k)
        contrasts = there.contrast(P_there, slice(None), u), here.contrast(P, slice(None), u)
        np.testing.assert_allclose(*contrasts, rtol=1e-11)
        for a, b in ((0, 0), (0, 2)):
            both = [
                loss.pair_curvature(q, slice(2, 9), a, b)
                for loss, q in ((there, P_there), (here, P))
            ]
            np.testing.assert_allclose(*both, rtol=1e-12)


@pytest.mark.parametrize("k", [2, 3])
def test_losses_neither_overflow_nor_miss_a_separation(k):
    here, there = pair(k)
    here, there = here.loss, there.loss
    far = np.full((here.k, 60), 1e4)
    far[:, ::2] *= -1
    with np.errstate(over="ignore"):
        assert there.value(*tensors(far)) == pytest.approx(here.value(far))
    sides = (2.0 * here.target - 1)[None] if k == 2 else np.eye(3)[:, here.target]
    assert there.separated(*tensors(sides))
    sides[:, 7] = 0.0
    assert not there.separated(*tensors(sides))


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("solver", "l1"),
    [
        (None, 0.0),
        ("newton", 0.0),
        ("plain-lbfgs", 0.0),
        ("nesterov", 0.0),
        ("gradient-descent", 0.0),
        (None, 0.01),
        ("proximal-newton", 0.01),
    ],
)
def test_the_optimum_is_that_of_numpy(k, dtype, form, solver, l1):
    X, code, weights = data(n=200, k=k, weighted=True)
    X, weights = form(X.astype(dtype)), weights.astype(dtype)
    here = fit(X, code, weights, l1=l1, device=None)
    there = fit(X, code, weights, l1=l1, solver=solver, max_iter=3000)
    # float32 data at this tolerance: the last digits came from float64
    assert there.status == "converged"
    assert there.gradient <= 1e-8
    np.testing.assert_allclose(there.W, here.W, atol=1e-6)
    np.testing.assert_allclose(there.b, here.b, atol=1e-6)


def test_start_and_callback_are_honoured():
    rows, seen = data(), []
    first = fit(*rows, after_iteration=lambda W, b: seen.append((W, b)))
    # the last step is free, and told to nobody
    assert len(seen) == first.n_iter > 1
    assert isinstance(seen[0][0], np.ndarray)
    again = fit(*rows, start=(first.W, first.b), max_iter=0)
    assert (again.status, again.n_iter) == ("converged", 0)
    stopped = fit(*rows, after_iteration=lambda W, b: True)
    assert (stopped.status, stopped.n_iter) == ("stopped", 1)


def test_two_fits_are_identical():
    rows = data(n=20_000, d=3, k=3)
    np.testing.assert_array_equal(fit(*rows).W, fit(*rows).W)


def test_columns_far_from_zero_keep_their_digits_in_float32():
    """Standardised before they are rounded: numpy's float32 would see nothing but the mean."""
    X, code, weights = data()
    loss, penalty = loss_for(code, 2, weights), Penalty(0.01)
    shifted = make_problem(X + 2.0**20, loss, penalty, intercept=True)
    there = problem_on(shifted, CPU).astype(np.float32).design.X
    assert there.dtype == torch.float32
    expected = make_problem(X, loss, penalty, intercept=True).design.rows(slice(0, 60))[:, :-1]
    np.testing.assert_allclose(there, expected, atol=1e-6)
    far, near = fit(X + 2.0**20, code, weights, tol=1e-7), fit(X, code, weights, tol=1e-7)
    assert far.status == "converged"
    np.testing.assert_allclose(far.W, near.W, rtol=1e-5)


def test_rows_are_copied_in_parts(monkeypatch):
    here, there = pair()
    monkeypatch.setattr("mlfund._solvers.torch_design.COPIED_BYTES", 7 * 5 * 8)
    assert COPIED_BYTES > 7 * 5 * 8
    np.testing.assert_allclose(there.design.X, here.design.rows(slice(0, 60))[:, :-1], atol=1e-12)


def test_read_only_and_reversed_rows():
    X, code, weights = data()
    X.flags.writeable = False
    turned = fit(X[::-1], code[::-1], weights)
    np.testing.assert_allclose(turned.W, fit(X, code, weights).W, atol=1e-7)


def test_solvers_of_the_cpu_are_refused():
    with pytest.raises(ValueError, match=r"solver='coordinate' runs on the CPU only.*device='cpu'"):
        fit(*data(), l1=0.1, solver="coordinate")


def test_a_device_without_float64_ends_with_single(monkeypatch):
    """As "mps" does; its name cannot be used where it is not."""
    for module in (torch_solve, torch_design, torch_losses):
        monkeypatch.setattr(module, "widest", lambda device: torch.float32)
    X, code, weights = data()
    X = X.astype(np.float32)
    loose = fit(X, code, weights, tol=1e-4)
    tight = fit(X, code, weights, tol=1e-12)
    assert (loose.status, tight.status) == ("converged", "single")
    assert 0 < tight.gradient < 1e-5


def test_sparse_rows_on_mps_are_refused():
    with pytest.raises(ValueError, match="dense X only"):
        problem_on(problem_for(sparse=True), torch.device("mps"))


def test_full_memory_names_the_remedy():
    def fail(message):
        with computing_on(CPU, np.zeros((10, 4))):
            raise torch.OutOfMemoryError(message)

    with pytest.raises(MemoryError, match=r"\(10, 4\).*float32.*device='cpu'") as caught:
        fail("CUDA out of memory. Tried to allocate 8 TiB")
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    with pytest.raises(RuntimeError, match="other"), computing_on(CPU, np.zeros((1, 1))):
        raise RuntimeError("other")


def test_torch_is_left_as_it_was():
    matmul = torch.backends.cuda.matmul
    found, threads, state = matmul.fp32_precision, torch.get_num_threads(), torch.get_rng_state()
    inside = {}

    def look(W, b):
        inside["precision"] = matmul.fp32_precision
        inside["autocast"] = torch.is_autocast_enabled("cpu")
        return True

    matmul.fp32_precision = "tf32"
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            fit(*data(), after_iteration=look)
            assert torch.is_autocast_enabled("cpu")
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = found
    assert inside == {"precision": "ieee", "autocast": False}
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_float64_rows_cross_over_once():
    exact = problem_on(problem_for(), CPU).design
    single = exact.astype(np.float32)
    assert isinstance(single, TorchDesign)
    np.testing.assert_allclose(single.X, exact.X, rtol=1e-6)
    assert single.astype(np.float64) is exact
    assert exact.astype(np.float64) is exact


def test_the_memory_of_a_device_is_given_back_at_once(monkeypatch):
    """Nothing waits for the garbage collector: the next fit may need the room."""
    kept = []

    class Watched(TorchDesign):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            kept.append(weakref.ref(self))

        def astype(self, dtype):
            other = super().astype(dtype)
            kept.append(weakref.ref(other))
            return other

    monkeypatch.setattr(torch_solve, "TorchDesign", Watched)
    gc.collect()
    gc.disable()
    try:
        for k, solver in ((2, None), (3, None), (3, "newton"), (2, "nesterov"), (2, "proximal")):
            fit(*data(k=k), solver=solver, after_iteration=lambda W, b: False)
        assert len(kept) > 5
        assert [there() for there in kept] == [None] * len(kept)
    finally:
        gc.enable()


@pytest.mark.parametrize("device", [None, CPU])
@pytest.mark.parametrize(("value", "dtype"), [(1e45, np.float64), (1e30, np.float32)])
def test_an_entry_far_outside_of_the_sampled_rows(device, value, dtype):
    """The scale of its column is then taken from every row, instead of a wrong answer."""
    X, code, _ = data(n=9000)
    X = X.astype(dtype)
    usual = fit(X, code, 1.0 / 9000, device=device)
    X[1, 2] = value
    far = fit(X, code, 1.0 / 9000, device=device)
    # without the column, to the few rows that it could tell apart
    X[:, 2] = 0
    without = fit(X, code, 1.0 / 9000, device=device)
    assert far.loss_curve[-1] <= without.loss_curve[-1] + 1e-6
    assert usual.status == "converged"
