"""Claim: a stream of 5 million rows in constant memory, within 0.2 points of the batch fit.

`LogisticRegression(solver="sgd").partial_fit` with its defaults over chunks of 10,000 rows from
a generator: 20 columns with pairwise correlations of 0.5, units from 0.01 to 1,000,000 and three
with heavy tails; nobody holds the whole stream. Beside it scikit-learn's `SGDClassifier`, with
log loss and a `StandardScaler` that learns from the same chunks, and, as the mark to reach, a
deterministic fit on 1 million rows at once. Accuracy is that on 200,000 further rows. Each
stream runs in a process of its own; its memory is the peak beyond that before the first chunk.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from time import perf_counter, process_time

import numpy as np
from sklearn.linear_model import SGDClassifier
from sklearn.preprocessing import StandardScaler

from benchmarks._harness import table
from mlfund import LogisticRegression
from mlfund._measure import peak_memory_bytes

COLUMNS, CHUNK = 20, 10_000
TEST_ROWS, BATCH_ROWS = 200_000, 1_000_000
LENGTHS, QUICK_LENGTHS = (1_000_000, 5_000_000), (20_000, 40_000)


def stream(rows: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield chunks of (X, y); the problem is the same for every seed."""
    fixed = np.random.RandomState(0)
    units = 10.0 ** fixed.uniform(-2, 6, COLUMNS)
    shift = 3 * fixed.standard_normal(COLUMNS)
    truth = fixed.standard_normal(COLUMNS)
    rng = np.random.default_rng(seed)
    for start in range(0, rows, CHUNK):
        n = min(CHUNK, rows - start)
        # A common factor: every two columns have the correlation 0.5.
        Z = np.sqrt(0.5) * (rng.standard_normal((n, COLUMNS)) + rng.standard_normal((n, 1)))
        Z[:, :3] += rng.standard_t(4, (n, 3))
        y = (Z @ truth + 0.5 + rng.logistic(size=n) > 0).astype(np.int64)
        yield (Z + shift) * units, y


class Scaled:
    """scikit-learn's stream: the scaler and the classifier learn from the same chunk."""

    def __init__(self) -> None:
        self.scaler = StandardScaler()
        self.classifier = SGDClassifier(loss="log_loss", random_state=0)

    def partial_fit(self, X, y, classes):
        """Learn from a chunk."""
        Z = self.scaler.partial_fit(X).transform(X)
        self.classifier.partial_fit(Z, y, classes=classes)

    def score(self, X, y) -> float:
        """Return the accuracy."""
        return self.classifier.score(self.scaler.transform(X), y)


MODELS = {
    "mlfund": lambda: LogisticRegression(solver="sgd"),
    "scikit-learn": Scaled,
}


def _follow(name: str, rows: int, test_rows: int) -> dict:
    """Learn from a stream; return accuracy, seconds and bytes."""
    model = MODELS[name]()
    # The first chunk loads what is imported on first use.
    MODELS[name]().partial_fit(*next(stream(CHUNK, seed=1)), classes=[0, 1])
    before, wall, cpu = peak_memory_bytes(), 0.0, 0.0
    for X, y in stream(rows, seed=2):
        start, start_cpu = perf_counter(), process_time()
        model.partial_fit(X, y, classes=[0, 1])
        wall += perf_counter() - start
        cpu += process_time() - start_cpu
    extra = peak_memory_bytes() - before
    parts = [(model.score(X, y), len(y)) for X, y in stream(test_rows, seed=3)]
    accuracy = sum(score * n for score, n in parts) / sum(n for _, n in parts)
    return {
        "model": name,
        "rows": rows,
        "accuracy": accuracy,
        "seconds": wall,
        "cpu_seconds": cpu,
        "rows_per_second": rows / wall,
        "extra_MB": extra / 1e6,
        "peak_MB": peak_memory_bytes() / 1e6,
    }


def _batch(rows: int, test_rows: int) -> dict:
    X, y = (np.concatenate(part) for part in zip(*stream(rows, seed=2), strict=True))
    start, start_cpu = perf_counter(), process_time()
    model = LogisticRegression(max_iter=1000).fit(X, y)
    wall, cpu = perf_counter() - start, process_time() - start_cpu
    parts = [(model.score(X, y), len(y)) for X, y in stream(test_rows, seed=3)]
    accuracy = sum(score * n for score, n in parts) / sum(n for _, n in parts)
    return {
        "model": f"batch fit, {model.solver_}",
        "rows": rows,
        "accuracy": accuracy,
        "seconds": wall,
        "cpu_seconds": cpu,
        "rows_per_second": rows / wall,
        "peak_MB": peak_memory_bytes() / 1e6,
    }


def run(quick: bool = False) -> dict:
    """Follow both streams (40,000 rows at most when quick)."""
    lengths = QUICK_LENGTHS if quick else LENGTHS
    test_rows = 20_000 if quick else TEST_ROWS
    rows = []
    for function, *arguments in [
        *((_follow, name, n, test_rows) for n in lengths for name in MODELS),
        (_batch, min(BATCH_ROWS, lengths[-1]), test_rows),
    ]:
        # A peak belongs to a process, so each stream has its own.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(function, arguments))
    mark = rows[-1]["accuracy"]
    for row in rows:
        row["points_from_batch"] = 100 * (row["accuracy"] - mark)
    return {"columns": COLUMNS, "chunk": CHUNK, "rows": rows}


def report(result: dict) -> str:
    """Format the streams and the batch fit."""
    shown = [
        "model",
        "rows",
        "accuracy",
        "points_from_batch",
        "seconds",
        "cpu_seconds",
        "rows_per_second",
        "extra_MB",
        "peak_MB",
    ]
    return table(result["rows"], shown)
