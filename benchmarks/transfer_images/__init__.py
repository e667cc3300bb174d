"""Claim: from 20 photographs a class on, a pretrained backbone beats all training from scratch.

Five kinds of flower, 128 x 128 pixels, 736 test photographs. Test accuracy of every strategy of
`ImageTransferClassifier` with its default backbone, and of a CNN, an MLP and XGBoost that start
from nothing, for 5, 20 and 100 training photographs a class and for all 2,934: five draws of the
photographs, the same ones for all methods. No setting was chosen on the test photographs.

A whole run takes hours on two cores, so it is made of cells, METHOD/PHOTOGRAPHS/DRAW, each stored
when it ends and never measured twice with the same settings:

    python -m benchmarks.transfer_images --list                    # cells, and how long they take
    python -m benchmarks.transfer_images --cells 'feature_extraction/*' 'full/20/[01]'
    python -m benchmarks.transfer_images --collect                 # results/transfer_images.json
    python -m benchmarks.transfer_images.picture                   # docs/assets/transfer_images.png
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks._harness import stored_rows, table
from benchmarks.transfer_images.cells import ALL, Cell, Folder, cells, measure
from benchmarks.transfer_images.flowers import load
from benchmarks.transfer_images.methods import METHODS, QUICK

PER_CLASS = (5, 20, 100, ALL)
DRAWS = 5
FOLDER = Path(__file__).parents[2] / "build" / "transfer_images"


def run(
    quick: bool = False,
    wanted: Sequence[str] = ("*",),
    folder: Path = FOLDER,
    device: str | None = None,
) -> dict[str, Any]:
    """Measure the cells that match a pattern and are not stored yet; return all that are stored."""
    if quick:
        with tempfile.TemporaryDirectory() as temporary:
            return _run(cells(QUICK, (7,), 1), Folder(Path(temporary), QUICK), None, quick=True)
    all_cells = cells(METHODS, PER_CLASS, DRAWS)
    chosen = [cell for cell in all_cells if cell.matches(wanted)]
    return _run(chosen, folder_of_cells(folder), device, stored=all_cells)


def folder_of_cells(path: Path) -> Folder:
    """Return a folder of working files that goes on from the stored result."""
    rows = stored_rows("transfer_images", "rows")
    return Folder(
        path, METHODS, {str(Cell(*(row[key] for key in Cell._fields))): row for row in rows}
    )


def _run(
    chosen: Iterable[Cell],
    folder: Folder,
    device: str | None,
    *,
    stored: Iterable[Cell] | None = None,
    quick: bool = False,
) -> dict[str, Any]:
    chosen = list(chosen)
    missing = [cell for cell in chosen if folder.read(cell) is None]
    flowers = load(n_test=10 if quick else None) if missing else None
    for place, cell in enumerate(missing, 1):
        found = measure(cell, flowers, folder, device)
        folder.write(cell, found)
        print(
            f"{place} of {len(missing)}: {cell} {100 * found['accuracy']:.1f} %, "
            f"{found['fit_seconds']:.0f} s",
            flush=True,
        )
    return collect(stored or chosen, folder)


def collect(wanted: Iterable[Cell], folder: Folder) -> dict[str, Any]:
    """Return what is stored of some cells."""
    found = [(cell, folder.read(cell)) for cell in wanted]
    rows = [{**cell._asdict(), **result} for cell, result in found if result is not None]
    return {"repeats": len({row["draw"] for row in rows}), "rows": rows}


def report(result: dict[str, Any]) -> str:
    """Format mean accuracies and their spread over the draws, and the seconds of `fit`."""
    rows = result["rows"]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    counts = list(dict.fromkeys(str(row["per_class"]) for row in rows))
    accuracies, seconds = [], []
    for method in methods:
        of_method = {"method": method}, {"method": method}
        for count in counts:
            some = [r for r in rows if (r["method"], str(r["per_class"])) == (method, count)]
            if some:
                of_method[0][count] = _spread([100 * one["accuracy"] for one in some])
                of_method[1][count] = _median([one["fit_seconds"] for one in some])
        accuracies.append(of_method[0])
        seconds.append(of_method[1])
    columns = ["method", *counts]
    return "\n\n".join(
        [
            "Test accuracy in percent by training photographs of each class: mean of the draws "
            "(lowest to highest).",
            table(accuracies, columns),
            "Seconds of `fit`, median of the draws; embeddings computed, not found in a cache.",
            table(seconds, columns),
        ]
    )


def _spread(values: Sequence[float]) -> str:
    mean = statistics.fmean(values)
    return (
        f"{mean:.1f} ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else f"{mean:.1f}"
    )


def _median(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.3g}"
