"""Claim: a step of solver="sgd" costs less than one of a bare torch loop with torch.optim.

Steps a second at batch sizes 1, 32 and 1,024 on 100 standardised columns, two classes, float64,
one thread: mlfund's loop over one epoch (shuffling, gathering and standardising included), a
bare torch loop (logistic loss by autograd, `torch.optim`, batches of a shuffled tensor) and
scikit-learn's `SGDClassifier`, whose compiled loop takes one row a step whatever it is given:
`partial_fit` on batches of that size, as a stream would call it, and on all rows in one call.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import SGDClassifier

from benchmarks._harness import interleave, summarise, table
from mlfund._solvers.stochastic import Settings, Training
from mlfund.losses import get_loss
from mlfund.optimizers import get_optimizer

COLUMNS = 100
ROWS = {1: 2_000, 32: 20_000, 1_024: 200_000}
QUICK_ROWS = {1: 50, 32: 320, 1_024: 4_096}
OPTIMIZERS = ("sgd", "adam")
REPEATS = 5


def mlfund_epoch(X, y, batch: int, optimizer: str):
    """Return a function that passes over the rows once."""
    settings = Settings(
        optimizer=get_optimizer(optimizer), learning_rate_init=0.01, batch_size=batch
    )
    training = Training(get_loss("log_loss_binary"), 1, settings, intercept=True)
    training.look_at(X, None, l2=1e-4)
    rows = training.rows(X, y[:, None], None)
    rng = np.random.RandomState(0)
    return lambda: training.epoch(rows, rng)


def torch_epoch(X, y, batch: int, optimizer: str):
    """Return the same with torch alone."""
    data, target = torch.from_numpy(X), torch.from_numpy(y)[:, None]
    layer = torch.nn.Linear(COLUMNS, 1, dtype=data.dtype)
    make = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer]
    descent = make(layer.parameters(), lr=0.01, weight_decay=1e-4)
    loss = torch.nn.BCEWithLogitsLoss()

    def epoch():
        order = torch.randperm(len(data))
        for start in range(0, len(data), batch):
            rows = order[start : start + batch]
            descent.zero_grad()
            loss(layer(data[rows]), target[rows]).backward()
            descent.step()

    return epoch


def sklearn_epoch(X, y, batch: int):
    """Return a function that calls `partial_fit` on batches."""
    model = SGDClassifier(loss="log_loss", alpha=1e-4).partial_fit(X, y, classes=[0.0, 1.0])
    order = np.random.RandomState(0).permutation(len(X))

    def epoch():
        for start in range(0, len(X), batch):
            rows = order[start : start + batch]
            model.partial_fit(X[rows], y[rows])

    return epoch


def run(quick: bool = False) -> dict:
    """Time epochs in turn (fewer rows when quick)."""
    rng = np.random.RandomState(0)
    repeats = 1 if quick else REPEATS
    out = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for batch, n in (QUICK_ROWS if quick else ROWS).items():
            X = rng.standard_normal((n, COLUMNS))
            y = (X @ rng.standard_normal(COLUMNS) > 0).astype(np.float64)
            competitors = {}
            for optimizer in OPTIMIZERS:
                competitors[f"mlfund, {optimizer}"] = mlfund_epoch(X, y, batch, optimizer)
                competitors[f"torch, {optimizer}"] = torch_epoch(X, y, batch, optimizer)
            competitors["SGDClassifier, a call a batch"] = sklearn_epoch(X, y, batch)
            competitors["SGDClassifier, one call"] = sklearn_epoch(X, y, n)
            steps = -(-n // batch)
            out += [
                {
                    "batch": batch,
                    "name": row["name"],
                    "microseconds_per_batch": 1e6 * row["median_seconds"] / steps,
                    "batches_per_second": steps / row["median_seconds"],
                    "rows_per_second": n / row["median_seconds"],
                    "spread": row["spread"],
                }
                for row in summarise(interleave(competitors, repeats, warmup=1))
            ]
    finally:
        torch.set_num_threads(threads)
    return {"repeats": repeats, "columns": COLUMNS, "rows": out}


def report(result: dict) -> str:
    """Format steps and rows a second."""
    return table(result["rows"])
