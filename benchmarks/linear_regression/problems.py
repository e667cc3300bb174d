"""Regression problems: data, the objective of a solution, and who minimises it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.linear_model import (
    ElasticNet,
    HuberRegressor,
    Lasso,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
)

from benchmarks._harness import installed
from mlfund import LinearRegressor

# From loose to tight; the loosest that reaches the goal is timed.
TOLERANCES = tuple(10.0**-e for e in range(1, 13))
EPSILON = 1.35


@dataclasses.dataclass(frozen=True)
class Problem:
    """Data, and makers of estimators by name, each for a tolerance.

    Attributes
    ----------
    objective : callable
        ``objective(coef, intercept)`` in float64.
    competitors : mapping of str to callable
        ``competitors[name](tol)`` returns an unfitted estimator.
    """

    title: str
    X: np.ndarray
    y: np.ndarray
    objective: Callable[[np.ndarray, float], float]
    competitors: Mapping[str, Callable[[float], Any]]


def _data(n: int, d: int, seed: int = 0, noise: float = 1.0):
    """Rows with correlation 0.9^|i-j| between columns, and a linear signal."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    for j in range(1, d):
        X[:, j] = 0.9 * X[:, j - 1] + np.sqrt(1 - 0.81) * X[:, j]
    signal = X @ rng.standard_normal(d) / np.sqrt(d)
    return X, signal, noise * rng.standard_t(3, n)


def _glum(**options):
    """Return a maker of glum's models, where glum is installed."""
    if not installed("glum"):
        return {}
    from glum import GeneralizedLinearRegressor

    def make(tol):
        return GeneralizedLinearRegressor(gradient_tol=tol, **options)

    return {"glum irls-ls" if not options.get("l1_ratio") else "glum irls-cd": make}


def _skglm(make) -> dict[str, Callable[[float], Any]]:
    return {"skglm": make} if installed("skglm") else {}


def ridge(n: int, d: int) -> Problem:
    X, signal, noise = _data(n, d)
    y, alpha = signal + noise, 1.0 / n

    def objective(w, b):
        return 0.5 * np.mean((X @ w + b - y) ** 2) + 0.5 * alpha * w @ w

    names = ("cholesky", "svd", "lsqr", "sparse_cg", "sag", "lbfgs")
    names = [name for name in names if name not in ("lbfgs",)]
    theirs = {
        f"Ridge {name}": lambda tol, name=name: Ridge(
            alpha=1.0, solver=name, tol=tol, max_iter=10_000, random_state=0
        )
        for name in names
        if not (name in ("svd", "sag") and n * d > 5e6)
    }
    competitors = {"mlfund": lambda tol: LinearRegressor(alpha=alpha, tol=tol), **theirs}
    competitors |= _glum(family="normal", alpha=alpha, solver="irls-ls")
    return Problem(f"ridge {n:,} x {d:,}", X, y, objective, competitors)


def lasso(n: int, d: int, l1_ratio: float = 1.0) -> Problem:
    X, signal, noise = _data(n, d)
    y = signal + noise
    alpha = 0.05 * np.abs(X.T @ (y - y.mean())).max() / n / l1_ratio

    def objective(w, b):
        penalty = l1_ratio * np.abs(w).sum() + (1 - l1_ratio) / 2 * w @ w
        return 0.5 * np.mean((X @ w + b - y) ** 2) + alpha * penalty

    options = {"alpha": alpha, "l1_ratio": l1_ratio}
    most = {"max_iter": 100_000}
    name = "Lasso" if l1_ratio == 1 else "ElasticNet"
    theirs = {
        name: lambda tol: ElasticNet(tol=tol, **most, **options),
        f"{name} precompute": lambda tol: ElasticNet(tol=tol, precompute=True, **most, **options),
    }
    if l1_ratio == 1:
        theirs["Lasso"] = lambda tol: Lasso(alpha=alpha, tol=tol, **most)

    def skglm(tol):
        import skglm

        return skglm.ElasticNet(tol=tol, **options)

    competitors = {"mlfund": lambda tol: LinearRegressor(tol=tol, **options), **theirs}
    competitors |= _skglm(skglm)
    return Problem(f"{name.lower()} {n:,} x {d:,}", X, y, objective, competitors)


def huber(n: int, d: int) -> Problem:
    """At the scale that HuberRegressor estimates, which is the harder task."""
    X, signal, noise = _data(n, d)
    y = signal + noise
    options = {"epsilon": EPSILON, "alpha": 1e-4, "max_iter": 10_000}
    scale = HuberRegressor(tol=1e-9, **options).fit(X, y).scale_
    delta, alpha = EPSILON * scale, 1e-4 * scale / n

    def objective(w, b):
        size = np.abs(X @ w + b - y)
        rows = np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta))
        return rows.mean() + 0.5 * alpha * w @ w

    return Problem(
        f"huber {n:,} x {d:,}",
        X,
        y,
        objective,
        {
            "mlfund": lambda tol: LinearRegressor("huber", delta=delta, alpha=alpha, tol=tol),
            "HuberRegressor": lambda tol: HuberRegressor(tol=tol, **options),
        },
    )


def quantile(n: int, d: int, level: float = 0.5, alpha: float = 0.0) -> Problem:
    X, signal, noise = _data(n, d)
    y = signal + noise

    def objective(w, b):
        e = y - X @ w - b
        return np.mean(np.maximum(level * e, (level - 1) * e)) + alpha * np.abs(w).sum()

    options = {"quantile": level, "alpha": alpha}
    competitors = {
        "mlfund": lambda tol: LinearRegressor("quantile", l1_ratio=1.0, tol=tol, **options)
    }
    for solver in ("highs", "highs-ds", "highs-ipm"):
        if n * d <= 3e5 and not (solver == "highs-ds" and n * d > 5e4):
            competitors[f"QuantileRegressor {solver}"] = lambda tol, solver=solver: (
                QuantileRegressor(solver=solver, **options)
            )
    return Problem(f"quantile {level} {n:,} x {d:,}", X, y, objective, competitors)


def poisson(n: int, d: int) -> Problem:
    X, signal, _ = _data(n, d)
    y = np.random.default_rng(1).poisson(np.exp(np.clip(signal, -4, 4))).astype(float)
    alpha = 1e-4

    def objective(w, b):
        raw = X @ w + b
        gap = np.where(y > 0, y * np.log(np.where(y > 0, y, 1.0)) - y, 0.0)
        return np.mean(np.exp(raw) - y * raw + gap) + 0.5 * alpha * w @ w

    theirs = {
        f"PoissonRegressor {solver}": lambda tol, solver=solver: PoissonRegressor(
            alpha=alpha, solver=solver, tol=tol, max_iter=10_000
        )
        for solver in ("lbfgs", "newton-cholesky")
    }
    competitors = {
        "mlfund": lambda tol: LinearRegressor("poisson", alpha=alpha, tol=tol),
        **theirs,
        **_glum(family="poisson", alpha=alpha, solver="irls-ls"),
    }
    return Problem(f"poisson {n:,} x {d:,}", X, y, objective, competitors)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "ridge": lambda: ridge(100_000, 100),
    "ridge_wide": lambda: ridge(500, 5_000),
    "lasso": lambda: lasso(20_000, 200),
    "elastic_net": lambda: lasso(20_000, 200, 0.5),
    "huber": lambda: huber(50_000, 50),
    "median": lambda: quantile(10_000, 20),
    "quantile_l1": lambda: quantile(5_000, 20, 0.9, 0.005),
    "median_large": lambda: quantile(100_000, 20),
    "poisson": lambda: poisson(100_000, 50),
}
QUICK: dict[str, Callable[[], Problem]] = {
    "ridge": lambda: ridge(300, 5),
    "lasso": lambda: lasso(300, 5),
    "huber": lambda: huber(300, 5),
    "median": lambda: quantile(300, 5),
    "poisson": lambda: poisson(300, 5),
}
