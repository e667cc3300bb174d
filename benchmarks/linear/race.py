"""One problem: settings, timed rounds, passes, and the verdict."""

from __future__ import annotations

import statistics
import warnings
from functools import partial
from time import process_time
from typing import Any

from benchmarks._harness import interleave, summarise
from benchmarks.linear import search, settings
from benchmarks.linear.competitors import entrants, missing, mlfund_solvers
from benchmarks.linear.competitors._base import Competitor
from benchmarks.linear.objective import objective
from benchmarks.linear.passes import bytes_of, reading_of
from benchmarks.linear.problems import Entry, Line, Problem

OURS = "mlfund"
# Seconds that a solver of ours gets at least for a fit.
LEAST_LIMIT = 2.0


def race(name: str, entry: Entry, bandwidth: float, *, quick: bool = False) -> dict[str, Any]:
    """Return everything measured on a problem."""
    problem = entry.make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimum, found = _settings(name, entry, problem, quick=quick)
        rows = _timed(problem, entry, optimum["value"], found)
        for row in rows:
            if row["name"].split()[0] == OURS and row["setting"] is not None:
                row.update(_passes(problem, row, bandwidth))
        solver = _solver_of(problem, found[OURS])
    rows.sort(key=lambda row: row["median_seconds"] or float("inf"))
    return {
        "title": entry.title,
        "rows_and_columns": list(problem.X.shape),
        "bytes_of_X": bytes_of(problem.X),
        "optimum": optimum,
        "solver": solver,
        "rows": rows,
        "not_installed": missing(),
        "verdict": verdict(rows, entry.line),
    }


def _settings(name: str, entry: Entry, problem: Problem, *, quick: bool):
    """Return the optimum and the setting of every entrant."""
    if quick:
        optimum = settings.optimum_of(problem)
        entered = [c for c in entrants(problem) if c.module in (OURS, "sklearn")]
        return optimum, {c.name: _search_here(c, problem, optimum["value"]) for c in entered}
    known = settings.renew(name)
    found = _own_settings(name, entry, problem, known["optimum"]["value"])
    entered = {competitor.name for competitor in entrants(problem)}
    found.update({k: v for k, v in known["competitors"].items() if k in entered})
    return known["optimum"], found


def _own_settings(
    name: str, entry: Entry, problem: Problem, optimum: float
) -> dict[str, dict[str, Any]]:
    """Return the settings of mlfund's choice and of its solvers, those far behind given up."""
    found: dict[str, dict[str, Any]] = {}
    limit = entry.limit_seconds
    for competitor in (c for c in entrants(problem) if c.module == OURS):
        with search.Worker(name, optimum, limit) as worker:
            found[competitor.name] = search.as_json(search.search(competitor, worker, entry))
        chosen = found[OURS]["seconds"]
        if chosen is not None:
            limit = min(entry.limit_seconds, max(LEAST_LIMIT, settings.FAR_SLOWER * chosen))
    return found


def _search_here(competitor: Competitor, problem: Problem, optimum: float) -> dict[str, Any]:
    """Search in this process: for problems so small that no limit is needed."""

    def trial(setting: float) -> tuple[float, float]:
        return search.measure(competitor, problem, setting, optimum)

    version = search.version_of(competitor.module)
    return search.as_json(
        search.Found(*search.loosest(trial, competitor.settings, float("inf")), version)
    )


def _timed(problem: Problem, entry: Entry, optimum: float, found: dict) -> list[dict[str, Any]]:
    """Return a row for each entrant; those not far behind are timed in rounds."""
    reached = {name: s for name, s in found.items() if s["setting"] is not None}
    others = [s["seconds"] for name, s in reached.items() if name.split()[0] != OURS]
    most = settings.FAR_SLOWER * min(others, default=float("inf"))
    racing = [c for c in entrants(problem) if c.name in reached]
    racing = [c for c in racing if reached[c.name]["seconds"] <= most]
    weights: dict[str, Any] = {}
    cpu: dict[str, list[float]] = {c.name: [] for c in racing}

    def fit(competitor: Competitor) -> None:
        start = process_time()
        weights[competitor.name] = competitor.fit(problem, found[competitor.name]["setting"])
        cpu[competitor.name].append(process_time() - start)

    for competitor in racing:
        search.warm_up(competitor, problem)
    seconds = interleave({c.name: partial(fit, c) for c in racing}, entry.repeats)
    rows = summarise(seconds, reference=OURS if OURS in seconds else None)
    for row in rows:
        name = row["name"]
        row["cpu_seconds"] = statistics.median(cpu[name])
        row["setting"] = found[name]["setting"]
        row["suboptimality"] = objective(problem, weights[name]) / optimum - 1
        row["version"] = found[name]["version"]
        row["note"] = "" if row["suboptimality"] <= search.WANTED else "missed 1e-6 this time"
        row["seconds"] = seconds[name]
    return rows + [_once(name, s) for name, s in found.items() if name not in seconds]


def _once(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return the row of an entrant that the search timed, or that did not get there."""
    return {
        "name": name,
        "median_seconds": found["seconds"],
        "min_seconds": found["seconds"],
        "repeats": int(found["seconds"] is not None),
        "setting": found["setting"],
        "suboptimality": found["suboptimality"],
        "version": found["version"],
        "note": found["why"],
    }


def _passes(problem: Problem, row: dict[str, Any], bandwidth: float) -> dict[str, float]:
    """Return passes over X, the time that reading them takes at least, and its share."""
    competitor = search.by_name(row["name"])
    reading = reading_of(lambda: competitor.fit(problem, row["setting"]))
    bound = reading.bytes / bandwidth
    return {
        "passes": reading.passes,
        "bound_seconds": bound,
        "share_of_bound": bound / row["min_seconds"],
    }


def _solver_of(problem: Problem, found: dict[str, Any]) -> str:
    """Return which algorithm mlfund chose."""
    tolerance = found["setting"] or search.FIRST_TOLERANCE
    return mlfund_solvers.estimator(problem, tolerance).fit(problem.X, problem.y).solver_


def verdict(rows: list[dict[str, Any]], line: Line | None) -> dict[str, Any]:
    """Compare mlfund's own choice with the best of the others, and with the line."""
    timed = [row for row in rows if row["median_seconds"] is not None]
    ours = next((row for row in timed if row["name"] == OURS), None)
    result: dict[str, Any] = {"ours": None if ours is None else ours["median_seconds"]}
    packages = {"best": None, "against": line.against if line else "scikit-learn"}
    for key, package in packages.items():
        rivals = [
            row for row in timed if _package(row) != OURS and package in (None, _package(row))
        ]
        rival = min(rivals, key=lambda row: row["median_seconds"], default=None)
        result[key] = None if rival is None else rival["name"]
        if rival is None or ours is None:
            result[f"ratio_to_{key}"] = result[f"min_ratio_to_{key}"] = None
        else:
            result[f"ratio_to_{key}"] = ours["median_seconds"] / rival["median_seconds"]
            result[f"min_ratio_to_{key}"] = ours["min_seconds"] / rival["min_seconds"]
    ratio = result["ratio_to_against"]
    result["line"] = None if line is None else line.ratio
    result["met"] = None if line is None or ratio is None else bool(ratio <= line.ratio)
    return result


def _package(row: dict[str, Any]) -> str:
    return row["name"].split()[0]
