"""A line on the standard output that says where long work stands."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

# Seconds between two lines: on a terminal one line is written again and again, elsewhere
# each is a new one and they come at growing distances.
TERMINAL_SECONDS = 0.2
FIRST_SECONDS = 1.0
GROWTH = 1.3
LAST_SECONDS = 60.0


class ProgressLine:
    """Writes lines when they are due.

    Parameters
    ----------
    verbose : int
        0 writes nothing.

    Attributes
    ----------
    silent : bool
        Whether nothing is ever written.
    """

    def __init__(self, verbose: int) -> None:
        self.silent = verbose < 1
        self._in_place = not self.silent and sys.stdout.isatty()
        self._width = 0
        self._began = time.perf_counter()
        self._interval = TERMINAL_SECONDS if self._in_place else FIRST_SECONDS
        self._next = self._interval

    @property
    def seconds(self) -> float:
        """Time since the work began."""
        return time.perf_counter() - self._began

    def tell(self, line: Callable[[], str]) -> None:
        """Write a line if one is due."""
        seconds = self.seconds
        if self.silent or seconds < self._next:
            return
        if not self._in_place:
            self._interval = min(self._interval * GROWTH, LAST_SECONDS)
        self._next = seconds + self._interval
        self._write(line(), last=False)

    def end(self, line: str) -> None:
        """Write the last line."""
        if not self.silent:
            self._write(line, last=True)

    def _write(self, line: str, *, last: bool) -> None:
        if self._in_place:
            # blanks over what a longer line left
            self._width, line = len(line), "\r" + line.ljust(self._width)
        sys.stdout.write(line + ("\n" if last or not self._in_place else ""))
        sys.stdout.flush()
