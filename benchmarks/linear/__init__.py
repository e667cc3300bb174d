"""Claim: LogisticRegression reaches the optimum sooner than other solvers one can install.

Time of a whole `fit`, input checks, conversions and stopping test included, until the
objective is within 1e-6 of the optimum, relatively. Rules, alike for all:

* float64 input in C order or CSR, no intercept, one thread;
* every competitor has its own grid of tolerances, four a decade (cyanure, whose tolerance is
  looked at every tenth epoch, of iterations), and runs with the loosest that reaches 1e-6;
  on MNIST, where a fit of theirs takes minutes, two a decade;
* the objective is computed here in float64, off the clock; the optimum is proven to 1e-8;
* fits take turns, round by round; those far slower than the best competitor are timed once.
"""

from __future__ import annotations

import sys
from typing import Any

from benchmarks._harness import Unavailable
from benchmarks.linear.problems import PROBLEMS, QUICK
from benchmarks.linear.race import race
from benchmarks.linear.report import report
from benchmarks.linear.threads import one_thread, read_bandwidth

__all__ = ["report", "run"]


def run(quick: bool = False, names: list[str] | None = None) -> dict[str, Any]:
    """Race on all problems, or on those named."""
    entries = QUICK if quick else {name: PROBLEMS[name] for name in names or PROBLEMS}
    problems: dict[str, Any] = {}
    with one_thread():
        bandwidth = read_bandwidth(megabytes=10 if quick else 400)
        for name, entry in entries.items():
            print(f"{entry.title} ...", file=sys.stderr, flush=True)
            try:
                problems[name] = race(name, entry, bandwidth, quick=quick)
            except Unavailable as error:
                problems[name] = {"title": entry.title, "skipped": str(error)}
    return {
        "repeats": max(entry.repeats for entry in entries.values()),
        "bytes_per_second": bandwidth,
        "problems": problems,
    }
