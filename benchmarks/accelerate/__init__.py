"""Claim: ten unmodified scikit-learn scripts print the same scores with mlfund, in less time.

Each script of `scripts/` runs as ``python script.py`` and as
``python -m mlfund.accelerate script.py``, in turn, from the start of Python to its end. Numbers
that both print are compared one by one; all other text must be the same.

Seconds of the clock suffer from what else the machine does; processor seconds, which stand
beside them, do so less. Imports are about two seconds of either.
"""

from __future__ import annotations

import dataclasses
import os
import re
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from benchmarks._harness import table

FOLDER = Path(__file__).parent / "scripts"
MODES = {"scikit-learn": [], "mlfund": ["-m", "mlfund.accelerate", "--quiet"]}
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
QUICK = ("voting_and_stacking",)


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run of a script took and printed."""

    seconds: float
    cpu_seconds: float
    printed: str


def execute(script: Path, mode: str) -> Run:
    """Run a script in a Python of its own."""
    before, start = _cpu_seconds(), perf_counter()
    command = [sys.executable, *MODES[mode], str(script)]
    root = FOLDER.parents[2]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    seconds = perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{script.name} by {mode} failed:\n{done.stderr}")
    return Run(seconds, _cpu_seconds() - before, done.stdout)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def largest_difference(one: str, other: str) -> float | None:
    """Return by how much printed numbers differ, None where the text between them does."""
    # columns are as wide as their widest number
    words = [" ".join(NUMBER.sub("#", text).split()) for text in (one, other)]
    if words[0] != words[1]:
        return None
    pairs = zip(NUMBER.findall(one), NUMBER.findall(other), strict=True)
    return max((abs(float(a) - float(b)) for a, b in pairs), default=0.0)


def compare(script: Path, repeats: int) -> dict:
    """Run a script both ways in turn; return a row of the table."""
    runs: dict[str, list[Run]] = {mode: [] for mode in MODES}
    for repeat in range(repeats):
        for mode in list(MODES)[:: -1 if repeat % 2 else 1]:
            runs[mode].append(execute(script, mode))
    row: dict = {"script": script.stem}
    for what in ("seconds", "cpu_seconds"):
        for mode in MODES:
            values = [getattr(run, what) for run in runs[mode]]
            row[f"{mode} {what}"] = statistics.median(values)
            row[f"{mode} {what} of all"] = values
        row[f"{what} ratio"] = row[f"scikit-learn {what}"] / row[f"mlfund {what}"]
    row["largest_difference"] = largest_difference(
        runs["scikit-learn"][0].printed, runs["mlfund"][0].printed
    )
    return row


def run(quick: bool = False) -> dict:
    """Run all scripts; of a quick run only one."""
    repeats = 1 if quick else 2
    scripts = sorted(FOLDER.glob("*.py"))
    rows = [compare(s, repeats) for s in scripts if not quick or s.stem in QUICK]
    return {"repeats": repeats, "rows": rows}


def report(result: dict) -> str:
    """Return the table."""
    shown = ["script"]
    for what in ("seconds", "cpu_seconds"):
        shown += [f"scikit-learn {what}", f"mlfund {what}", f"{what} ratio"]
    return table(result["rows"], [*shown, "largest_difference"])
