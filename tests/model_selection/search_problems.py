"""Random search problems: a number decides the estimator, grid, splitter, weights and scaler."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    PredefinedSplit,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from mlfund import LinearRegressor, LogisticRegression, MLPClassifier, MLPRegressor

SCALERS = [None, StandardScaler(), MinMaxScaler((-1, 1)), RobustScaler(), MaxAbsScaler()]
FOR_SPARSE = [None, StandardScaler(with_mean=False), MaxAbsScaler()]


@dataclass
class Problem:
    """One search.

    Attributes
    ----------
    fit_params : dict
        Beside X and y: weights of the rows, groups.
    tolerance : float
        Of scores and margins.
    """

    estimator: Any
    grid: dict
    X: Any
    y: Any
    cv: Any
    fit_params: dict = field(default_factory=dict)
    tolerance: float = 1e-6


def pick(rng, options):
    """Return one of the options."""
    return options[rng.integers(len(options))]


def problem(kind, seed):
    """Return a problem of a kind: "logistic", "linear", "full batch" or "mini-batch"."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(60, 100)), int(rng.integers(3, 9))
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)
    X *= 10.0 ** rng.uniform(-0.5, 0.5, size=d)
    signal = X @ rng.normal(size=d) / X.std()
    if kind == "logistic":
        estimator, grid = logistic(rng)
    elif kind == "linear":
        estimator, grid = linear(rng)
    else:
        estimator, grid = mlp(rng, whole=kind == "full batch")
    if kind == "linear" or isinstance(estimator, MLPRegressor):
        y, classifies = signal + rng.normal(size=n), False
        if getattr(estimator, "loss", None) == "poisson":
            y = rng.poisson(np.exp(0.3 * np.tanh(signal))).astype(float)
        elif rng.random() < 0.3 and kind != "linear":
            y = np.column_stack([y, np.tanh(signal)])
    else:
        K, classifies = pick(rng, [2, 2, 3]), True
        code = np.digitize(signal + rng.normal(size=n), np.quantile(signal, np.arange(1, K) / K))
        code[: 2 * K] = np.arange(2 * K) % K  # every class early, for splits by time
        y = np.array([f"class {c}" for c in range(K)])[code] if rng.random() < 0.5 else code
    sparse = kind in ("logistic", "linear") and rng.random() < 0.3
    if sparse:
        X = sp.csr_array(X * (rng.random((n, d)) < 0.5))
    dtype = np.float32 if rng.random() < 0.2 else np.float64
    cv, groups = splitter(rng, n, classifies)
    scaler = pick(rng, FOR_SPARSE if sparse else SCALERS)
    params = {} if groups is None else {"groups": groups}
    weighted = rng.random() < 0.4
    whole, prefix = Pipeline([("scale", scaler), ("model", estimator)]), "model__"
    if scaler is None:
        whole, prefix = estimator, ""
    if weighted:
        params[f"{prefix}sample_weight"] = rng.uniform(0.2, 3, size=n)
    grid = {f"{prefix}{name}": values for name, values in grid.items()}
    return Problem(
        whole, grid, X.astype(dtype), y, cv, params, 1e-4 if dtype == np.float32 else 1e-6
    )


def logistic(rng):
    options = {"tol": 1e-10, "max_iter": 10_000, "class_weight": pick(rng, [None, "balanced"])}
    options["fit_intercept"] = bool(rng.random() < 0.8)
    grid = {"C": [0.01, 0.3, 5.0]}
    if rng.random() < 0.4:
        options["solver"] = "saga"
        grid["l1_ratio"] = pick(rng, [[0.0, 1.0], [0.5]])
    return LogisticRegression(**options), grid


def linear(rng):
    loss = pick(rng, ["squared_error", "squared_error", "huber", "poisson"])
    options = {"loss": loss, "tol": 1e-10, "max_iter": 10_000}
    options["fit_intercept"] = bool(rng.random() < 0.8)
    grid = {"alpha": [0.001, 0.1, 1.0]}
    if loss == "squared_error" and rng.random() < 0.5:
        grid["l1_ratio"] = [0.0, 0.5]
    return LinearRegressor(**options), grid


def mlp(rng, *, whole):
    kind = pick(rng, [MLPClassifier, MLPClassifier, MLPRegressor])
    options = {
        "hidden_layer_sizes": pick(rng, [(8,), (6, 4)]),
        "activation": pick(rng, ["tanh", "relu", "logistic"]),
        "solver": pick(rng, ["adam", "sgd"]),
        "batch_size": "auto" if whole else pick(rng, [16, 25]),
        "max_iter": 6,
        "tol": 1e-10,
        "random_state": int(rng.integers(100)),
        "early_stopping": bool(rng.random() < 0.3),
    }
    grid = pick(rng, [{"learning_rate_init": [0.003, 0.02]}, {"alpha": [1e-4, 0.5]}])
    return kind(**options), grid


def splitter(rng, n, classifies):
    """Return a splitter and the groups it needs."""
    seed = int(rng.integers(1000))
    options = [
        (KFold(3), None),
        (KFold(4, shuffle=True, random_state=seed), None),
        (ShuffleSplit(3, test_size=0.3, random_state=seed), None),
        (TimeSeriesSplit(3), None),
        (GroupKFold(3), rng.integers(9, size=n)),
        (PredefinedSplit(np.arange(n) % 4 - 1), None),
    ]
    if classifies:
        options += [
            (StratifiedKFold(3), None),
            (RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=seed), None),
        ]
    return pick(rng, options)
