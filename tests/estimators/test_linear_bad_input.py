"""Bad and odd data: a right answer, a clear error, or a warning; no hang, no silent garbage.

What is right is told by the gradient and not by another solver: at the optimum the terms of
each of its entries cancel, in whatever units the columns are.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.special import expit, softmax
from sklearn.exceptions import ConvergenceWarning

from mlfund import LogisticRegression
from mlfund.estimators._linear_arguments import SOLVERS, TAKES_L1

pytestmark = pytest.mark.timeout(30)

# What is left of the terms of a gradient entry when they have cancelled.
CANCELLED = 1e-3
# Descends by mini-batches and ends when that no longer helps: no gradient to look at.
STOCHASTIC = "sgd"
# These choose the algorithm by the data, and have to get there in every case below.
DEFAULTS = ("lbfgs", "auto")
L1_DEFAULTS = ("saga", "auto")


def data(k=2, n=80, d=6, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, d))
    margins = X @ rng.standard_normal((d, k)) + rng.gumbel(size=(n, k))
    return X, np.concatenate([np.arange(k), margins.argmax(axis=1)[k:]])


def left_over(model, X, y, weights=None) -> float:
    """Return the largest entry of the gradient, relative to the terms it is the sum of.

    For l1 what the penalty may cancel is taken off first. Intercepts included.
    """
    X = X.toarray() if sp.issparse(X) else np.asarray(X)
    X = X.astype(np.longdouble)
    W, b = np.asarray(model.coef_, np.longdouble), np.asarray(model.intercept_, np.longdouble)
    Z = X @ W.T + b
    code = np.searchsorted(model.classes_, y)
    if len(W) == 1:
        R = expit(Z.astype(float)) - code[:, None]
    else:
        R = softmax(Z.astype(float), axis=1)
        R[np.arange(len(code)), code] -= 1
    R = R * (1.0 if weights is None else np.asarray(weights)[:, None])
    pull, terms = R.T @ X, np.abs(R).T @ np.abs(X)
    strength = 0.0 if np.isinf(model.C) else 1 / np.longdouble(model.C)
    gradient = pull + strength * (1 - model.l1_ratio) * W
    terms = terms + strength * (1 - model.l1_ratio) * np.abs(W)
    l1 = strength * model.l1_ratio
    gradient = np.where(
        W != 0, gradient + l1 * np.sign(W), np.sign(gradient) * np.maximum(abs(gradient) - l1, 0)
    )
    terms = terms + l1
    if model.fit_intercept:
        gradient = np.column_stack([gradient, R.sum(axis=0)])
        terms = np.column_stack([terms, np.abs(R).sum(axis=0)])
    # A weight that float64 cannot hold may as well be zero.
    return float(np.max(np.abs(gradient) / np.maximum(terms, 1e-200)))


def total(weights, y) -> float:
    return float(len(y) if weights is None else np.sum(weights))


def check_outcome(solver, X, y, *, weights=None, must=False, **parameters):
    """Fit; unless it warns or refuses clearly, the answer has to be right.

    With `must` nothing but the right answer will do.
    """
    settings = {"tol": 1e-8, "max_iter": 300, **parameters}
    if settings.get("l1_ratio") and solver not in TAKES_L1:
        return None
    if solver == STOCHASTIC:
        settings["max_iter"] = 15
    model = LogisticRegression(solver=solver, **settings)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.fit(X, y, sample_weight=weights)
        except (ValueError, FloatingPointError) as refusal:
            message = str(refusal)
        else:
            message = ""
    if message:
        assert len(message) > 30, f"{solver}: {message!r} says too little"
        assert not must, f"{solver}: {message}"
        return None
    kinds = {item.category for item in caught}
    assert kinds <= {ConvergenceWarning}, [str(item.message) for item in caught]
    assert np.isfinite(model.coef_).all(), solver
    assert np.isfinite(model.intercept_).all(), solver
    assert np.isfinite(model.predict_proba(X)).all(), solver
    if solver == "liblinear":  # its intercept is penalised: another optimum
        return model
    if solver == STOCHASTIC:
        assert model.score(X, y, weights) >= 0.9 * np.bincount(y, weights).max() / total(weights, y)
        return model
    if must or not caught:
        left = left_over(model, X, y, weights)
        assert left <= CANCELLED, f"{solver} ({model.solver_}): {left:.1e} of the gradient is left"
    return model


SCALES = {
    "1e-12 to 1e12 by column": lambda X: X * np.logspace(-12, 12, X.shape[1]),
    "all 1e-12": lambda X: X * 1e-12,
    "all 1e12": lambda X: X * 1e12,
    "one column 1e12": lambda X: X * np.where(np.arange(X.shape[1]) == 2, 1e12, 1.0),
    "one row 1e6": lambda X: X * np.where(np.arange(len(X)) == 5, 1e6, 1.0)[:, None],
    "offset 1e6": lambda X: X + 1e6,
    "denormal column": lambda X: X * np.where(np.arange(X.shape[1]) == 2, 1e-310, 1.0),
    "column of 1e150": lambda X: X * np.where(np.arange(X.shape[1]) == 2, 1e150, 1.0),
}
ODD_COLUMNS = {
    "constant": lambda X: np.column_stack([X, np.full(len(X), 3.7)]),
    "all zero": lambda X: np.column_stack([X, np.zeros(len(X))]),
    "duplicated": lambda X: np.column_stack([X, X]),
    "sum of the others": lambda X: np.column_stack([X, X.sum(axis=1)]),
    "nothing but zeros": np.zeros_like,
    "one column": lambda X: X[:, :1],
    "more columns than rows": lambda X: (
        np.tile(X, (1, 20)) + np.random.RandomState(1).rand(80, 120)
    ),
}
CHANGES = {**SCALES, **ODD_COLUMNS}
for_changes = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
# The other names of scikit-learn do what "lbfgs" does.
ALGORITHMS = [name for name in SOLVERS if name not in ("newton-cg", "newton-cholesky", "sag")]
for_solvers = pytest.mark.parametrize("solver", ALGORITHMS)
# Where the solver hardly matters, as the data are looked at before it.
for_few_solvers = pytest.mark.parametrize("solver", ["lbfgs", "proximal", "dual-coordinate", "sgd"])


@pytest.mark.parametrize("k", [2, 3])
@for_changes
@for_solvers
def test_scales_and_odd_columns(solver, change, k):
    if solver == "liblinear" and k > 2:
        pytest.skip("liblinear takes two classes")
    X, y = data(k)
    check_outcome(solver, change(X), y, must=solver in DEFAULTS)


@for_changes
@pytest.mark.parametrize("solver", TAKES_L1)
@pytest.mark.parametrize("l1_ratio", [0.5, 1.0])
def test_scales_and_odd_columns_with_l1(l1_ratio, solver, change):
    if solver == "liblinear" and l1_ratio < 1:
        pytest.skip("liblinear has no elastic net")
    X, y = data()
    check_outcome(solver, change(X), y, l1_ratio=l1_ratio, C=0.5, must=solver in L1_DEFAULTS)


@pytest.mark.parametrize("change", SCALES.values(), ids=SCALES.keys())
@for_solvers
def test_scales_of_sparse_rows(solver, change):
    X, y = data()
    keep = np.random.RandomState(1).uniform(size=X.shape) < 0.4
    check_outcome(solver, sp.csr_array(np.where(keep, change(X), 0)), y, must=solver in DEFAULTS)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
@for_solvers
def test_float32_far_from_one(solver, scale):
    X, y = data()
    model = check_outcome(solver, np.float32(X * scale), y, must=solver in DEFAULTS)
    assert model is None or solver == "liblinear" or model.coef_.dtype == np.float32


@pytest.mark.parametrize("C", [1e-100, 1e12, 1e300])
@for_solvers
def test_extreme_strengths(solver, C):
    X, y = data()
    check_outcome(solver, X, y, C=C, must=solver in DEFAULTS)


@pytest.mark.parametrize("unit", [1e-300, 1e300])
@for_solvers
def test_extreme_weights(solver, unit):
    X, y = data()
    weights = unit * np.random.RandomState(2).uniform(0.1, 1, len(y))
    check_outcome(solver, X, y, weights=weights, C=1 / unit, must=solver in DEFAULTS)


@for_solvers
def test_one_row_outweighs_all_others(solver):
    X, y = data()
    weights = np.where(np.arange(len(y)) == 3, 1e4, 1.0)
    # The tolerance is relative to all weights together.
    check_outcome(solver, X, y, weights=weights, tol=1e-11, must=solver in DEFAULTS)


@pytest.mark.parametrize("k", [2, 3])
@for_solvers
def test_separable_without_penalty_is_told(solver, k):
    X = np.random.RandomState(0).standard_normal((60, 3))
    y = X.argmax(axis=1) if k == 3 else (X[:, 0] > 0).astype(int)
    model = LogisticRegression(solver=solver, C=np.inf, max_iter=300)
    if solver == STOCHASTIC:
        model.set_params(max_iter=15)
    if solver == "liblinear":
        with pytest.raises(ValueError, match="not supported for the liblinear"):
            model.fit(X, y)
        return
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    assert np.isfinite(model.coef_).all()
    assert model.score(X, y) > 0.95


@for_solvers
def test_one_row_a_class(solver):
    X, _ = data(n=6, d=4)
    y = np.arange(6) % 2 if solver == "liblinear" else np.arange(6)
    check_outcome(solver, X, y, must=solver in DEFAULTS)
    check_outcome(solver, X[:2], y[:2], must=solver in DEFAULTS)


@for_solvers
def test_a_tolerance_of_zero_ends(solver):
    X, y = data()
    check_outcome(solver, X, y, tol=0.0, max_iter=200)


@for_solvers
def test_no_iterations_are_told(solver):
    X, y = data()
    with pytest.warns(ConvergenceWarning):
        LogisticRegression(solver=solver, max_iter=0).fit(X, y)


def spoiled(value):
    X, _ = data()
    X[3, 2] = value
    return X


REFUSED = {
    "NaN in X": ({"X": spoiled(np.nan)}, "Input X contains NaN"),
    "inf in X": ({"X": spoiled(np.inf)}, "infinity"),
    "NaN in sparse X": ({"X": sp.csr_array(spoiled(np.nan))}, "NaN"),
    "empty": ({"X": np.empty((0, 6)), "y": np.empty(0)}, "0 sample"),
    "no columns": ({"X": np.empty((80, 0))}, "0 feature"),
    "1-D X": ({"X": np.arange(80.0)}, "Reshape your data"),
    "3-D X": ({"X": np.zeros((80, 2, 2))}, "dim 3"),
    "text in X": ({"X": np.full((80, 2), "a")}, "could not convert string"),
    "complex X": ({"X": np.ones((80, 2)) * 1j}, "Complex data not supported"),
    "one class": ({"y": np.ones(80)}, "at least 2 classes"),
    "continuous y": ({"y": np.linspace(0, 1, 80)}, "continuous"),
    "NaN in y": ({"y": np.where(np.arange(80) == 4, np.nan, 1.0)}, "NaN"),
    "None in y": ({"y": np.array([None, "a"] * 40, dtype=object)}, None),
    "short y": ({"y": np.arange(79) % 2}, "inconsistent numbers"),
    "two columns of y": ({"y": np.ones((80, 2))}, "1d array"),
    "zero weights": ({"sample_weight": np.zeros(80)}, "non-zero"),
    "weights leave one class": ({"sample_weight": (data()[1] == 1) * 1.0}, "rows of one class"),
    "negative weights": ({"sample_weight": -np.ones(80)}, "negative"),
    "NaN weights": ({"sample_weight": np.full(80, np.nan)}, "NaN"),
    "infinite weights": ({"sample_weight": np.full(80, np.inf)}, "infinity"),
    "short weights": ({"sample_weight": np.ones(79)}, "sample_weight.shape"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED.keys())
@for_few_solvers
def test_refusals_say_why(solver, change, message):
    X, y = data()
    given = {"X": X, "y": y, **change}
    model = LogisticRegression(solver=solver)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(given["X"], given["y"], sample_weight=given.get("sample_weight"))
    assert not hasattr(model, "coef_")


def _read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def _shuffled_indices(X):
    """CSR with the columns of a row in falling order, and zeros that are stored."""
    n, d = X.shape
    indices = np.tile(np.arange(d)[::-1], n)
    return sp.csr_array((X[:, ::-1].ravel().copy(), indices, np.arange(0, n * d + 1, d)), X.shape)


def _doubled_entries(X):
    n, d = X.shape
    indices = np.repeat(np.tile(np.arange(d), n), 2)
    halves = np.repeat(X.ravel() / 2, 2)
    return sp.csr_array((halves, indices, np.arange(0, 2 * n * d + 1, 2 * d)), X.shape)


def _wide_indices(X):
    A = sp.csr_array(X)
    A.indices, A.indptr = A.indices.astype(np.int64), A.indptr.astype(np.int64)
    return A


def _frame(X):
    """Integers, nullable integers, bool, float32 and float64 in one table."""
    frame = pd.DataFrame(X, columns=[f"c{j}" for j in range(X.shape[1])])
    kinds = ["int64", "Int64", "bool", "float32", "float64", "Float64"]
    return frame.astype(dict(zip(frame.columns, kinds, strict=True)))


FORMS = {
    "object": lambda X: X.astype(object),
    "lists": lambda X: X.tolist(),
    "int8": lambda X: X.astype(np.int8),
    "float16": lambda X: X.astype(np.float16),
    "longdouble": lambda X: X.astype(np.longdouble),
    "big-endian": lambda X: X.astype(">f8"),
    "read-only": _read_only,
    "Fortran": np.asfortranarray,
    "every second column of a wider array": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "backwards view": lambda X: X[::-1].copy()[::-1],
    "data frame of mixed types": _frame,
    "csr": sp.csr_array,
    "csr matrix": sp.csr_matrix,
    "csc": sp.csc_array,
    "unsorted indices, stored zeros": _shuffled_indices,
    "doubled entries": _doubled_entries,
    "64-bit indices": _wide_indices,
    "read-only csr": lambda X: sp.csr_array(_read_only(X)),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@for_few_solvers
def test_the_form_of_the_rows_does_not_matter(solver, form):
    X, y = data()
    X = np.round(X)  # exact in every one of these types
    X[:, 2] = X[:, 2] > 0
    reference = LogisticRegression(solver="lbfgs", tol=1e-10).fit(X, y)
    given = form(X)
    before = given.copy() if hasattr(given, "copy") else None
    model = check_outcome(solver, given, y)
    if solver in DEFAULTS:
        np.testing.assert_allclose(model.coef_, reference.coef_, rtol=1e-4, atol=1e-6)
    if before is not None and sp.issparse(given):
        np.testing.assert_array_equal(given.data, before.data)
        np.testing.assert_array_equal(given.indices, before.indices)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@for_few_solvers
def test_integers_as_large_as_they_get(solver, dtype):
    X, y = data()
    X = (np.abs(X) / 10 * 2.0**62).astype(dtype)
    check_outcome(solver, X, y, must=solver in DEFAULTS)


@pytest.mark.parametrize(
    "labels",
    [
        lambda y: y.astype(float),
        lambda y: y.astype(bool),
        lambda y: np.array(["no", "yes"])[y],
        lambda y: np.array(["no", "yes"], dtype=object)[y],
        lambda y: y * 10 - 5,
        lambda y: pd.Series(y, dtype="category"),
        lambda y: y[:, None].ravel()[::-1][::-1],
        lambda y: y * (2**62),
    ],
)
def test_labels_of_any_type(labels):
    X, y = data()
    plain = LogisticRegression(tol=1e-8).fit(X, y)
    model = LogisticRegression(tol=1e-8).fit(X, labels(y))
    np.testing.assert_array_equal(model.coef_, plain.coef_)
    assert set(model.predict(X)) == set(np.asarray(labels(y)))
