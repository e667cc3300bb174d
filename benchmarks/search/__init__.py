"""Claim: a grid of logistic regressions, scaler in the folds, takes a fiftieth of GridSearchCV.

Grids of C x 5 folds over Pipeline(StandardScaler, LogisticRegression), refit included, scored
by log-loss. The competitors (`competitors.py`) get two processes, started and warm; mlfund gets
two threads. Beside the times stand the largest difference between fold scores and mlfund's, and
whether the same C was chosen: lbfgs ends at its own tolerance, newton-cholesky is the exact one.

On MNIST a competitor would take many minutes: only one fold is searched, and its time counted
five times (`folds_timed` in the record). Set no OMP_NUM_THREADS.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold

from benchmarks._harness import Unavailable, interleave, summarise, table
from benchmarks._mnist import load_digits, pixel_rows
from benchmarks.linear_cv import correlated
from benchmarks.search.competitors import COMPETITORS, FOLDS

QUICK_ROWS = 300


@dataclasses.dataclass(frozen=True)
class Case:
    """One table with its grid.

    Attributes
    ----------
    make : callable
        Returns X and y.
    Cs : ndarray of shape (K,)
    competitors : tuple of str
        Names in `COMPETITORS`.
    repeats : int
    folds_timed : int
        How many of the folds the competitors search, and once only.
    """

    make: Callable
    Cs: np.ndarray
    competitors: tuple[str, ...]
    repeats: int
    folds_timed: int = FOLDS


def in_own_units(n: int, d: int, *, noise: float = 1.0):
    """Return correlated columns, each in a unit and from an origin of its own, and labels."""
    rng = np.random.RandomState(0)
    X, y = correlated(n, d, noise=noise, rng=rng)
    return X * 10 ** rng.uniform(-1.5, 1.5, d) + rng.standard_normal(d), y


def mnist():
    """Return the training pictures of MNIST, pixels / 255."""
    (images, labels), _ = load_digits()
    return pixel_rows(images, np.float64), labels.astype(int)


SEARCHES = ("grid lbfgs", "grid newton-cholesky")
CASES = {
    "100,000 x 100": Case(
        lambda: in_own_units(100_000, 100),
        np.logspace(-4, 4, 20),
        (*SEARCHES, "path lbfgs", "path newton-cholesky"),
        2,
    ),
    "20,000 x 300": Case(
        lambda: in_own_units(20_000, 300, noise=2.0), np.logspace(-4, 4, 20), SEARCHES, 2
    ),
    "2,000 x 30": Case(
        lambda: in_own_units(2_000, 30, noise=2.0), np.logspace(-4, 4, 20), SEARCHES, 5
    ),
    "MNIST 60,000 x 784, 10 classes": Case(
        mnist, np.logspace(-4, 0, 10), ("grid lbfgs",), 1, folds_timed=1
    ),
}


def compare(case: Case, *, quick: bool) -> list[dict]:
    """Time all competitors of a case; return a row each."""
    X, y = case.make()
    Cs, repeats = case.Cs, case.repeats
    if quick:
        X, y, Cs, repeats = X[:QUICK_ROWS, ::8], y[:QUICK_ROWS], Cs[::8], 1
    folds = list(StratifiedKFold(FOLDS).split(X, y))
    searched = {"mlfund": folds} | dict.fromkeys(case.competitors, folds[: case.folds_timed])
    few = list(StratifiedKFold(2).split(X[:200], y[:200]))
    scores: dict = {}

    def timed(name):
        return lambda: scores.__setitem__(name, COMPETITORS[name](X, y, Cs, searched[name]))

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=ConvergenceWarning)
        for name in searched:  # processes and libraries are loaded
            COMPETITORS[name](X[:200], y[:200], Cs[:2], few)
        seconds = interleave({name: timed(name) for name in searched}, repeats)
    for name, own in searched.items():
        seconds[name] = [value * FOLDS / len(own) for value in seconds[name]]
    rows = summarise(seconds, "mlfund")
    for row in rows:
        mine, ours = scores[row["name"]], scores["mlfund"]
        row["folds_timed"] = len(mine)
        row["largest_difference"] = float(np.abs(mine - ours[: len(mine)]).max())
        row["same_best_C"] = bool(mine.mean(0).argmax() == ours[: len(mine)].mean(0).argmax())
    return rows


def run(quick: bool = False) -> dict:
    """Run all cases; those whose data are missing are named in `left_out`."""
    cases, left_out = {}, {}
    for name, case in CASES.items():
        try:
            cases[name] = compare(case, quick=quick)
        except Unavailable as reason:
            left_out[name] = str(reason)
    return {
        "cases": cases,
        "left_out": left_out,
        "repeats": min(case.repeats for case in CASES.values()),
    }


def report(result: dict) -> str:
    """Return a table for each case."""
    shown = [
        "name", "median_seconds", "min_seconds", "spread", "ratio", "repeats", "folds_timed",
        "largest_difference", "same_best_C",
    ]  # fmt: skip
    parts = [f"{name}\n\n{table(rows, shown)}" for name, rows in result["cases"].items()]
    parts += [f"{name}: left out, {reason}" for name, reason in result["left_out"].items()]
    return "\n\n".join(parts)
