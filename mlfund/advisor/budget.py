"""The time a run may take."""

from __future__ import annotations

from time import monotonic

from mlfund._check import check_positive


class Budget:
    """Seconds a run may take, and how many of them are kept back for its last step.

    Parameters
    ----------
    seconds : float or None
        None means without limit.

    Attributes
    ----------
    start : float
        When the run began, on the clock of `time.monotonic`.
    reserved_seconds : float
        Kept back for the fit of the recommended model on all rows.
    """

    def __init__(self, seconds: float | None) -> None:
        if seconds is not None:
            check_positive("time_budget_seconds", seconds)
        self.seconds = seconds
        self.start = monotonic()
        self.reserved_seconds = 0.0

    @property
    def end(self) -> float:
        """When the time is up; infinite without a limit."""
        return self.start + (float("inf") if self.seconds is None else self.seconds)

    @property
    def deadline(self) -> float:
        """When candidates have to stop."""
        return self.end - self.reserved_seconds

    @property
    def left(self) -> float:
        """Seconds until the deadline, negative after it."""
        return self.deadline - monotonic()

    def to_dict(self) -> dict[str, float | None]:
        """Return requested and used seconds."""
        return {"requested_seconds": self.seconds, "used_seconds": monotonic() - self.start}


class Unlimited(Budget):
    """A budget for what must run in any case."""

    def __init__(self) -> None:
        super().__init__(None)
