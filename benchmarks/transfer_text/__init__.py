"""Claim: on few texts a pretrained backbone beats TF-IDF + logistic regression.

`TextTransferClassifier` by strategy, with its default backbone and settings, against
scikit-learn's TF-IDF + logistic regression: 8, 64 and 512 rows a class and all of them, five
draws each, on sentences of film reviews (SST-2), questions (TREC) and short messages (SMS spam).

Accuracy is that on test rows which nobody saw. Seconds are those of `fit` without any cache:
reading, tokens, embeddings, choice of the penalty. The settings of TF-IDF were chosen on the
validation rows of SST-2: words of any length, pairs of words, logarithms of counts, C=10. The
backbone's are the defaults, which read the upper three of its six layers;
"feature_extraction_last_layer" reads the last one alone.

``python -m benchmarks.transfer_text --cells 'sst2-*-64-*'`` runs some cells and keeps each in a
file, so that a run that was stopped goes on; with ``--collect`` what is there is stored as the
result; ``python -m benchmarks.run transfer_text`` also runs what is missing, for hours.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks._harness import stored_rows, table
from benchmarks.transfer_text.cells import (
    ALL,
    DATA,
    DRAWS,
    SIZES,
    STRATEGIES,
    TFIDF,
    Cell,
    all_cells,
    drawn,
    load,
)
from mlfund._files import atomic_write
from mlfund._measure import machine

# Working files, one a cell; what is to be kept goes into the record of the benchmark.
FOLDER = Path("build") / "benchmarks" / "transfer_text"
QUICK_TEST_ROWS = 40


def run(
    quick: bool = False,
    patterns: Sequence[str] = ("*",),
    folder: Path = FOLDER,
    device: str | None = None,
    cached: bool = False,
    tell: Callable[[str], None] = lambda line: None,
    collect: bool = False,
) -> dict[str, Any]:
    """Return the outcome of all cells that match a pattern; those that have a file are read.

    With `cached`, fits take embeddings from the cache, and are not timed; with `collect` nothing
    is fitted, and cells without a file are left out.
    """
    if quick:
        quick_cells = [Cell("sst2", strategy, 8, 0) for strategy in (TFIDF, "feature_extraction")]
        return {"repeats": 1, "cells": [measure(cell, quick=True) for cell in quick_cells]}
    cells = [c for c in all_cells() if any(fnmatch(c.name, pattern) for pattern in patterns)]
    known = _known(cells, folder)
    for cell in cells:
        if cell.name not in known and not collect:
            known[cell.name] = outcome = measure(cell, device=device, cached=cached)
            _keep(cell, folder, outcome)
            tell(f"{cell.name:44}{outcome['accuracy']:.4f}  {outcome['seconds']} s")
    return {"repeats": DRAWS, "cells": [known[cell.name] for cell in cells if cell.name in known]}


def _known(cells: Iterable[Cell], folder: Path) -> dict[str, dict[str, Any]]:
    """Return what files say of cells, or else the stored result of an earlier run."""
    names = {cell.name for cell in cells}
    stored = {Cell.of(row).name: row for row in stored_rows("transfer_text", "cells")}
    filed = {
        file.stem: json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("*.json")
    }
    return {name: outcome for name, outcome in (stored | filed).items() if name in names}


def _keep(cell: Cell, folder: Path, outcome: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / f"{cell.name}.json", "w") as file:
        file.write(json.dumps(outcome))


def measure(
    cell: Cell, *, device: str | None = None, cached: bool = False, quick: bool = False
) -> dict[str, Any]:
    """Fit one cell; return its accuracy on the test rows and the seconds of its fit."""
    texts = load(cell.data)
    rows = drawn(texts, cell.size, cell.draw)
    model = cell.model(device, cache=None if cached else False)
    on = machine()
    start = perf_counter()
    model.fit([texts.train[i] for i in rows], texts.y_train[rows])
    seconds = perf_counter() - start
    if cell.strategy != TFIDF and not quick:
        # Scores are not timed: test rows, the same for all draws, are embedded once.
        model.set_params(cache=None)
    test = slice(QUICK_TEST_ROWS if quick else None)
    accuracy = float(model.score(texts.test[test], texts.y_test[test]))
    return {
        **cell.as_dict(),
        "n_rows": len(rows),
        "accuracy": accuracy,
        "seconds": None if cached and cell.strategy != TFIDF else seconds,
        "followed": getattr(model, "strategy_", None),
        "device": device or "cpu",
        "cpu": on["cpu"],
        "load_average": on["load_average"],
    }


def report(result: dict[str, Any]) -> str:
    """Return a table for each data set: mean accuracy and seconds by strategy and rows."""
    parts = []
    for data, title in DATA.items():
        cells = [cell for cell in result["cells"] if cell["data"] == data]
        if cells:
            parts.append(f"{title}\n\n{_table(cells)}")
    return "\n\n".join(parts)


def _table(cells: list[dict[str, Any]]) -> str:
    lines = []
    for strategy in (TFIDF, *STRATEGIES):
        own = [cell for cell in cells if cell["strategy"] == strategy]
        if own:
            line = {"strategy": strategy}
            for size in SIZES:
                line[_heading(size)] = _entry(cell for cell in own if cell["size"] == size)
            lines.append(line)
    return table(lines)


def _heading(size: int | str) -> str:
    return "all rows" if size == ALL else f"{size} a class"


def _entry(cells: Iterable[dict[str, Any]]) -> str:
    """Return mean accuracy, its standard deviation over draws, and median seconds."""
    cells = list(cells)
    if not cells:
        return ""
    accuracies = [100 * cell["accuracy"] for cell in cells]
    spread = f" ± {statistics.stdev(accuracies):.1f}" if len(cells) > 1 else ""
    seconds = [cell["seconds"] for cell in cells if cell["seconds"] is not None]
    timed = f", {statistics.median(seconds):.3g} s" if seconds else ""
    return f"{statistics.fmean(accuracies):.1f}{spread}{timed}"
