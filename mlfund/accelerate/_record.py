"""What an acceleration did: which fits ran on mlfund, which on scikit-learn, and why."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

MLFUND, SKLEARN = "mlfund", "scikit-learn"
_FILES = "Saved files: pickle and joblib write estimators of scikit-learn, mlfund is not needed."


@dataclass
class Fits:
    """Fits of one name.

    Attributes
    ----------
    calls : Counter of str
        By who fitted, `MLFUND` or `SKLEARN`.
    seconds : dict of str to float
        The same for the seconds, which include those of fits inside of these.
    reasons : Counter of str
        Why scikit-learn's own ran.
    one_by_one : Counter of str
        Why candidates of a search by mlfund were not trained together.
    """

    calls: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: {MLFUND: 0.0, SKLEARN: 0.0})
    reasons: Counter[str] = field(default_factory=Counter)
    one_by_one: Counter[str] = field(default_factory=Counter)


class Record:
    """Counts and times of fits, kept from `install` to `uninstall`.

    Parameters
    ----------
    quiet : bool, default=False
        Whether nothing is written to standard error.

    Attributes
    ----------
    fits : dict of str to Fits
        By the replaced name.
    notes : list of str
        What was noted beside fits, each once, in order.
    total_seconds : float
        Seconds spent in all fits, those inside of others counted once.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.fits: dict[str, Fits] = {}
        self.notes: list[str] = []
        self.total_seconds = 0.0
        self._said: set[str] = set()
        self._lock = threading.Lock()
        self._nesting = threading.local()

    def note(self, note: str) -> None:
        """Keep a sentence for the report, and say it once."""
        if self._say(note):
            self.notes.append(note)

    def leave_to_sklearn(self, name: str, reason: str) -> None:
        """Count a fit that scikit-learn's own class does, and say so once."""
        with self._lock:
            self._fits_of(name).reasons[reason] += 1
        self._say(f"{name}: scikit-learn's own runs, because {reason}.")

    def count_one_by_one(self, name: str, reasons: Mapping[str, int]) -> None:
        """Count candidates that a search by mlfund did not train together."""
        with self._lock:
            self._fits_of(name).one_by_one.update(reasons)

    @contextmanager
    def timed(self, name: str, by: str) -> Iterator[None]:
        """Count and time a fit, unless it raises."""
        depth = getattr(self._nesting, "depth", 0)
        self._nesting.depth = depth + 1
        start = perf_counter()
        try:
            yield
        finally:
            self._nesting.depth = depth
        seconds = perf_counter() - start
        with self._lock:
            fits = self._fits_of(name)
            fits.calls[by] += 1
            fits.seconds[by] += seconds
            if depth == 0:
                self.total_seconds += seconds

    def table(self) -> str:
        """Return counts, seconds, reasons and notes as text."""
        lines = [f"{'fits of':22}{'by mlfund':>18}{'by scikit-learn':>20}"]
        lines += [_row(name, fits) for name, fits in sorted(self.fits.items())]
        if not self.fits:
            lines.append("none: no replaced estimator was fitted in this process")
        lines.append(f"{self.total_seconds:.2f} s in all; those of a search include its fits.")
        for name, fits in sorted(self.fits.items()):
            lines += [
                f"{name}: scikit-learn's own ran {_times(n)}, because {why}."
                for why, n in fits.reasons.most_common()
            ]
            lines += [
                f"{name}: {n} candidates were fitted one by one, because {why}."
                for why, n in fits.one_by_one.most_common()
            ]
        return "\n".join([*lines, *self.notes, _FILES])

    def _fits_of(self, name: str) -> Fits:
        return self.fits.setdefault(name, Fits())

    def _say(self, sentence: str) -> bool:
        """Write a sentence to standard error, if it is new; return whether it is."""
        with self._lock:
            if sentence in self._said:
                return False
            self._said.add(sentence)
        if not self.quiet:
            sys.stderr.write(f"mlfund.accelerate: {sentence}\n")
        return True


def _row(name: str, fits: Fits) -> str:
    cells = [f"{fits.calls[by]} in {fits.seconds[by]:.2f} s" for by in (MLFUND, SKLEARN)]
    return f"{name:22}{cells[0]:>18}{cells[1]:>20}"


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


_active: Record | None = None


def active() -> Record | None:
    """Return the record of the present acceleration, None without one."""
    return _active


def activate(record: Record | None) -> None:
    """Begin an acceleration, or with None end it."""
    global _active
    _active = record
