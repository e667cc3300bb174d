"""LogisticRegression on a device: torch's CPU stands in for one, the `gpu` tests need CUDA."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import ConvergenceWarning

from mlfund import LogisticRegression
from mlfund._solvers import stochastic_device, torch_design, torch_losses, torch_solve
from mlfund._solvers.device_choice import AUTO_WORK
from mlfund.estimators import _linear_arguments
from mlfund.estimators import linear as linear_module

CASES = {
    "l2": {},
    "no intercept": {"fit_intercept": False},
    "no penalty": {"C": np.inf, "tol": 1e-5},
    "l1": {"solver": "saga", "l1_ratio": 1.0, "C": 0.1},
    "elastic net": {"solver": "auto", "l1_ratio": 0.5, "C": 0.1},
    "balanced": {"class_weight": "balanced", "C": 0.1},
    "by name": {"solver": "nesterov", "C": 0.01},
}


@pytest.fixture
def stand_in(monkeypatch):
    """Let every fit with a device run the torch backend on torch's CPU device."""

    def accelerator(device, *size):
        return None if device in (None, "cpu") else torch.device("cpu")

    monkeypatch.setattr(linear_module, "accelerator", accelerator)


def table(k):
    X, y = load_iris(return_X_y=True) if k == 3 else load_breast_cancer(return_X_y=True)
    # the classes of iris overlap here, so that an optimum exists without penalty
    X = X + np.random.RandomState(0).standard_normal(X.shape) * X.std(axis=0) * (k == 3)
    return X[:, :8], np.array(["a", "b", "c"])[y]


def weights_for(X):
    weights = np.random.RandomState(0).uniform(0.1, 2, len(X))
    weights[::7] = 0
    return weights


def assert_alike(model, reference, X, *, tol=1e-5):
    np.testing.assert_allclose(model.decision_function(X), reference.decision_function(X), atol=tol)
    np.testing.assert_array_equal(model.predict(X), reference.predict(X))


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_a_fit_on_a_device_is_that_on_the_cpu(stand_in, k, dtype, name):
    X, y = table(k)
    X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(dtype)
    options = {"tol": 1e-8, "max_iter": 5000, **CASES[name]}
    weights = weights_for(X)
    here = LogisticRegression(**options).fit(X, y, weights)
    there = LogisticRegression(**options, device="cuda").fit(X, y, weights)
    assert there.coef_.dtype == there.intercept_.dtype == dtype
    assert_alike(there, here, X, tol=1e-2 if name == "no penalty" else 1e-4)


@pytest.mark.parametrize("form", [sp.csr_array, torch.as_tensor], ids=["csr", "tensor"])
def test_sparse_rows_and_tensors_of_the_host(stand_in, form):
    X, y = table(2)
    here = LogisticRegression(tol=1e-8, max_iter=1000).fit(X, y)
    there = LogisticRegression(tol=1e-8, max_iter=1000, device="cuda").fit(form(X), y)
    np.testing.assert_allclose(there.coef_, here.coef_, rtol=1e-4, atol=1e-6)


def test_a_second_fit_starts_warm(stand_in):
    X, y = table(3)
    model = LogisticRegression(tol=1e-6, max_iter=1000, warm_start=True, device="cuda").fit(X, y)
    assert model.n_iter_[0] > 1
    assert model.fit(X, y).n_iter_[0] <= 1


def test_a_fitted_model_holds_nothing_of_the_device(stand_in):
    X, y = table(2)
    model = LogisticRegression(device="cuda", max_iter=1000).fit(X, y)
    stored = pickle.dumps(model)
    assert b"torch" not in stored
    assert_alike(pickle.loads(stored), model, X, tol=0)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_small_work_stays_on_the_cpu(device):
    X, y = table(2)
    here = LogisticRegression(max_iter=1000).fit(X, y)
    there = LogisticRegression(max_iter=1000, device=device).fit(X, y)
    assert there.device_ == here.device_ == "cpu"
    np.testing.assert_array_equal(there.coef_, here.coef_)


def test_auto_goes_by_the_work(monkeypatch):
    there = torch.device("cuda", 0)
    monkeypatch.setattr(_linear_arguments, "resolve_device", lambda name: there)
    n = int(AUTO_WORK / 100)
    large, wide = np.broadcast_to(0.0, (n, 100)), sp.csr_array((n, 100))

    def chosen(*size):
        return _linear_arguments.accelerator("auto", *size)

    assert chosen(large, 1) == there
    assert chosen(large[1:], 1) is None
    assert chosen(large[: n // 9], 10) == there
    assert chosen(wide, 1) is None
    for solver in ("coordinate", "dual-coordinate", "sgd"):
        assert chosen(large, 1, solver) is None
    assert _linear_arguments.accelerator("cuda", large[:5], 1) == there


@pytest.mark.parametrize("solver", ["coordinate", "dual-coordinate"])
def test_solvers_of_the_cpu_are_named(stand_in, solver):
    X, y = table(2)
    with pytest.raises(ValueError, match=rf"solver='{solver}' runs on the CPU only.*device="):
        LogisticRegression(solver=solver, device="cuda").fit(X, y)


@pytest.mark.parametrize("device", ["tpu", "cuda:64"])
def test_a_device_that_is_not_there(device):
    X, y = table(2)
    with pytest.raises(ValueError, match=f"device='{device}'"):
        LogisticRegression(device=device).fit(X, y)


def test_float64_steps_are_refused_where_there_is_no_float64(monkeypatch):
    monkeypatch.setattr(_linear_arguments, "resolve_device", lambda name: torch.device("mps"))
    X, y = table(2)
    with pytest.raises(ValueError, match=r"device='mps'.*solver='sgd'.*give X in float32"):
        LogisticRegression(solver="sgd", device="mps").fit(X, y)


def test_the_rounding_of_float32_is_warned_of(stand_in, monkeypatch):
    for module in (torch_solve, torch_design, torch_losses):
        monkeypatch.setattr(module, "widest", lambda device: torch.float32)
    X, y = table(2)
    model = LogisticRegression(tol=1e-12, max_iter=1000, device="mps")
    with pytest.warns(ConvergenceWarning, match="rounding of float32.*device='mps'.*tol=1e-12"):
        model.fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_params(tol=1e-4).fit(X, y)


@pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
def test_full_memory_leaves_the_model_unfitted(stand_in, monkeypatch, solver):
    def full(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch_solve, "problem_on", full)
    monkeypatch.setattr(stochastic_device, "DeviceRows", full)
    model, (X, y) = LogisticRegression(solver=solver, device="cuda"), table(2)
    with pytest.raises(MemoryError, match=r"device='cpu' has too little.*float32.*device='cpu'"):
        model.fit(X, y)
    assert not hasattr(model, "coef_")


@pytest.mark.gpu
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CASES)
def test_a_fit_on_the_gpu_is_that_on_the_cpu(k, dtype, name):
    X, y = table(k)
    X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(dtype)
    options = {"tol": 1e-8, "max_iter": 5000, **CASES[name]}
    here = LogisticRegression(**options).fit(X, y)
    there = LogisticRegression(**options, device="cuda").fit(X, y)
    assert there.device_.startswith("cuda")
    assert_alike(there, here, X, tol=1e-2 if name == "no penalty" else 1e-4)


@pytest.mark.gpu
def test_sparse_rows_on_the_gpu():
    X = sp.random_array((2000, 300), density=0.02, format="csr", rng=np.random.default_rng(0))
    y = (X @ np.linspace(-1, 1, 300) > 0).astype(int)
    here = LogisticRegression(tol=1e-7, max_iter=1000).fit(X, y)
    there = LogisticRegression(tol=1e-7, max_iter=1000, device="cuda").fit(X, y)
    np.testing.assert_allclose(there.coef_, here.coef_, atol=1e-4)


@pytest.mark.gpu
def test_the_gpu_is_left_as_it_was_and_repeats():
    X, y = table(3)
    model = LogisticRegression(device="cuda", max_iter=1000, tol=1e-7)
    # the first fit starts the libraries, whose workspaces stay
    first = model.fit(X, y).coef_
    torch.cuda.synchronize()
    allocated, threads = torch.cuda.memory_allocated(), torch.get_num_threads()
    state = torch.cuda.get_rng_state()
    np.testing.assert_array_equal(model.fit(X, y).coef_, first)
    assert torch.cuda.memory_allocated() == allocated
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.cuda.get_rng_state(), state)


@pytest.mark.gpu
def test_tensors_of_the_gpu_are_refused():
    X, y = table(2)
    with pytest.raises((TypeError, ValueError)):
        LogisticRegression(device="cuda").fit(torch.as_tensor(X, device="cuda"), y)
