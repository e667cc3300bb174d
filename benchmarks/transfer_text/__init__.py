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

from benchmarks._harness import table
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
    if collect:
        cells = [cell for cell in cells if _file(cell, folder).is_file()]
    found = [_stored(cell, folder, tell, device=device, cached=cached) for cell in cells]
    return {"repeats": DRAWS, "cells": found}


def _stored(
    cell: Cell, folder: Path, tell: Callable[[str], None], **options: Any
) -> dict[str, Any]:
    path = _file(cell, folder)
    if path.is_file():
        outcome: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return outcome
    outcome = measure(cell, **options)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "w") as file:
        file.write(json.dumps(outcome))
    tell(f"{cell.name:44}{outcome['accuracy']:.4f}  {outcome['seconds']} s")
    return outcome


def _file(cell: Cell, folder: Path) -> Path:
    return folder / f"{cell.name}.json"


def measure(
    cell: Cell, *, device: str | None = None, cached: bool = False, quick: bool = False
) -> dict[str, Any]:
    """Fit one cell; return its accuracy on the test rows and the seconds of its fit."""
    texts = load(cell.data)
    rows = drawn(texts, cell.size, cell.draw)
    model = cell.model(device, cache=None if cached else False)
    load_average = machine()["load_average"]
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
        "load_average": load_average,
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
