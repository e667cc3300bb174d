"""Claim: device="cuda" fits LogisticRegression faster than the CPU does, on large dense rows.

Time of a whole `fit` from numpy arrays in memory, so the copy to the device counts, until the
objective is within 1e-6 of the best that any of them found, relatively:

* float32 input in C order, no intercept; all cores for those on the CPU, one GPU for the others;
* every competitor runs with the loosest of its tolerances, two a decade, that gets there;
* the objective is computed here in float64, off the clock;
* one small fit before starts the device and its libraries; its seconds are told apart;
* fits take turns, round by round.

Needs a CUDA device; no figure is stored where there was none.
"""

from __future__ import annotations

import warnings
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks._harness import cuda_device, installed, interleave, report_table
from benchmarks.gpu_linear.competitors import COMPETITORS, TOLERANCES, Competitor
from benchmarks.linear.objective import objective
from benchmarks.linear.problems import Problem, dense, mnist
from benchmarks.linear.search import loosest

WANTED = 1e-6
REFERENCE_TOLERANCE = 1e-8
PROBLEMS = {
    "dense, 1,000,000 x 200, correlated columns": partial(dense, 1_000_000, 200, 0.9),
    "MNIST, 60,000 x 784, 10 classes": mnist,
}
QUICK = {"dense, 2,000 x 20, correlated columns": partial(dense, 2_000, 20, 0.9)}
REPEATS = 5


def run(quick: bool = False) -> dict[str, Any]:
    """Race on both problems, or on a small one."""
    device = cuda_device()
    problems = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for title, make in (QUICK if quick else PROBLEMS).items():
            problem = make()
            single = Problem(problem.X.astype(np.float32), problem.y, problem.C)
            problems[title] = race(single, repeats=1 if quick else REPEATS)
    missing = [c.name for c in COMPETITORS if not installed(c.module)]
    return {
        "repeats": 1 if quick else REPEATS,
        "device": device,
        "wanted": WANTED,
        "not_installed": missing,
        "problems": problems,
    }


def race(problem: Problem, repeats: int) -> dict[str, Any]:
    """Find the tolerance of each competitor, then time them in turn."""
    entered = [c for c in COMPETITORS if installed(c.module) and c.applies(problem)]
    first = {c.name: _seconds_of_first_fit(c) for c in entered}
    best = min(objective(problem, c.fit(problem, REFERENCE_TOLERANCE)) for c in entered)
    found = {c.name: _setting(c, problem, best) for c in entered}
    racing = {
        c.name: partial(c.fit, problem, found[c.name]["setting"])
        for c in entered
        if found[c.name]["setting"] is not None
    }
    return {
        "rows_and_columns": list(problem.X.shape),
        "optimum": best,
        "first_fit_seconds": first,
        "found": found,
        "seconds": interleave(racing, repeats),
    }


def _seconds_of_first_fit(competitor: Competitor) -> float:
    small = dense(1_000, 10)
    start = perf_counter()
    competitor.fit(Problem(small.X.astype(np.float32), small.y), TOLERANCES[0])
    return perf_counter() - start


def _setting(competitor: Competitor, problem: Problem, best: float) -> dict[str, Any]:
    def trial(tolerance: float) -> tuple[float, float]:
        start = perf_counter()
        weights = competitor.fit(problem, tolerance)
        seconds = perf_counter() - start
        return seconds, objective(problem, weights) / best - 1

    setting, seconds, suboptimality, why = loosest(trial, TOLERANCES, float("inf"))
    return {
        "setting": setting,
        "seconds": seconds,
        "suboptimality": suboptimality,
        "why": why,
    }


def report(result: dict[str, Any]) -> str:
    """One table a problem; ratios are to the fit on the device."""
    parts = [f"{result['device']}; time to {result['wanted']:g} of the optimum"]
    for title, outcome in result["problems"].items():
        parts.append(f"{title}\n\n{report_table(outcome['seconds'])}")
        late = [name for name, f in outcome["found"].items() if f["setting"] is None]
        if late:
            parts.append(f"did not get there: {', '.join(late)}")
    if result["not_installed"]:
        parts.append(f"not installed: {', '.join(result['not_installed'])}")
    return "\n\n".join(parts)
