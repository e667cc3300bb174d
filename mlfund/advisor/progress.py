"""Progress of a long run, told to whoever asked for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic


@dataclass(frozen=True)
class ProgressEvent:
    """Where the run stands.

    Attributes
    ----------
    done, total : int
        Steps finished, and steps in all (a step is one fold of one candidate, mostly).
    what : str
        What runs now, for example "xgboost, fold 3 of 5".
    seconds_elapsed : float
        Since the run began.
    seconds_left_estimate : float or None
        From the pace so far, never more than what the time budget leaves; None at the start.
    """

    done: int
    total: int
    what: str
    seconds_elapsed: float
    seconds_left_estimate: float | None


class Progress:
    """Counts steps and reports each as a `ProgressEvent`.

    Parameters
    ----------
    total : int
        Number of steps to come.
    report : callable or None
        Receives the events.
    start, deadline : float
        Of the run, on the clock of `time.monotonic`; the deadline may be infinite.
    """

    def __init__(
        self,
        total: int,
        report: Callable[[ProgressEvent], object] | None,
        start: float,
        deadline: float = float("inf"),
    ) -> None:
        self.total = total
        self.done = 0
        self._report = report
        self._start = start
        self._deadline = deadline

    def step(self, count: int = 1) -> None:
        """Note that `count` more steps are finished, or were left out."""
        self.done = min(self.done + count, self.total)

    def now(self, what: str) -> None:
        """Report what runs now."""
        if self._report is None:
            return
        elapsed = monotonic() - self._start
        left = None
        if self.done:
            pace = elapsed / self.done * (self.total - self.done)
            left = max(0.0, min(pace, self._deadline - self._start - elapsed))
        self._report(ProgressEvent(self.done, self.total, what, elapsed, left))
