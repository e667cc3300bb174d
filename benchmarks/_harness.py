"""Fair timing of competitors, and tables of the outcome."""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

RESULTS = Path(__file__).parent / "results"


class Unavailable(RuntimeError):
    """A benchmark cannot run here: its data or a competitor it needs is missing."""


def installed(*modules: str) -> bool:
    """Tell whether all top-level modules can be imported, without importing them."""
    return all(importlib.util.find_spec(module) is not None for module in modules)


def shared_data() -> Path:
    """Folder of the benchmark tables; raises `Unavailable` where it is not at hand."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("MLFUND_DATA", beside))
    if not (folder / "catalogue.csv").is_file():
        raise Unavailable("no benchmark tables: set MLFUND_DATA to their folder")
    return folder


def stored_rows(name: str, rows: str, folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Return the list `rows` in the stored result of a benchmark; an empty one where none is."""
    path = folder / f"{name}.json"
    if not path.is_file():
        return []
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["result"][rows]
    return found


def cuda_device() -> str:
    """Return the name of the CUDA device.

    Raises
    ------
    Unavailable
        Where torch sees none.
    """
    import torch

    if not torch.cuda.is_available():
        raise Unavailable(f"torch {torch.__version__} sees no CUDA device")
    return torch.cuda.get_device_name()


def interleave(
    competitors: Mapping[str, Callable[[], Any]], repeats: int, *, warmup: int = 0
) -> dict[str, list[float]]:
    """Time competitors in turn, so that a slow spell of the machine hits them all.

    The competitor that starts a round changes from round to round: the first
    after a pause, or the one after the heaviest, would have a constant handicap.

    Parameters
    ----------
    competitors : dict of str to callable without arguments
        What to time. Data are prepared outside; what is called here is counted.
    repeats : int
        Rounds, at least 1. Each round calls each competitor once.
    warmup : int, default=0
        Rounds before, not counted.

    Returns
    -------
    seconds : dict of str to list of float
        `repeats` durations for each competitor, in the order of rounds.
    """
    if repeats < 1 or warmup < 0:
        raise ValueError(f"repeats={repeats}, warmup={warmup}: give repeats >= 1 and warmup >= 0.")
    names = list(competitors)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for i in range(-warmup, repeats):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            elapsed = _time_once(competitors[name])
            if i >= 0:
                seconds[name].append(elapsed)
    return seconds


def _time_once(function: Callable[[], Any]) -> float:
    # what an earlier competitor left behind is collected at nobody's expense
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        start = perf_counter()
        function()
        return perf_counter() - start
    finally:
        if enabled:
            gc.enable()


def summarise(
    seconds: Mapping[str, Sequence[float]], reference: str | None = None
) -> list[dict[str, Any]]:
    """Return one row per competitor: median, minimum, spread, ratio to a reference.

    Parameters
    ----------
    seconds : dict of str to list of float
        As `interleave` returns them.
    reference : str, optional
        The competitor the ratios are taken to; the first one by default.

    Returns
    -------
    rows : list of dict
        Keys ``name``, ``median_seconds``, ``min_seconds``, ``max_seconds``,
        ``spread`` ((max - min) / median), ``ratio`` (median of the ratios within
        a round, which cancels what slowed the whole round), ``ratio_min`` and
        ``ratio_max`` over rounds, ``repeats``.
    """
    reference = next(iter(seconds)) if reference is None else reference
    rows = []
    for name, values in seconds.items():
        median = statistics.median(values)
        pairs = zip(values, seconds[reference], strict=True)
        ratios = [value / base for value, base in pairs]
        rows.append(
            {
                "name": name,
                "median_seconds": median,
                "min_seconds": min(values),
                "max_seconds": max(values),
                "spread": (max(values) - min(values)) / median,
                "ratio": statistics.median(ratios),
                "ratio_min": min(ratios),
                "ratio_max": max(ratios),
                "repeats": len(values),
            }
        )
    return rows


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Format rows as a Markdown table; numbers to four digits, right-aligned.

    Parameters
    ----------
    rows : iterable of dict
        One mapping per line. A missing key or None becomes an empty cell.
    columns : sequence of str, optional
        Keys to show, in order; those of the first row by default.
    """
    rows = list(rows)
    if not rows:
        return "(no rows)"
    columns = list(rows[0]) if columns is None else list(columns)
    cells = [columns, *([_cell(row.get(column)) for column in columns] for row in rows)]
    numeric = [any(isinstance(row.get(c), int | float) for row in rows) for c in columns]
    widths = [max(3, *(len(line[j]) for line in cells)) for j in range(len(columns))]
    lines = [_line(line, widths, numeric) for line in cells]
    columns_of = list(zip(widths, numeric, strict=True))
    rule = ["-" * (width - 1) + (":" if right else "-") for width, right in columns_of]
    return "\n".join([lines[0], "| " + " | ".join(rule) + " |", *lines[1:]])


def report_table(seconds: Mapping[str, Sequence[float]], reference: str | None = None) -> str:
    """Format the outcome of `interleave` as a Markdown table."""
    shown = ["name", "median_seconds", "min_seconds", "spread", "ratio", "repeats"]
    return table(summarise(seconds, reference), shown)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    padded = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    ]
    return "| " + " | ".join(padded) + " |"
