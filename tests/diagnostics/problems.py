"""Planted faults and healthy runs: one set the checks were developed on, one held out.

Thresholds come from the reasons beside them in the source. The development set showed
where the logic was wrong. The held-out set was written afterwards, with other data, other
networks and other ways of making each mistake. Where a first version of it showed a flaw,
the problem moved to the development set and another one took its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
    make_circles,
    make_classification,
    make_friedman1,
    make_friedman2,
    make_gaussian_quantiles,
    make_moons,
    make_regression,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from skorch.callbacks import Callback
from torch import nn

from mlfund import MLPClassifier, MLPRegressor, NeuralClassifier, NeuralRegressor
from mlfund.initializers import HeNormal, get_initializer


class Problem(NamedTuple):
    """A network, its data, and the fault that was planted ("" for a healthy run)."""

    name: str
    fault: str
    model: object
    X: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class NegativeBiases(HeNormal):
    """Weights after He, and biases that no row can lift above zero."""

    name: ClassVar[str] = "negative_biases"

    def _fill_bias(self, bias, weight, generator, activation):
        bias.fill_(-20.0)


class KeepFirstLayer(Callback):
    """Put the first weight matrix back after every epoch."""

    def on_train_begin(self, net, **kwargs):
        self.weight = next(p for p in net.module_.parameters() if p.dim() > 1)
        self.before = self.weight.detach().clone()

    def on_epoch_end(self, net, **kwargs):
        self.weight.detach().copy_(self.before)


class Frozen(nn.Module):
    """Two hidden layers, of which the second is not trained."""

    def __init__(self, width=32):
        super().__init__()
        self.first = nn.Linear(6, width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, 1)
        self.second.requires_grad_(False)

    def forward(self, X):
        return self.last(torch.tanh(self.second(torch.tanh(self.first(X)))))


class DeadTorch(nn.Module):
    """A rectifier whose inputs were pushed below zero."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 2))
        nn.init.constant_(self.layers[0].bias, -8.0)

    def forward(self, X):
        return self.layers(X)


def classes(n=500, seed=0):
    return make_classification(
        n,
        12,
        n_informative=8,
        n_redundant=0,
        n_classes=3,
        n_clusters_per_class=2,
        class_sep=1.2,
        random_state=seed,
    )


def numbers(n=500, noise=0.5, seed=0):
    X, y = make_friedman1(n, 8, noise=noise, random_state=seed)
    return X, (y - y.mean()) / y.std()


def classifier(**options):
    return make_pipeline(StandardScaler(), MLPClassifier(**{**_QUICK, **options}))


def regressor(**options):
    return make_pipeline(StandardScaler(), MLPRegressor(**{**_QUICK, **options}))


_QUICK = {
    "hidden_layer_sizes": 40,
    "random_state": 0,
    "learning_rate_init": 0.005,
    "max_iter": 60,
}
_LONG = {"tol": 0.0, "n_iter_no_change": 10_000, "alpha": 0.0}


def development_faults():
    """Return twelve faults, some of them planted in several ways, and one more."""
    (X, y), (Xr, yr) = classes(), numbers()
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(len(y)) < 0.3, rng.integers(0, 3, len(y)), y)
    hole = X.copy()
    hole[5, 3] = np.nan
    large = X * np.r_[np.ones(6), np.full(6, 1e3)]
    bare = MLPClassifier(**_QUICK)
    leaking = np.c_[X, y + 0.01 * rng.normal(size=len(y))]
    again = np.vstack([X, X[:200]]), np.r_[y, y[:200]]
    huge = get_initializer("small_random", std=3.0)
    wheel = make_gaussian_quantiles(n_samples=700, n_features=6, n_classes=2, random_state=5)
    infinite = wheel[0].copy()
    infinite[::50, 2] = np.inf
    repeated = np.tile(wheel[0][:64], (12, 1)), np.tile(wheel[1][:64], 12)
    rare = make_classification(900, 10, n_informative=6, weights=[0.9], random_state=7)
    stopped = classifier(early_stopping=True)
    return [
        Problem("adam", "learning rate too high", classifier(learning_rate_init=3.0), X, y),
        Problem(
            "sgd",
            "learning rate too high",
            regressor(solver="sgd", learning_rate_init=1.0),
            Xr,
            yr,
        ),
        Problem("adam", "learning rate too low", classifier(learning_rate_init=1e-6), X, y),
        Problem("biases", "dead ReLUs", classifier(initializer=NegativeBiases()), X, y),
        Problem("zeros", "wrong initialisation", classifier(initializer="zeros"), X, y),
        Problem("huge", "wrong initialisation", classifier(initializer=huge), X, y),
        Problem("labels", "shuffled labels", classifier(), X, rng.permutation(y)),
        Problem("half of the columns", "unscaled input", bare, large, y),
        Problem("a column", "leak of y into X", classifier(), leaking, y),
        Problem(
            "one unit", "network too small", classifier(hidden_layer_sizes=1, max_iter=150), X, y
        ),
        Problem(
            "noise",
            "too long training",
            classifier(max_iter=600, **_LONG),
            X[:300],
            noisy[:300],
        ),
        Problem("a cell", "NaN in the data", classifier(), hole, y),
        Problem("squares of classes", "wrong loss", regressor(), X, y),
        Problem("poisson below zero", "wrong loss", regressor(loss="poisson"), Xr, yr),
        Problem("callback", "frozen layer", classifier(callbacks=[KeepFirstLayer()]), X, y),
        Problem("a batch twice", "duplicated batch", classifier(), *again),
        Problem("infinity", "NaN in the data", classifier(), infinite, wheel[1]),
        Problem("one batch for all", "duplicated batch", classifier(), *repeated),
        Problem("accuracy of a rare class", "stopped too early", stopped, *rare),
        Problem(
            "rmsprop",
            "learning rate too high",
            classifier(optimizer="rmsprop", learning_rate_init=2.0),
            *wheel,
        ),
    ]


def held_out_faults():
    """Return twelve faults made in other ways, on other data, than those above."""
    rng = np.random.default_rng(42)
    moons = make_moons(700, noise=0.15, random_state=3)
    wheel = make_gaussian_quantiles(n_samples=700, n_features=6, n_classes=2, random_state=5)
    plane = make_regression(600, 6, n_informative=6, noise=5.0, random_state=4)
    plane = plane[0], plane[1] / plane[1].std()
    cancer = load_breast_cancer(return_X_y=True)
    wine = load_wine(return_X_y=True)
    X2, y2 = make_friedman2(600, noise=10.0, random_state=6)
    y2 = (y2 - y2.mean()) / y2.std()
    late = np.c_[plane[0], np.tanh(plane[1]) + 0.001 * rng.normal(size=600)]
    table = pd.DataFrame(wheel[0], columns=list("abcdef"))
    table.loc[7:9, "d"] = np.nan
    patient, sick = load_diabetes(return_X_y=True)
    sick = (sick - sick.mean()) / sick.std()
    read_twice = np.vstack([X2, X2[300:450]]), np.r_[y2, y2[300:450]]
    deep = {"hidden_layer_sizes": (64,) * 6, "activation": "tanh"}
    faint = get_initializer("small_random", std=0.005)
    words = np.array(["red", "green"])[wheel[1]]
    own = {"random_state": 0, "max_iter": 60, "learning_rate_init": 0.005}
    return [
        Problem(
            "adamw on tanh",
            "learning rate too high",
            regressor(optimizer="adamw", activation="tanh", learning_rate_init=20.0),
            X2,
            y2,
        ),
        Problem(
            "momentum",
            "learning rate too low",
            regressor(solver="sgd", learning_rate_init=1e-7),
            *plane,
        ),
        Problem(
            "own module",
            "dead ReLUs",
            NeuralClassifier(module=DeadTorch, **own),
            moons[0].astype(np.float32),
            moons[1],
        ),
        Problem(
            "faint and deep", "wrong initialisation", classifier(initializer=faint, **deep), *wheel
        ),
        Problem("rows of X reversed", "shuffled labels", regressor(), plane[0][::-1], plane[1]),
        Problem("as measured", "unscaled input", MLPClassifier(**_QUICK), *wine),
        Problem("a curve of y", "leak of y into X", regressor(), late, plane[1]),
        Problem(
            "two units of tanh",
            "network too small",
            classifier(hidden_layer_sizes=2, activation="tanh", max_iter=200),
            wheel[0],
            words,
        ),
        Problem(
            "few patients",
            "too long training",
            regressor(hidden_layer_sizes=(100, 100), max_iter=400, **_LONG),
            patient,
            sick,
        ),
        Problem("a table", "NaN in the data", MLPClassifier(**_QUICK), table, wheel[1]),
        Problem("classes for numbers", "wrong loss", classifier(), X2, np.round(500 * y2)),
        Problem(
            "requires_grad",
            "frozen layer",
            NeuralRegressor(module=Frozen, **own),
            plane[0].astype(np.float32),
            plane[1].astype(np.float32),
        ),
        Problem("a part read twice", "duplicated batch", regressor(), *read_twice),
        Problem(
            "unscaled pipeline",
            "unscaled input",
            make_pipeline(MLPClassifier(**_QUICK)),
            *cancer,
        ),
    ]


def development_healthy():
    """Return eight runs without a fault."""
    digits = load_digits(return_X_y=True)
    return [
        Problem("digits", "", make_pipeline(MinMaxScaler(), MLPClassifier(**_QUICK)), *digits),
        Problem("wine", "", classifier(max_iter=150), *load_wine(return_X_y=True)),
        Problem("iris", "", classifier(max_iter=150), *load_iris(return_X_y=True)),
        Problem("cancer", "", classifier(max_iter=40), *load_breast_cancer(return_X_y=True)),
        Problem("friedman", "", regressor(), *numbers()),
        Problem("classes", "", classifier(), *classes()),
        Problem(
            "moons",
            "",
            classifier(activation="tanh", learning_rate_init=0.02, max_iter=150),
            *make_moons(600, noise=0.2, random_state=0),
        ),
        Problem("wine by lbfgs", "", classifier(solver="lbfgs"), *load_wine(return_X_y=True)),
    ]


def held_out_healthy():
    """Return further runs without a fault; other data, other settings."""
    X, y = make_friedman2(800, noise=20.0, random_state=9)
    target = TransformedTargetRegressor(regressor(max_iter=100), transformer=StandardScaler())
    net = nn.Sequential(nn.Linear(2, 32), nn.GELU(), nn.BatchNorm1d(32), nn.Linear(32, 2))
    circles = make_circles(700, noise=0.1, factor=0.5, random_state=2)
    many = make_classification(
        900, 20, n_informative=10, n_classes=5, n_clusters_per_class=1, random_state=8
    )
    rare = make_classification(900, 10, n_informative=6, weights=[0.9], random_state=7)
    return [
        Problem("target scaled", "", target, X, y),
        Problem(
            "own module",
            "",
            NeuralClassifier(module=net, random_state=0, max_iter=80, learning_rate_init=0.01),
            circles[0].astype(np.float32),
            circles[1],
        ),
        Problem(
            "dropout",
            "",
            classifier(dropout=0.2, optimizer="adamw", weight_decay=0.01),
            *many,
        ),
        Problem("rare class", "", classifier(early_stopping=True, scoring="loss"), *rare),
        Problem(
            "momentum",
            "",
            classifier(optimizer="nesterov", learning_rate_init=0.1, hidden_layer_sizes=(50, 50)),
            *many,
        ),
        Problem(
            "one cycle",
            "",
            regressor(schedule="one_cycle", learning_rate_init=0.02, activation="silu"),
            *numbers(700, seed=11),
        ),
        Problem(
            "layer norm",
            "",
            classifier(normalization="layer", hidden_layer_sizes=(64, 64), max_iter=30),
            *classes(900, seed=12),
        ),
        Problem("patients", "", regressor(early_stopping=True), *_patients()),
    ]


def _patients():
    X, y = load_diabetes(return_X_y=True)
    return X, (y - y.mean()) / y.std()
