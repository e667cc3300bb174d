"""The outcome as text."""

from __future__ import annotations

from typing import Any

from benchmarks._harness import table

COLUMNS = [
    "name",
    "median_seconds",
    "min_seconds",
    "spread",
    "cpu_seconds",
    "repeats",
    "setting",
    "suboptimality",
    "passes",
    "bound_seconds",
    "share_of_bound",
    "note",
]


def report(result: dict[str, Any]) -> str:
    """Format the outcome: the lines, then a table a problem."""
    problems = result["problems"].values()
    raced = [problem for problem in problems if "skipped" not in problem]
    parts = [
        table([_summary(problem) for problem in raced]),
        f"One thread reads {result['bytes_per_second'] / 1e9:.1f} GB/s. bound_seconds is the "
        "time that the passes over X take at this rate, share_of_bound what that is of the "
        "fastest fit. A name without a solver is mlfund's own choice.",
    ]
    parts += [f"not run: {p['title']}: {p['skipped']}" for p in problems if "skipped" in p]
    absent = sorted({module for problem in raced for module in problem["not_installed"]})
    if absent:
        parts.append(f"Not installed, so not run: {', '.join(absent)}.")
    parts += [f"### {p['title']}\n\n{table(p['rows'], COLUMNS)}" for p in raced]
    return "\n\n".join(parts)


def _summary(problem: dict[str, Any]) -> dict[str, Any]:
    verdict = problem["verdict"]
    met = {True: "met", False: "NOT met", None: "no line"}[verdict["met"]]
    return {
        "problem": problem["title"],
        "solver_": problem["solver"],
        "seconds": verdict["ours"],
        "against": verdict["against"],
        "ratio": verdict["ratio_to_against"],
        "of minima": verdict["min_ratio_to_against"],
        "line": verdict["line"],
        "outcome": met,
        "best of all others": verdict["best"],
        "ratio to it": verdict["ratio_to_best"],
    }
