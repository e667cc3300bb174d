"""The same searches behind scikit-learn's interface: the batched one against grid searches.

Everybody gets the table, the folds and the grid, scores the held-out folds and refits nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from benchmarks._harness import interleave, summarise
from benchmarks.search_mlp.problems import ALPHAS, BATCH_SIZE, LEARNING_RATES, Search

OURS = "BatchedGridSearchCV"
BARE = "bare torch, 2 threads"
REFERENCE = "GridSearchCV, n_jobs=2"
SKORCH = "GridSearchCV over skorch, n_jobs=2"


def run_race(
    search: Search, bare: Callable[[Search], np.ndarray], repeats: int, *, with_skorch: bool
) -> list[dict[str, Any]]:
    """Time everybody in turn.

    Parameters
    ----------
    search : Search
        The search.
    bare : callable
        The bare stacked loop; returns mean test accuracies as the others do.
    repeats : int
        Rounds.
    with_skorch : bool
        Whether skorch enters, which takes long.

    Returns
    -------
    list of dict
        One row each; `times_ours` is the ratio of seconds to those of the batched search.
    """
    accuracies: dict[str, np.ndarray] = {}

    def run(name: str, function: Callable[[Search], np.ndarray]) -> None:
        accuracies[name] = function(search)

    entrants = {OURS: batched, BARE: bare, REFERENCE: one_by_one}
    if with_skorch:
        entrants[SKORCH] = over_skorch
    entered = {name: partial(run, name, function) for name, function in entrants.items()}
    # The first round also starts the worker processes.
    seconds = interleave(entered, repeats, warmup=int(repeats > 1))
    return [
        {
            "name": row["name"],
            "median_seconds": row["median_seconds"],
            "min_seconds": row["min_seconds"],
            "times_ours": row["ratio"],
            "mean_accuracy": float(accuracies[row["name"]].mean()),
            "largest_gap": float(abs(accuracies[row["name"]] - accuracies[OURS]).max()),
        }
        for row in summarise(seconds, OURS)
    ]


def verdicts(rows: list[dict[str, Any]], *, first: bool) -> list[str]:
    """Say how a race stands to the lines that the project set itself.

    Parameters
    ----------
    rows : list of dict
        As `run_race` returns them.
    first : bool
        Whether this is the narrowest net, for which the lines are higher.
    """
    least = {BARE: 0.9, REFERENCE: 3.0 if first else 1.0, SKORCH: 8.0}
    told = []
    for row in rows:
        if row["name"] in least:
            line = least[row["name"]]
            held = "held" if row["times_ours"] >= line else "NOT held"
            ratio = f"{row['times_ours']:.2f} x the batched search (line {line:g})"
            told.append(f"{row['name']} takes {ratio}: {held}.")
    return told


def batched(search: Search) -> np.ndarray:
    """Search with mlfund's stacks."""
    from mlfund import BatchedGridSearchCV

    return _searched(BatchedGridSearchCV(_mlp(search), _GRID, **_shared(search)), search)


def one_by_one(search: Search) -> np.ndarray:
    """Search with scikit-learn's GridSearchCV over the same estimator in two processes."""
    return _searched(GridSearchCV(_mlp(search), _GRID, n_jobs=2, **_shared(search)), search)


def over_skorch(search: Search) -> np.ndarray:
    """Search with GridSearchCV over skorch in two processes."""
    from benchmarks.search_mlp import skorch_net

    grid_search = GridSearchCV(
        skorch_net.classifier(search), skorch_net.GRID, n_jobs=2, **_shared(search)
    )
    return _searched(grid_search, search)


_GRID = {"learning_rate_init": list(LEARNING_RATES), "alpha": list(ALPHAS)}


def _shared(search: Search) -> dict[str, Any]:
    return {"cv": search.folds, "refit": False, "scoring": "accuracy"}


def _mlp(search: Search) -> Any:
    from mlfund import MLPClassifier

    return MLPClassifier(
        search.problem.sizes[1:-1],
        max_iter=search.problem.n_epochs,
        batch_size=BATCH_SIZE,
        random_state=0,
    )


def _searched(grid_search: Any, search: Search) -> np.ndarray:
    with warnings.catch_warnings():
        # The epochs are fixed: running out of them is the plan.
        warnings.simplefilter("ignore", ConvergenceWarning)
        grid_search.fit(search.X, search.y)
    found = grid_search.cv_results_
    # In the order of the search's grid: learning rates change last.
    rates = np.ma.getdata(found.get("param_learning_rate_init", found.get("param_lr")))
    order = np.argsort(rates.astype(float), kind="stable")
    return np.asarray(found["mean_test_score"])[order]
