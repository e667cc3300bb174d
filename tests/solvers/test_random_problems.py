"""Sixty random problems: the objective is never worse than scikit-learn's best solver's.

Sizes, classes, density, penalty, weights, scales, intercept and dtype are drawn from the
number of the problem, so that a failure can be repeated by its number.
"""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import log_expit, logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from mlfund import LogisticRegression

TOLERANCE = 1e-8
ALLOWED = 1e-6
PROBLEMS = 60
# scikit-learn's saga needs many epochs on correlated columns: small data for l1.
L1_ENTRIES = 10_000


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A problem: data, row weights, and the parameters both estimators get."""

    X: np.ndarray | sp.csr_array
    y: np.ndarray
    weights: np.ndarray | None
    parameters: dict

    def __str__(self) -> str:
        kind = "sparse" if sp.issparse(self.X) else "dense"
        weighted = "unweighted" if self.weights is None else "weighted"
        classes = len(np.unique(self.y))
        size = f"{self.X.shape} {self.X.dtype} {kind}, {classes} classes, {weighted}"
        return f"{size}, {self.parameters}"


def draw(number: int) -> Drawn:
    rng = np.random.default_rng(number)
    l1_ratio = float(rng.choice([0.0, 0.0, 1.0, round(rng.uniform(0.05, 0.95), 2)]))
    d = int(10 ** rng.uniform(0, 2.3))
    n = int(10 ** rng.uniform(1.5, 3.5))
    if l1_ratio:
        n = max(20, min(n, L1_ENTRIES // d))
    k = int(rng.choice([2, 2, 3, 5, 8]))
    X, y = draw_rows(rng, n, d, k)
    if l1_ratio == 0:
        X = X * 10 ** rng.uniform(-1, 1, d) ** rng.choice([1, 3])
    X = X.astype(rng.choice([np.float64, np.float64, np.float32]))
    density = rng.choice([None, None, 0.03, 0.3])
    if density is not None:
        X = sp.csr_array(X * (rng.uniform(size=X.shape) < density))
    parameters = {
        "C": float(f"{10 ** rng.uniform(-3, 3):.3g}"),
        "l1_ratio": l1_ratio,
        "fit_intercept": bool(rng.random() < 0.7),
        "class_weight": rng.choice([None, None, "balanced"]),
    }
    return Drawn(X, y, draw_weights(rng, n), parameters)


def draw_rows(rng, n: int, d: int, k: int):
    """Correlated columns, with or without offset; labels with little or much noise."""
    mixing = rng.standard_normal((d, d)) * (rng.random() < 0.5) + np.eye(d)
    X = rng.standard_normal((n, d)) @ mixing / np.sqrt(d) + rng.choice([0, 3]) * rng.random(d)
    centred = X - X.mean(axis=0)
    noise = rng.choice([0.05, 1.0, 5.0])
    margins = centred @ rng.standard_normal((d, k)) + noise * rng.gumbel(size=(n, k))
    return X, np.concatenate([np.arange(k), margins.argmax(axis=1)[k:]])


def draw_weights(rng, n: int) -> np.ndarray | None:
    kind = rng.integers(4)
    if kind == 0:
        return rng.uniform(0.1, 3, n)
    if kind == 1:
        weights = rng.integers(0, 4, n).astype(np.float64)
        weights[:8] = 1.0  # every class keeps a row
        return weights
    return None


def objective(model, drawn: Drawn) -> float:
    """Return C * sum of weighted losses + penalty, in float64 from the published weights."""
    W, b = np.float64(model.coef_), np.float64(model.intercept_)
    Z = np.asarray(drawn.X.astype(np.float64) @ W.T) + b
    if Z.shape[1] == 1:
        losses = -log_expit(np.where(drawn.y == 1, Z[:, 0], -Z[:, 0]))
    else:
        losses = logsumexp(Z, axis=1) - Z[np.arange(len(Z)), drawn.y]
    weights = np.ones(len(Z)) if drawn.weights is None else drawn.weights
    if drawn.parameters["class_weight"] == "balanced":
        totals = np.bincount(drawn.y, weights)
        weights = weights * (weights.sum() / (len(totals) * totals))[drawn.y]
    ratio = drawn.parameters["l1_ratio"]
    penalty = ratio * np.abs(W).sum() + (1 - ratio) / 2 * np.vdot(W, W)
    return float(drawn.parameters["C"] * (weights @ losses) + penalty)


def matching_solvers(drawn: Drawn) -> list[str]:
    """scikit-learn's solvers of the same objective, the precise ones."""
    if drawn.parameters["l1_ratio"] == 0:
        return ["newton-cholesky"] if drawn.X.shape[1] * drawn.y.max() < 300 else ["newton-cg"]
    lasso = drawn.parameters["l1_ratio"] == 1 and not drawn.parameters["fit_intercept"]
    return ["saga", "liblinear"] if lasso and drawn.y.max() == 1 else ["saga"]


def fit_reference(drawn: Drawn, solver: str):
    model = SklearnLogisticRegression(
        solver=solver, tol=TOLERANCE, max_iter=1000, random_state=0, **drawn.parameters
    )
    # Their best: float64 whatever the data are.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        return model.fit(drawn.X.astype(np.float64), drawn.y, sample_weight=drawn.weights)


@pytest.mark.parametrize("number", range(PROBLEMS))
def test_objective_is_never_worse(number):
    drawn = draw(number)
    solver = "saga" if drawn.parameters["l1_ratio"] else "lbfgs"
    ours = LogisticRegression(solver=solver, tol=TOLERANCE, max_iter=3000, **drawn.parameters)
    ours.fit(drawn.X, drawn.y, sample_weight=drawn.weights)
    theirs = min(objective(fit_reference(drawn, name), drawn) for name in matching_solvers(drawn))
    excess = objective(ours, drawn) / theirs - 1
    assert excess <= ALLOWED, f"{drawn}: {ours.solver_} ends {excess:.1e} above"
    assert ours.coef_.dtype == drawn.X.dtype


def test_the_draws_cover_what_they_should():
    drawn = [draw(number) for number in range(PROBLEMS)]
    assert {len(np.unique(item.y)) for item in drawn} == {2, 3, 5, 8}
    assert {sp.issparse(item.X) for item in drawn} == {True, False}
    assert {item.X.dtype.name for item in drawn} == {"float32", "float64"}
    assert {item.parameters["fit_intercept"] for item in drawn} == {True, False}
    assert {item.weights is None for item in drawn} == {True, False}
    ratios = [item.parameters["l1_ratio"] for item in drawn]
    assert min(ratios.count(0.0), ratios.count(1.0), sum(0 < r < 1 for r in ratios)) >= 8
    assert any(item.X.shape[0] < item.X.shape[1] for item in drawn)
