"""Run a benchmark, print its report, store its result.

``python -m benchmarks.run NAME [--quick] [--out FOLDER]``, ``--list`` for names.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import math
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any

from benchmarks._harness import RESULTS, Unavailable, stored_rows
from mlfund._files import atomic_write
from mlfund._measure import machine

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Names of all benchmarks: the packages in this folder."""
    found = pkgutil.iter_modules([str(FOLDER)])
    return sorted(item.name for item in found if item.ispkg and not item.name.startswith("_"))


def load(name: str) -> ModuleType:
    """Import a benchmark and check that it has what the runner calls."""
    module = importlib.import_module(f"benchmarks.{name}")
    for function in ("run", "report"):
        if not callable(getattr(module, function, None)):
            raise TypeError(
                f"benchmarks/{name} must define {function}(); see benchmarks/README.md."
            )
    return module


def execute(name: str, *, quick: bool = False, **options: Any) -> tuple[dict[str, Any], str]:
    """Run one benchmark; return the record to store and the report to print.

    `options` go to the benchmark's ``run``.
    """
    module = load(name)
    # the load before the start tells whether the machine was quiet
    description = machine()
    date = datetime.now(UTC).isoformat(timespec="seconds")
    start = perf_counter()
    result = module.run(quick=quick, **options)
    record = {
        "benchmark": name,
        "date": date,
        "quick": quick,
        "seconds": round(perf_counter() - start, 3),
        "machine": {**description, "threads": _threads()},
        "repeats": result.get("repeats", 1),
        "result": _plain(result),
    }
    return record, module.report(result)


def store(record: Mapping[str, Any], folder: Path) -> Path:
    """Write a record to ``folder/NAME.json``, completely or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record['benchmark']}.json"
    with atomic_write(path, "w") as file:
        file.write(json.dumps(record, indent=2, allow_nan=False) + "\n")
    return path


def store_rows(
    record: dict[str, Any], rows: str, identity: Callable[[Mapping[str, Any]], Any]
) -> Path:
    """Store a record whose rows take the places of stored ones; the others stay.

    Long benchmarks are run piece by piece. Each row keeps the date and the machine of its own run.

    Parameters
    ----------
    record : dict
        As `execute` returns it.
    rows : str
        Key of the list of rows in its result.
    identity : callable
        What two rows have in common of which the later one stays; rows are sorted by it.
    """
    stored = stored_rows(record["benchmark"], rows, RESULTS)
    about = {"date": record["date"], "machine": record["machine"]}
    found = {identity(row): row for row in stored}
    found |= {identity(row): {**row, **about} for row in record["result"][rows]}
    record["result"][rows] = [found[key] for key in sorted(found)]
    return store(record, RESULTS)


def _threads() -> int | None:
    """Threads torch computes with; None where a benchmark did without torch."""
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def _plain(value: Any) -> Any:
    """Turn arrays, dataclasses and NumPy numbers into what JSON knows; NaN into null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    return str(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run, print, store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("name", nargs="?", metavar="NAME", help="benchmark to run; see --list")
    parser.add_argument("--list", action="store_true", help="list the benchmarks and end")
    parser.add_argument(
        "--quick", action="store_true", help="small data, one repeat: does it run? (not stored)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where NAME.json goes (benchmarks/results)"
    )
    options = parser.parse_args(arguments)
    if options.list:
        for name in names():
            print(f"{name:24}{(load(name).__doc__ or '').strip().partition(chr(10))[0]}")
        return 0
    if options.name is None:
        parser.error("give the NAME of a benchmark, or --list")
    if options.name not in names():
        parser.error(f"benchmark {options.name!r} is not known; there are {', '.join(names())}")
    try:
        record, report = execute(options.name, quick=options.quick)
    except Unavailable as error:
        print(f"{options.name} cannot run here: {error}", file=sys.stderr)
        return 2
    print(report)
    # a quick run says nothing about speed: it must not replace a stored result
    folder = options.out or (None if options.quick else RESULTS)
    if folder is not None:
        print(f"\nstored in {store(record, folder)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
