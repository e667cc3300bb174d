"""Rows of embeddings in memory, found by their keys."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Rows that memory is taken for at first; it doubles when they are full.
FIRST_ROWS = 256


class MemoryRows:
    """Rows in one array of limited size: when it is full, new ones replace the oldest.

    Parameters
    ----------
    max_bytes : int
        What the array may take.

    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._rows = np.empty((0, 0), np.float32)
        # Of the slots in use, which are the first ones.
        self._keys: list[bytes] = []
        self._slot_of: dict[bytes, int] = {}
        # The slot whose row is the oldest, once all are in use.
        self._oldest = 0

    @property
    def n_bytes(self) -> int:
        """Bytes of the array."""
        return self._rows.nbytes

    def get(self, keys: Sequence[bytes]) -> tuple[list[int], np.ndarray]:
        """Return the positions of keys that are here, and copies of their rows."""
        slots = [self._slot_of.get(key, -1) for key in keys]
        found = [position for position, slot in enumerate(slots) if slot >= 0]
        return found, self._rows[[slots[position] for position in found]]

    def put(self, keys: Sequence[bytes], rows: np.ndarray) -> None:
        """Keep as many of the rows as fit; their keys must be new and distinct."""
        capacity = self.max_bytes // max(1, rows[:1].nbytes)
        keys, rows = keys[:capacity], rows[:capacity]
        if not keys:
            return
        used = len(self._keys)
        self._grow(min(capacity, used + len(keys)), capacity, rows.shape[1])
        fresh = min(len(keys), len(self._rows) - used)
        replaced = (self._oldest + np.arange(len(keys) - fresh)) % len(self._rows)
        self._oldest = (self._oldest + len(replaced)) % len(self._rows)
        slots = [*range(used, used + fresh), *replaced.tolist()]
        for slot in replaced:
            del self._slot_of[self._keys[slot]]
        self._keys += [b""] * fresh
        for slot, key in zip(slots, keys, strict=True):
            self._keys[slot] = key
            self._slot_of[key] = slot
        self._rows[slots] = rows

    def _grow(self, needed: int, capacity: int, width: int) -> None:
        if needed <= len(self._rows):
            return
        n_rows = min(capacity, max(needed, 2 * len(self._rows), FIRST_ROWS))
        larger = np.empty((n_rows, width), np.float32)
        if self._keys:
            larger[: len(self._keys)] = self._rows[: len(self._keys)]
        self._rows = larger
