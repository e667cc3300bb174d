"""The stack of l1-penalised models against the single solver and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit, StratifiedKFold
from sklearn.preprocessing import StandardScaler

from mlfund import BatchedGridSearchCV
from mlfund import LogisticRegression as OurLogisticRegression
from mlfund._solvers import kernels, stacked_grid, stacked_proximal
from mlfund._solvers.stacked import solve_grid
from mlfund._solvers.stacked_data import FoldedRows, training_times
from mlfund._solvers.stacked_proximal import ProximalSteps

RATIOS = (0.3, 1.0)
CS = (0.003, 0.05, 1.0)
pytestmark = pytest.mark.skipif(kernels.register_bytes() == 0, reason="needs the compiled passes")


def data(n=400, d=10, k=2, seed=0, noise=1.0):
    rng = np.random.RandomState(seed)
    Z = rng.standard_normal((n, d))
    Z[:, 1:] += 0.8 * Z[:, :-1]
    W = rng.standard_normal((k, d)) * (rng.uniform(size=(k, d)) < 0.4)
    code = (Z @ W.T + noise * rng.gumbel(size=(n, k))).argmax(axis=1)
    code[: 3 * k] = np.tile(np.arange(k), 3)
    return Z * np.logspace(-1, 1, d) + rng.standard_normal(d), code


def fit(X, code, k, trains, *, weights=None, ratios=RATIOS, Cs=CS, tol=1e-10, **terms):
    rows = FoldedRows(X, code, k, weights, training_times(trains, len(X)))
    defaults = {"intercept": True, "max_iter": 3000, "rng": np.random.RandomState(0)}
    return solve_grid(rows, np.array(Cs), np.array(ratios), tol=tol, **{**defaults, **terms})


def one_by_one(monkeypatch, *args, **kwargs):
    with monkeypatch.context() as patch:
        patch.setattr(stacked_grid, "L1_UNKNOWNS", 0)
        found = fit(*args, **kwargs)
    assert found.solver != "stacked"
    return found


def assert_same(found, exact, atol=1e-6):
    unit = np.abs(exact.W).max()
    np.testing.assert_allclose(found.W, exact.W, rtol=0, atol=atol * unit)
    np.testing.assert_allclose(found.b, exact.b, rtol=0, atol=10 * atol * max(unit, 1))
    np.testing.assert_array_equal(found.W != 0, exact.W != 0)


CASES = {
    "plain": {},
    "standardised": {"standardise": True},
    "no intercept": {"intercept": False},
    "no intercept, standardised": {"intercept": False, "standardise": True},
    "penalised intercept": {"of_intercept": 2.0},
    "penalised intercept, standardised": {"of_intercept": 2.0, "standardise": True},
}


# Only two classes have a penalised intercept.
OF_CLASSES = [(k, case) for case in CASES for k in (2, 3) if k == 2 or "penalised" not in case]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("k", "case"), OF_CLASSES)
def test_every_model_is_the_single_solvers(case, k, weighted, monkeypatch):
    terms = CASES[case]
    X, code = data(k=k)
    weights = None
    if weighted:
        weights = np.random.RandomState(1).uniform(0, 3, len(X))
        weights[::9] = 0
    trains = [train for train, _ in StratifiedKFold(3).split(X, code)]
    problem = (X, code, k, trains)
    found = fit(*problem, weights=weights, **terms)
    assert found.solver == "stacked"
    assert found.converged.all()
    assert 0 < (found.W != 0).mean() < 1
    assert_same(found, one_by_one(monkeypatch, *problem, weights=weights, **terms))


@pytest.mark.parametrize("ratio", RATIOS)
def test_the_optimum_is_scipys(ratio):
    """A bound-constrained solver on positive and negative parts knows nothing of ours."""
    X, code = data(n=150, d=4)
    X = StandardScaler().fit_transform(X)
    train, C, d = np.arange(0, 150, 2), 0.2, 4
    found = fit(X, code, 2, [train, np.arange(150)], ratios=[ratio], Cs=[C])

    def objective(parts):
        w, b = parts[:d] - parts[d : 2 * d], parts[-1]
        margins = X[train] @ w + b
        loss = np.logaddexp(0, margins).sum() - margins @ code[train]
        residual = expit(margins) - code[train]
        slope = C * X[train].T @ residual + (1 - ratio) * w
        value = C * loss + ratio * parts[:-1].sum() + 0.5 * (1 - ratio) * w @ w
        return value, np.concatenate([slope + ratio, ratio - slope, [C * residual.sum()]])

    bounds = [(0, None)] * (2 * d) + [(None, None)]
    options = {"ftol": 1e-16, "gtol": 1e-10, "maxiter": 5000}
    best = minimize(objective, np.zeros(2 * d + 1), jac=True, bounds=bounds, options=options)
    parts = best.x
    np.testing.assert_allclose(found.W[0, 0, 0, 0], parts[:d] - parts[d : 2 * d], atol=1e-5)
    np.testing.assert_allclose(found.b[0, 0, 0, 0], parts[-1], atol=1e-5)


def test_what_is_begun_anew_has_all_iterations(monkeypatch):
    X, code = data()
    problem = (X, code, 2, [train for train, _ in StratifiedKFold(3).split(X, code)])
    terms = {"ratios": [1.0], "Cs": [1.0], "standardise": True}
    alone = one_by_one(monkeypatch, *problem, **terms)
    monkeypatch.setattr(stacked_proximal, "MOST_STEPS", 2)
    monkeypatch.setattr(stacked_grid, "STEEP", 0.0)
    found = fit(*problem, max_iter=int(alone.n_iter.max()) + 1, **terms)
    assert found.converged.all()
    assert_same(found, alone)


def test_so_small_a_C_that_all_weights_are_zero():
    X, code = data()
    trains = [train for train, _ in StratifiedKFold(4).split(X, code)]
    found = fit(X, code, 2, trains, ratios=[1.0], Cs=[1e-7, 1e-5], standardise=True)
    assert found.solver == "stacked"
    assert not found.W.any()
    for fold, train in enumerate(trains):
        odds = code[train].mean() / (1 - code[train].mean())
        np.testing.assert_allclose(found.b[fold, 0, :, 0], np.log(odds), atol=1e-8)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    n=st.integers(120, 400),
    d=st.integers(1, 12),
    k=st.integers(2, 4),
    ratio=st.sampled_from([0.2, 0.7, 1.0]),
    splitter=st.sampled_from([StratifiedKFold(4), KFold(3), ShuffleSplit(3, random_state=0)]),
)
def test_random_problems(seed, n, d, k, ratio, splitter):
    """Each model meets the conditions of its optimum, whatever solver found it."""
    X, code = data(n, d, k, seed, noise=2.0)
    X = StandardScaler().fit_transform(X)
    trains = [train for train, _ in splitter.split(X, code)]
    found = fit(X, code, k, trains, ratios=[ratio], tol=1e-9)
    for fold, train in enumerate(trains):
        for c, C in enumerate(CS):
            W, b = found.W[fold, 0, c], found.b[fold, 0, c]
            slopes, of_b = _slopes(X[train], code[train], W, b, k)
            scale = 1 / C / len(train)
            smooth = slopes + scale * (1 - ratio) * W
            missing = np.where(
                W == 0,
                np.maximum(np.abs(smooth) - scale * ratio, 0),
                smooth + scale * ratio * np.sign(W),
            )
            assert np.abs(missing).max() < 1e-7 * max(1, scale)
            assert np.abs(of_b).max() < 1e-7 * max(1, scale)


def _slopes(X, code, W, b, k):
    """Return the derivatives of the mean log-loss."""
    Z = X @ W.T + b
    if k == 2:
        R = expit(Z) - code[:, None]
    else:
        P = np.exp(Z - Z.max(axis=1, keepdims=True))
        R = P / P.sum(axis=1, keepdims=True) - np.eye(k)[code]
    return R.T @ X / len(X), R.mean(axis=0)


def test_float32_passes_agree(monkeypatch):
    X, code = data(n=1500, d=12)
    trains = [train for train, _ in StratifiedKFold(5).split(X, code)]
    exact = fit(X, code, 2, trains)
    monkeypatch.setattr(stacked_grid, "FLOAT32_WORK", 0)
    assert_same(fit(X, code, 2, trains), exact)
    rough = fit(X.astype(np.float32), code, 2, trains, tol=1e-5)
    assert np.abs(rough.W - exact.W).max() < 1e-2 * np.abs(exact.W).max()


def test_what_takes_many_steps_is_left_to_the_single_solver(monkeypatch):
    X, code = data()
    trains = [train for train, _ in StratifiedKFold(3).split(X, code)]
    exact = one_by_one(monkeypatch, X, code, 2, trains)
    monkeypatch.setattr(stacked_proximal, "MOST_STEPS", 2)
    found = fit(X, code, 2, trains)
    assert_same(found, exact)
    assert found.converged.all()
    assert (found.n_iter > 2).any()


def test_max_iter_is_kept():
    X, code = data()
    trains = [train for train, _ in StratifiedKFold(3).split(X, code)]
    found = fit(X, code, 2, trains, Cs=[100.0], max_iter=1)
    assert not found.converged.any()
    assert (found.n_iter == 1).all()


def test_parts_of_the_stack_are_the_whole(monkeypatch):
    X, code = data(k=3)
    trains = [train for train, _ in StratifiedKFold(3).split(X, code)]
    whole = fit(X, code, 3, trains)
    monkeypatch.setattr(stacked_grid, "L1_ENTRIES", 1)
    asked = []

    def descend(problem, *args):
        asked.append(len(problem.fold))
        return stacked_proximal.descend_l1(problem, *args)

    monkeypatch.setattr(stacked_grid, "descend_l1", descend)
    assert_same(fit(X, code, 3, trains), whole)
    # The Hessians of one strength, 33 x 33 for each of 3 folds, are nearly as large as X.
    assert asked == [3] * 6


def test_few_rows_go_along_the_path():
    X, code = data(n=40, d=30)
    trains = [train for train, _ in StratifiedKFold(3).split(X, code)]
    assert fit(X, code, 2, trains, tol=1e-6).solver != "stacked"


def test_l1_and_l2_in_one_grid():
    X, code = data()
    X = StandardScaler().fit_transform(X)
    trains = [train for train, _ in StratifiedKFold(3).split(X, code)]
    found = fit(X, code, 2, trains, ratios=[0.0, 1.0, 0.5], Cs=[1.0, np.inf, 0.01], tol=1e-9)
    assert found.solver == "stacked"
    alone = fit(X, code, 2, trains, ratios=[1.0], Cs=[1.0, 0.01], tol=1e-9)
    np.testing.assert_allclose(found.W[:, 1, [0, 2]], alone.W[:, 0], atol=1e-6)
    free = LogisticRegression(C=np.inf, tol=1e-10, max_iter=500).fit(X[trains[0]], code[trains[0]])
    for r in range(3):
        np.testing.assert_allclose(found.W[0, r, 1], free.coef_, atol=1e-4)


def test_at_the_default_tolerance_losses_are_those_of_scikit_learns_solvers():
    X, code = data(n=1200, d=15, noise=2.0)
    X = StandardScaler().fit_transform(X)
    trains = list(StratifiedKFold(5).split(X, code))
    found = fit(X, code, 2, [train for train, _ in trains], ratios=[1.0], tol=1e-4)
    apart = []
    for fold, (train, test) in enumerate(trains):
        for c, C in enumerate(CS):
            P = expit(X[test] @ found.W[fold, 0, c, 0] + found.b[fold, 0, c])
            saga = LogisticRegression(C=C, l1_ratio=1.0, solver="saga", random_state=0, tol=1e-6)
            saga = saga.set_params(max_iter=5000).fit(X[train], code[train])
            apart.append(
                log_loss(code[test], P) - log_loss(code[test], saga.predict_proba(X[test]))
            )
    assert np.abs(apart).max() < 1e-4


def test_a_search_over_l1_is_scikit_learns():
    X, code = data(n=300, d=6)
    grid = {"C": [0.02, 0.3], "l1_ratio": [0.5, 1.0]}
    model = OurLogisticRegression(solver="saga", tol=1e-9, max_iter=2000, class_weight="balanced")
    ours = BatchedGridSearchCV(model, grid, scoring="neg_log_loss", cv=3).fit(X, code)
    theirs = GridSearchCV(model, grid, scoring="neg_log_loss", cv=3).fit(X, code)
    assert ours.cv_results_["batched"].all()
    for split in range(3):
        name = f"split{split}_test_score"
        np.testing.assert_allclose(ours.cv_results_[name], theirs.cv_results_[name], atol=1e-6)


def test_curvature_is_learnt_by_bfgs():
    rng = np.random.RandomState(0)
    root = rng.standard_normal((3, 5, 5))
    before = root @ root.transpose(0, 2, 1) + np.eye(5)
    S = rng.standard_normal((2, 1, 5))
    # The second pair has curvature below zero, and is left out.
    Y = np.stack([2 * S[0] + 0.1, -S[1]])
    after = before.copy()
    ProximalSteps(after, np.ones((3, 1, 5)), 1).learn(S, Y, np.array([2, 0]))
    s, y = S[0, 0], Y[0, 0]
    Hs = before[2] @ s
    expected = before[2] + np.outer(y, y) / (s @ y) - np.outer(Hs, Hs) / (s @ Hs)
    np.testing.assert_allclose(after[2], expected, rtol=1e-10)
    np.testing.assert_allclose(after[2] @ s, y, rtol=1e-10)
    np.testing.assert_array_equal(after[:2], before[:2])


def test_a_hessian_that_bends_down_gives_no_step():
    hessians = np.stack([np.array([[1.0, 3.0], [3.0, 1.0]]), np.eye(2)])
    G = np.array([[[1.0, 1.0]], [[1.0, -1.0]]])
    steps = ProximalSteps(hessians, np.full((2, 1, 2), 0.1), 1)
    D = steps.directions(np.zeros((2, 1, 2)), G, np.arange(2), np.ones(2))
    assert not D[0].any()
    np.testing.assert_allclose(D[1, 0], [-0.9, 0.9])


@pytest.mark.parametrize("k", [2, 3])
def test_float32_rows_that_hardly_any_penalty_holds(k):
    """Where curvature drowns in rounding, the weights stay where the single solver's are."""
    X, code = data(n=240, d=15, k=k, noise=0.3)
    X = StandardScaler().fit_transform(X).astype(np.float32)
    trains = [train for train, _ in StratifiedKFold(3).split(X, code)]
    found = fit(X, code, k, trains, Cs=[0.1, 10.0, 1e3], tol=1e-6)
    for fold, train in enumerate(trains):
        for r in range(len(RATIOS)):
            W, b = found.W[fold, r, 2], found.b[fold, r, 2]
            slopes, _ = _slopes(X[train].astype(float), code[train], W, b, k)
            assert np.abs(slopes).max() < 1e-4
            assert np.abs(W).max() < 1e3
