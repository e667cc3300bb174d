"""Measure chosen cells, list them with the time they take, or collect what is stored."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import run as runner
from benchmarks._harness import Unavailable, table
from benchmarks.transfer_images import DRAWS, FOLDER, PER_CLASS, folder_of_cells, report, run
from benchmarks.transfer_images.cells import Cell, Folder, cells
from benchmarks.transfer_images.methods import METHODS

N_CLASSES, N_ALL = 5, 2934


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.transfer_images", description=__doc__
    )
    parser.add_argument(
        "--cells", nargs="+", default=["*"], metavar="PATTERN", help="METHOD/N/DRAW"
    )
    parser.add_argument("--list", action="store_true", help="cells that are missing, and end")
    parser.add_argument("--collect", action="store_true", help="store the result; measure nothing")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the cells")
    parser.add_argument("--device", default=None)
    chosen = parser.parse_args(arguments)
    if chosen.list:
        print(listed(chosen.cells, folder_of_cells(chosen.folder)))
        return 0
    wanted = [] if chosen.collect else chosen.cells
    options = {"wanted": wanted, "folder": chosen.folder, "device": chosen.device}
    try:
        if chosen.collect:
            record, text = runner.execute("transfer_images", **options)
            print(f"{text}\n\nstored in {runner.store(record, runner.RESULTS)}")
        else:
            print(report(run(**options)))
    except Unavailable as error:
        print(f"transfer_images cannot run here: {error}", file=sys.stderr)
        return 2
    return 0


def listed(patterns: Sequence[str], folder: Folder) -> str:
    """Return a table of the cells that are missing, with the minutes that they should take."""
    missing = [
        cell
        for cell in cells(METHODS, PER_CLASS, DRAWS)
        if cell.matches(patterns) and folder.read(cell) is None
    ]
    rows = []
    for method in METHODS:
        of_method = [cell for cell in missing if cell.method == method]
        row: dict[str, object] = {"method": method}
        for count in PER_CLASS:
            some = [cell for cell in of_method if cell.per_class == count]
            if some:
                row[str(count)] = f"{len(some)} x {minutes(some[:1]):.1f} min"
        rows.append(row | {"minutes": round(minutes(of_method), 1)})
    total = f"{len(missing)} cells are missing: about {minutes(missing):.0f} minutes on two cores."
    return f"{table(rows, ['method', *map(str, PER_CLASS), 'minutes'])}\n\n{total}"


def minutes(some: Iterable[Cell]) -> float:
    """Return how long cells take, by what was measured before."""
    seconds = 0.0
    for cell in some:
        n_train = N_ALL if cell.count is None else cell.count * N_CLASSES
        method = METHODS[cell.method]
        seconds += method.seconds + method.seconds_each * n_train
    return seconds / 60


if __name__ == "__main__":
    raise SystemExit(main())
