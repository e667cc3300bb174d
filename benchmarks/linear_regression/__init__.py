"""Claim: LinearRegressor reaches the optimum sooner than scikit-learn's classes do.

Time of a whole `fit`, input checks, conversions and stopping test included, until the
objective is within 1e-6 of the optimum, relatively. Rules, alike for all:

* float64 in C order, one thread, an intercept;
* every competitor has the same grid of tolerances, one a decade, and runs with the loosest
  that reaches 1e-6; linear programs have none;
* the objective is computed here in float64, off the clock; the optimum is the least of all;
* fits take turns, round by round; those far slower than the best are timed once.
"""

from __future__ import annotations

import warnings
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks._harness import interleave, table
from benchmarks.linear.threads import one_thread
from benchmarks.linear_regression.problems import PROBLEMS, QUICK, TOLERANCES, Problem

GOAL = 1e-6
REPEATS = 7
# Slower by this factor than the fastest: one fit is enough to say so.
FAR = 10.0
MOST_SECONDS = 60.0


def run(quick: bool = False) -> dict[str, Any]:
    """Race on all problems."""
    entries = QUICK if quick else PROBLEMS
    with one_thread():
        found = {name: race(make(), 1 if quick else REPEATS) for name, make in entries.items()}
    return {"repeats": 1 if quick else REPEATS, "goal": GOAL, "problems": found}


def race(problem: Problem, repeats: int) -> dict[str, Any]:
    """Return seconds, tolerance, iterations and excess of every competitor."""
    least = _value(problem, problem.competitors["mlfund"](1e-11))
    tried = {name: _search(problem, make, least) for name, make in problem.competitors.items()}
    least = min([least, *(entry["value"] for entry in tried.values())])
    reached = {name: entry for name, entry in tried.items() if entry["reached"]}
    fastest = min(entry["seconds"] for entry in reached.values())
    often = [name for name in reached if reached[name]["seconds"] <= FAR * fastest]
    fits = {name: _fit(problem, problem.competitors[name], reached[name]["tol"]) for name in often}
    times = interleave(fits, repeats)
    results = {}
    for name, entry in tried.items():
        seconds = times.get(name, [entry["seconds"]])
        results[name] = {
            "seconds": float(np.median(seconds)),
            "least_seconds": float(min(seconds)),
            "fits": len(seconds),
            "tol": entry["tol"],
            "reached": entry["reached"],
            "iterations": entry["iterations"],
            "excess": (entry["value"] - least) / least,
            "solver": entry["solver"],
        }
    return {"title": problem.title, "results": results}


def _search(problem: Problem, make, least: float) -> dict[str, Any]:
    """Fit with tighter and tighter tolerances until the objective is near enough."""
    spent, entry = 0.0, {}
    for tol in TOLERANCES:
        model = make(tol)
        start = perf_counter()
        value = _value(problem, model)
        seconds = perf_counter() - start
        spent += seconds
        entry = {
            "tol": tol,
            "value": value,
            "seconds": seconds,
            "reached": value <= least * (1 + GOAL),
            "iterations": int(np.max(getattr(model, "n_iter_", 0) or 0)),
            "solver": getattr(model, "solver_", None),
        }
        if entry["reached"] or spent > MOST_SECONDS:
            break
    return entry


def _value(problem: Problem, model) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(problem.X, problem.y)
    return float(problem.objective(np.ravel(model.coef_), float(np.ravel(model.intercept_)[0])))


def _fit(problem: Problem, make, tol: float):
    def fit():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            make(tol).fit(problem.X, problem.y)

    return fit


def report(result: dict[str, Any]) -> str:
    """One table a problem, fastest first."""
    parts = []
    for entry in result["problems"].values():
        rows = entry["results"]
        theirs = [r["seconds"] for name, r in rows.items() if name != "mlfund" and r["reached"]]
        best = min(theirs, default=None)
        lines = [
            {
                "solver": name
                if r["solver"] is None or name != "mlfund"
                else f"mlfund {r['solver']}",
                "seconds": r["seconds"],
                "of the best other": r["seconds"] / best if best else None,
                "iterations": r["iterations"],
                "excess": r["excess"],
                "note": "" if r["reached"] else "goal not reached",
            }
            for name, r in sorted(rows.items(), key=lambda item: item[1]["seconds"])
        ]
        parts.append(f"{entry['title']}\n{table(lines)}")
    return "\n\n".join(parts)
