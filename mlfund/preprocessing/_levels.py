"""The levels of category columns: which ones are kept, and the code of each."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlfund.preprocessing._cells import Labels


@dataclass(frozen=True)
class Chosen:
    """The levels of one column that are kept, and what falls beside them in the fit rows."""

    kept: list[str]
    has_rare: bool
    has_missing: bool

    @property
    def n_values(self) -> int:
        """Different values the column takes once rare levels are one."""
        return len(self.kept) + self.has_rare + self.has_missing


def choose_levels(labels: Labels, max_categories: int | None, min_count: int) -> Chosen:
    """Keep the levels that occur `min_count` times, of these at most the most frequent ones.

    With `max_categories`, one of the places goes to the rare levels together when there are any.
    """
    counts = np.bincount(labels.codes[labels.codes >= 0], minlength=len(labels.levels))
    order = np.arange(len(counts)) if labels.ordered else _natural_order(labels.levels)
    frequent = order[counts[order] >= min_count]
    if max_categories is not None and len(frequent) + (len(frequent) < len(counts)) > (
        max_categories
    ):
        # A stable sort breaks ties by the order of the levels, so the choice is unique.
        by_count = np.argsort(-counts[frequent], kind="stable")
        frequent = frequent[np.sort(by_count[: max_categories - 1])]
    kept = [labels.levels[i] for i in frequent]
    return Chosen(kept, len(kept) < len(counts), bool((labels.codes < 0).any()))


def _natural_order(levels: Sequence[str]) -> np.ndarray:
    """Sort levels as numbers where all are numbers ("9" before "10"), else as text."""
    keys: Sequence[Any] = levels
    with contextlib.suppress(ValueError):
        numbers = [float(level) for level in levels]
        if not np.isnan(numbers).any():  # NaN has no place in an order
            keys = list(zip(numbers, levels, strict=True))
    return np.array(sorted(range(len(levels)), key=keys.__getitem__), dtype=np.intp)


class LevelTable:
    """The kept levels of several columns, with codes 0 .. k-1 in each.

    Code k stands for every other level (rare in fit, or never seen), code k + 1 for a missing
    value. The names are held as one UTF-8 buffer, which saves compactly and loads safely; the
    dictionaries for looking up are rebuilt when needed.

    Attributes
    ----------
    sizes : ndarray of shape (n_columns,)
        Number of kept levels of each column.
    """

    def __init__(self, columns: Sequence[Sequence[str]]):
        names = [name.encode("utf-8", "surrogatepass") for column in columns for name in column]
        self.sizes = np.array([len(column) for column in columns], dtype=np.int64)
        self._ends = np.cumsum([len(name) for name in names], dtype=np.int64)
        self._buffer = np.frombuffer(b"".join(names), dtype=np.uint8).copy()

    @property
    def levels(self) -> list[list[str]]:
        """The kept levels of each column."""
        buffer, starts = self._buffer.tobytes(), np.append(0, self._ends[:-1]).astype(np.int64)
        names = [
            buffer[start:end].decode("utf-8", "surrogatepass")
            for start, end in zip(starts, self._ends, strict=False)
        ]
        bounds = np.append(0, np.cumsum(self.sizes))
        return [names[a:b] for a, b in itertools.pairwise(bounds)]

    @property
    def _index(self) -> list[dict[str, int]]:
        index = self.__dict__.get("_cached_index")
        if index is None:
            index = [{name: i for i, name in enumerate(column)} for column in self.levels]
            self.__dict__["_cached_index"] = index
        return index

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_cached_index"}

    def codes(self, columns: Sequence[Labels]) -> np.ndarray:
        """Return the codes of each row, shape (n, n_columns)."""
        codes = np.empty((len(columns[0].codes), len(columns)), dtype=np.intp)
        for j, (labels, index) in enumerate(zip(columns, self._index, strict=True)):
            other = len(index)
            codes_of = [index.get(level, other) for level in labels.levels]
            # Row code -1 (missing) picks the last entry.
            codes[:, j] = np.array([*codes_of, other + 1], dtype=np.intp)[labels.codes]
        return codes
