"""Claim: gradient descent learns MNIST from raw pixels with its defaults, no scaling, no tuning.

"Is it a five?" (two classes) and all ten digits, 60,000 images to train on and 10,000 to test,
pixels from 0 to 255 as they are; beside `solver="sgd"` stands the default solver. Then the
objective after each epoch, for every optimizer of the vocabulary at a constant rate (the best of
three on 10,000 rows after 3 epochs) and for every schedule with Nesterov's momentum;
`benchmarks/linear_mnist/picture.py` draws them.
"""

from __future__ import annotations

import warnings
from time import perf_counter

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks._harness import table
from benchmarks._mnist import load_digits
from mlfund import LogisticRegression
from mlfund.optimizers import OPTIMIZERS
from mlfund.schedules import SCHEDULES, get_schedule

EPOCHS, BATCH = 12, 256
QUICK_ROWS, QUICK_EPOCHS = 1_000, 2
RATES = (0.003, 0.03, 0.3)
ROWS_FOR_RATE, EPOCHS_FOR_RATE = 10_000, 3
# So that 12 epochs show what 100 would with the usual numbers.
SHORTENED = {
    "step": {"every_epochs": 4},
    "exponential": {"gamma": 0.8},
    "invscaling": {"power_t": 0.1},
    "triangular": {"cycle_epochs": 4},
    "adaptive": {"patience": 1, "tol": 1e-2},
    "plateau": {"patience": 1, "tol": 1e-2},
}


def load(quick: bool):
    """Return training and test images as float32 rows, and their labels."""
    rows = slice(QUICK_ROWS if quick else None)
    parts = []
    for images, labels in load_digits():
        pixels = images[rows].reshape(len(images[rows]), -1)
        parts += [pixels.astype(np.float32), labels[rows]]
    return parts


def accuracies(data) -> list[dict]:
    """Fit both tasks with the default solver and with sgd; return one row a fit."""
    X, y, X_test, y_test = data
    rows = []
    for task, labels, truth in (("five?", y == 5, y_test == 5), ("ten digits", y, y_test)):
        for solver in ("lbfgs", "sgd"):
            model = LogisticRegression(solver=solver, max_iter=500 if solver == "lbfgs" else 100)
            start = perf_counter()
            model.fit(X, labels)
            rows.append(
                {
                    "task": task,
                    "solver": solver,
                    "test_accuracy": model.score(X_test, truth),
                    "objective": model.loss_curve_[-1],
                    "iterations": int(model.n_iter_[0]),
                    "seconds": perf_counter() - start,
                }
            )
    return rows


def curve(X, y, epochs: int, **options) -> list[float]:
    """Return the objective at the start and after each epoch."""
    model = LogisticRegression(
        solver="sgd", max_iter=epochs, tol=0.0, n_iter_no_change=np.inf, batch_size=BATCH, **options
    )
    return model.fit(X, y).loss_curve_


def best_rate(X, y, optimizer: str) -> float:
    """Return the learning rate of `RATES` with the lowest objective on a few rows."""
    ends = {}
    for rate in RATES:
        found = curve(
            X[:ROWS_FOR_RATE],
            y[:ROWS_FOR_RATE],
            EPOCHS_FOR_RATE,
            optimizer=optimizer,
            schedule="constant",
            learning_rate_init=rate,
        )
        ends[rate] = found[-1]
    return min(ends, key=ends.__getitem__)


def run(quick: bool = False) -> dict:
    """Measure accuracies and curves (1,000 images and 2 epochs when quick)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        data = load(quick)
        X, y = data[:2]
        epochs = QUICK_EPOCHS if quick else EPOCHS
        names = [name for name, entry in OPTIMIZERS.items() if not entry.per_matrix]
        rates = {name: best_rate(X, y, name) for name in names}
        optimizers = {
            name: curve(
                X, y, epochs, optimizer=name, schedule="constant", learning_rate_init=rates[name]
            )
            for name in names
        }
        schedules = {
            name: curve(
                X,
                y,
                epochs,
                optimizer="nesterov",
                schedule=get_schedule(name, **SHORTENED.get(name, {})),
                learning_rate_init=rates["nesterov"],
            )
            for name in SCHEDULES
        }
        return {
            "accuracies": accuracies(data),
            "batch_size": BATCH,
            "learning_rates": rates,
            "optimizers": optimizers,
            "schedules": schedules,
        }


def report(result: dict) -> str:
    """Format accuracies and the ends of the curves."""
    ends = [
        {
            "optimizer": name,
            "rate": result["learning_rates"][name],
            "after 1": found[1],
            "last": found[-1],
        }
        for name, found in result["optimizers"].items()
    ]
    schedules = [
        {"schedule": name, "after 1": found[1], "last": found[-1]}
        for name, found in result["schedules"].items()
    ]
    return "\n\n".join([table(result["accuracies"]), table(ends), table(schedules)])
