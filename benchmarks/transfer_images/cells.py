"""Cells of the benchmark: measured one by one, each stored when it ends."""

from __future__ import annotations

import fnmatch
import json
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks.transfer_images.flowers import Flowers
from benchmarks.transfer_images.methods import Method
from mlfund._files import atomic_write
from mlfund._measure import machine

ALL = "all"


class Cell(NamedTuple):
    """One fit: a method, training photographs of each class, a draw of them."""

    method: str
    per_class: int | str
    draw: int

    def __str__(self) -> str:
        """Return its name, as patterns match it."""
        return f"{self.method}/{self.per_class}/{self.draw}"

    def matches(self, patterns: Iterable[str]) -> bool:
        """Whether one of some patterns of the shell matches its name."""
        return any(fnmatch.fnmatchcase(str(self), pattern) for pattern in patterns)

    @property
    def count(self) -> int | None:
        """Training photographs of each class; None is all."""
        return None if isinstance(self.per_class, str) else self.per_class


def cells(methods: Mapping[str, Method], per_class: Sequence[int | str], draws: int) -> list[Cell]:
    """Return all cells, those of few photographs first.

    All photographs are the same ones in each draw; a method that takes an hour for them is run
    once, as only its seed would be another.
    """
    return [
        Cell(name, count, draw)
        for count in per_class
        for draw in range(draws)
        for name, method in methods.items()
        if draw == 0 or count != ALL or not method.is_slow
    ]


@dataclass(frozen=True)
class Folder:
    """A file for each cell, and the embeddings that cells share.

    Attributes
    ----------
    path : Path
    methods : mapping of str to Method
    recorded : mapping of str to dict
        Cells by name that an earlier run measured, perhaps on another machine; files go first.
    """

    path: Path
    methods: Mapping[str, Method]
    recorded: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def read(self, cell: Cell) -> dict[str, Any] | None:
        """Return what is stored of a cell; None where its settings were others."""
        file = self._file(cell)
        found: dict[str, Any] | None = self.recorded.get(str(cell))
        if file.is_file():
            found = json.loads(file.read_text(encoding="utf-8"))
        return found if found and found["settings"] == self.settings(cell) else None

    def write(self, cell: Cell, found: Mapping[str, Any]) -> None:
        """Store a cell, completely or not at all."""
        file = self._file(cell)
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file, "w") as opened:
            opened.write(json.dumps(found, indent=2) + "\n")

    def settings(self, cell: Cell) -> dict[str, str]:
        """Return the parameters of a cell's estimator, without those that change no result."""
        model = self.methods[cell.method].make(cell.draw, None)
        ignored = ("device", "cache", "n_jobs", "verbose")
        return {k: repr(v) for k, v in sorted(model.get_params().items()) if k not in ignored}

    @property
    def cache(self) -> Path:
        """Folder of the embeddings of test photographs, and of draws after the first."""
        return self.path / "embeddings"

    def _file(self, cell: Cell) -> Path:
        return self.path / f"{str(cell).replace('/', '__').replace(' ', '_')}.json"


def measure(cell: Cell, flowers: Flowers, folder: Folder, device: str | None) -> dict[str, Any]:
    """Fit and score once.

    Embeddings of training photographs are computed within the seconds of `fit`, by an empty
    cache; those of test photographs, which are scored many times, come from a common one.
    """
    method = folder.methods[cell.method]
    model = method.make(cell.draw, device)
    rows = flowers.drawn(cell.count, cell.draw)
    X, X_test = _inputs(method, flowers, rows)
    with tempfile.TemporaryDirectory() as empty, warnings.catch_warnings():
        # Numbers of epochs are settings.
        warnings.simplefilter("ignore", ConvergenceWarning)
        _set_cache(model, empty)
        start = perf_counter()
        model.fit(X, flowers.y[rows])
        fitted = perf_counter()
        _set_cache(model, folder.cache)
        accuracy = float(model.score(X_test, flowers.y_test))
    return {
        "accuracy": accuracy,
        "fit_seconds": fitted - start,
        "score_seconds": perf_counter() - fitted,
        "n_train": len(rows),
        "strategy": getattr(model, "strategy_", None),
        "settings": folder.settings(cell),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
    }


def _inputs(method: Method, flowers: Flowers, rows: np.ndarray) -> tuple[Any, Any]:
    """Return training and test photographs in the form that a method takes."""
    if method.side is None:
        return [flowers.X[row] for row in rows], flowers.X_test
    train, test = flowers.pixels(method.side)
    train = train[rows]
    if not method.flat:
        return train, test
    return tuple(part.reshape(len(part), -1).astype(np.float32) / 255 for part in (train, test))


def _set_cache(model: Any, folder: str | Path) -> None:
    if "cache" in model.get_params():
        model.set_params(cache=str(folder))
