"""Claim: curve fitting reaches NIST's certified values from more starts than curve_fit.

Each of nine problems of the Statistical Reference Datasets is fitted from NIST's far and
near start, by ParametricRegressor and by scipy's curve_fit with its default settings. A fit
succeeds when every parameter agrees with the certified value to 1e-3 relative. Times are
of the whole call; curve_fit is given a numpy function, which for tens of rows costs less
than torch's operations do.
"""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Callable
from time import process_time

import numpy as np
from scipy.optimize import curve_fit

from benchmarks._harness import table
from benchmarks.parametric.problems import PROBLEMS, Problem
from mlfund import ParametricRegressor

AGREEMENT = 1e-3
REPEATS = 5
STARTS = {1: "far", 2: "near"}

_NUMPY = {
    "saturation": lambda x, b1, b2: b1 * (1 - np.exp(-b2 * x)),
    "cubic_ratio": lambda x, b1, b2, b3, b4, b5, b6, b7: (
        (b1 + b2 * x + b3 * x**2 + b4 * x**3) / (1 + b5 * x + b6 * x**2 + b7 * x**3)
    ),
    "quadratic_ratio": lambda x, b1, b2, b3, b4: b1 * (x**2 + x * b2) / (x**2 + x * b3 + b4),
    "peak": lambda x, b1, b2, b3: (b1 / b2) * np.exp(-0.5 * ((x - b3) / b2) ** 2),
    "resistance": lambda x, b1, b2, b3: b1 * np.exp(b2 / (x + b3)),
    "two_decays": lambda x, b1, b2, b3, b4, b5: b1 + b2 * np.exp(-x * b4) + b3 * np.exp(-x * b5),
    "growth": lambda x, b1, b2, b3: b1 / (1 + np.exp(b2 - b3 * x)),
    "skewed_growth": lambda x, b1, b2, b3, b4: b1 / (1 + np.exp(b2 - b3 * x)) ** (1 / b4),
}


def ours(problem: Problem, which: int) -> np.ndarray:
    """Fit with ParametricRegressor; return the parameters."""
    model = ParametricRegressor(problem.function, start=problem.start(which))
    return np.array(list(model.fit(problem.x[:, None], problem.y).parameters_.values()))


def theirs(problem: Problem, which: int) -> np.ndarray:
    """Fit with curve_fit; NaN where it gives up."""
    start = problem.starts[which - 1]
    try:
        return curve_fit(_NUMPY[problem.function.__name__], problem.x, problem.y, p0=start)[0]
    except RuntimeError:
        return np.full(len(start), math.nan)


def outcome(fit: Callable, problem: Problem, which: int, repeats: int) -> dict:
    """Return the largest relative error of a fit and its median CPU time."""
    seconds = []
    for _ in range(repeats):
        start = process_time()
        found = fit(problem, which)
        seconds.append(process_time() - start)
    error = float(np.max(np.abs(found / np.array(problem.values) - 1)))
    return {"error": error, "cpu_seconds": statistics.median(seconds), "ok": error < AGREEMENT}


def run(quick: bool = False) -> dict:
    """Fit every problem from both starts (two problems, once, when quick)."""
    repeats = 1 if quick else REPEATS
    fits = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # a fit that gives up says so; here that is a result
        warnings.simplefilter("ignore")
        ours(PROBLEMS[0], 2)
        for problem in PROBLEMS[:2] if quick else PROBLEMS:
            for which, name in STARTS.items():
                fits.append(
                    {
                        "problem": problem.name,
                        "start": name,
                        "mlfund": outcome(ours, problem, which, repeats),
                        "curve_fit": outcome(theirs, problem, which, repeats),
                    }
                )
    return {"repeats": repeats, "agreement": AGREEMENT, "fits": fits}


def report(result: dict) -> str:
    """One row a problem and start, and the number of successes."""
    rows = [
        {
            "problem": fit["problem"],
            "start": fit["start"],
            **{f"{name} error": fit[name]["error"] for name in ("mlfund", "curve_fit")},
            **{
                f"{name} CPU ms": 1e3 * fit[name]["cpu_seconds"] for name in ("mlfund", "curve_fit")
            },
        }
        for fit in result["fits"]
    ]
    reached = {
        name: sum(fit[name]["ok"] for fit in result["fits"]) for name in ("mlfund", "curve_fit")
    }
    return (
        f"{table(rows)}\n\ncertified values reached to {result['agreement']:g}, of "
        f"{len(rows)} fits: mlfund {reached['mlfund']}, curve_fit {reached['curve_fit']}"
    )
