"""How often something happens in a training: every so many epochs, or every so long."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from numbers import Integral
from typing import Any

SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Interval:
    """A number of epochs, or a number of seconds.

    Attributes
    ----------
    epochs : int or None
        Epochs from one time to the next.
    seconds : float or None
        Seconds from one time to the next, where it is not epochs.
    """

    epochs: int | None = None
    seconds: float | None = None


def read_interval(name: str, value: Any) -> Interval:
    """Return the interval that a parameter asks for.

    Parameters
    ----------
    name : str
        The parameter, for the error.
    value : int or str
        Epochs, at least 1, or a duration such as "30s", "5min" or "1.5h".

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> read_interval("checkpoint_every", 10)
    Interval(epochs=10, seconds=None)
    >>> read_interval("checkpoint_every", "5min")
    Interval(epochs=None, seconds=300.0)
    """
    if isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1:
        return Interval(epochs=int(value))
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h)\s*", value)
        if match and float(match[1]) > 0:
            return Interval(seconds=float(match[1]) * SECONDS[match[2]])
    raise ValueError(
        f"{name} must be a number of epochs, at least 1, or a duration above zero such as '30s', "
        f"'5min' or '1h'; got {value!r}."
    )


class Clock:
    """Says at the end of each epoch whether an interval has passed.

    Parameters
    ----------
    interval : Interval
        How often.
    """

    def __init__(self, interval: Interval) -> None:
        self.interval = interval
        self._last = time.monotonic()

    def due(self, n_epochs: int) -> bool:
        """Return whether it is time after so many epochs; if so, the interval begins anew."""
        if self.interval.epochs is not None:
            return n_epochs % self.interval.epochs == 0
        assert self.interval.seconds is not None
        now = time.monotonic()
        if now - self._last < self.interval.seconds:
            return False
        self._last = now
        return True
