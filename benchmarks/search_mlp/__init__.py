"""Claim: a stack of MLPs trains several times faster than its members one by one.

16 candidates (4 learning rates x 4 alphas) x 5 folds, Adam, batches of 200, a fixed number of
epochs, float32, equal initial weights and row orders. The bare loops, in torch and in numpy,
are the least that a stacked training consists of; mlfund's sequential fits stand against them
in one process and in two. The test accuracies of all candidates and folds are computed here
from the weights that each competitor returns. Then `BatchedGridSearchCV` races GridSearchCV over
the same estimator and over skorch, both in two processes, and the bare loop.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks._harness import interleave, summarise, table
from benchmarks.search_mlp.library import one_by_one
from benchmarks.search_mlp.problems import PROBLEMS, QUICK, Problem, Search, make
from benchmarks.search_mlp.race import run_race, verdicts

REPEATS = 3
# Members of a slab of the bare loop, the best of 16, 20, 40 and 80 for these nets.
SLABS = {"50-16-2": 80, "50-64-2": 40, "784-128-10": 40}
REFERENCE = "two processes"


def competitors() -> dict[str, Callable[[Search], Any]]:
    """Return what is timed, each a function of the search that returns all weights."""
    from benchmarks.search_mlp import bare_numpy, bare_torch

    def bare(search: Search, threads: int) -> Any:
        return bare_torch.train(search, SLABS.get(search.problem.name, 80), threads)

    return {
        "one by one": partial(one_by_one, processes=1),
        REFERENCE: partial(one_by_one, processes=2),
        "bare torch, 1 thread": partial(bare, threads=1),
        "bare torch, 2 threads": partial(bare, threads=2),
        "bare numpy": bare_numpy.train,
    }


def run(quick: bool = False) -> dict[str, Any]:
    """Time all competitors in turn on each search; return seconds, ratios and accuracies."""
    repeats = 1 if quick else REPEATS
    problems = QUICK if quick else PROBLEMS
    searches = [
        _one(problem, repeats, first=problem is problems[0] and not quick) for problem in problems
    ]
    return {"repeats": repeats, "searches": searches}


def _one(problem: Problem, repeats: int, *, first: bool) -> dict[str, Any]:
    search = make(problem)
    weights: dict[str, Any] = {}

    def train(name: str, function: Callable[[Search], Any]) -> None:
        weights[name] = function(search)

    entered = {name: partial(train, name, f) for name, f in competitors().items()}
    seconds = interleave(entered, repeats, warmup=1)
    n_fits = len(search.folds) * len(search.grid)
    accuracies = {name: _accuracies(search, found) for name, found in weights.items()}
    rows = [
        {
            "name": row["name"],
            "median_seconds": row["median_seconds"],
            "us_per_step": 1e6 * row["min_seconds"] / n_fits / problem.n_steps,
            "speedup": 1 / row["ratio"],
            "mean_accuracy": float(accuracies[row["name"]].mean()),
            "largest_gap": float(abs(accuracies[row["name"]] - accuracies["one by one"]).max()),
        }
        for row in summarise(seconds, REFERENCE)
    ]
    raced = run_race(search, _bare_accuracies, repeats, with_skorch=first)
    return {
        "net": problem.name,
        "n_rows": problem.n_rows,
        "n_epochs": problem.n_epochs,
        "table": rows,
        "seconds": seconds,
        "race": raced,
        "lines": verdicts(raced, first=first),
    }


def _bare_accuracies(search: Search) -> np.ndarray:
    """Return the mean test accuracy of each candidate by the bare loop in two threads."""
    from benchmarks.search_mlp import bare_torch

    weights = bare_torch.train(search, SLABS.get(search.problem.name, 80), 2)
    return _accuracies(search, weights).reshape(len(search.folds), -1).mean(axis=0)


def _accuracies(search: Search, weights: list[list[np.ndarray]]) -> np.ndarray:
    """Return the test accuracy of each candidate and fold."""
    found = []
    for number, (W1, b1, W2, b2) in enumerate(weights):
        test = search.folds[number // len(search.grid)][1]
        raw = np.maximum(search.X[test] @ W1.T + b1, 0) @ W2.T + b2
        code = raw[:, 0] > 0 if raw.shape[1] == 1 else raw.argmax(axis=1)
        found.append((code == search.y[test]).mean())
    return np.array(found)


def report(result: dict[str, Any]) -> str:
    """Format the outcome, one table a search; speed-ups are over two processes."""
    return "\n\n".join(
        f"Net {one['net']}: {one['n_rows']} rows, 16 candidates x 5 folds, {one['n_epochs']} "
        f"epochs (speed-ups over two processes: medians over {result['repeats']} rounds; "
        f"microseconds for a step of one model)\n\n{table(one['table'])}\n\n"
        f"Through scikit-learn's interface:\n\n{table(one['race'])}\n\n" + "\n".join(one["lines"])
        for one in result["searches"]
    )
