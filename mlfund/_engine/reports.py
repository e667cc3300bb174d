"""Callbacks that tell of a training and change nothing in it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from skorch.callbacks import Callback

from mlfund._engine.net import Engine, StopTraining


class Report(Callback):
    """A callback with no part in the training: checkpoints and fingerprints pass it over."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take nothing."""


class TellEpoch(Report):
    """Calls a function after every epoch, which may ask to stop.

    Parameters
    ----------
    tell : callable
        ``tell(net) -> bool``; true ends the training.
    """

    def __init__(self, tell: Callable[[Engine], bool]) -> None:
        self.tell = tell

    def on_epoch_end(self, net: Engine, *args: Any, **kwargs: Any) -> None:
        """Tell of the epoch."""
        if self.tell(net):
            raise StopTraining("A callback asked to stop.")


class ProgressTable(Report):
    """Print a line an epoch with what a person waits for: the scores and the time left.

    A new best value is marked by a star. The time left is that of all epochs that may
    still come, at the pace of the last ones; stopping early makes it shorter.
    """

    # Weight of the latest epoch in the mean time of an epoch.
    LATEST = 0.2

    def __init__(self) -> None:
        self._seconds: float | None = None
        self._began = 0.0
        self._best: dict[str, float] = {}

    def on_epoch_begin(self, net: Engine, *args: Any, **kwargs: Any) -> None:
        """Take the time."""
        self._began = time.perf_counter()

    def on_epoch_end(self, net: Engine, *args: Any, **kwargs: Any) -> None:
        """Print the line."""
        seconds = time.perf_counter() - self._began
        before = seconds if self._seconds is None else self._seconds
        self._seconds = before + self.LATEST * (seconds - before)
        row, width = net.history[-1], len(str(net.max_epochs))
        parts = [f"Iteration {row['epoch']:{width}d}/{net.max_epochs}"]
        parts.append(self._value("loss", row["train_loss"], sign=-1))
        if "valid_loss" in row:
            parts.append(self._value("validation loss", row["valid_loss"], sign=-1))
        if "valid_score" in row:
            parts.append(self._value("score", row["valid_score"], sign=1))
        parts.append(f"lr {net.present_lr:.3g}")
        left = self._seconds * (net.max_epochs - row["epoch"])
        parts.append(f"{seconds:.2g} s" + (f", at most {_words(left)} left" if left else ""))
        sys.stdout.write("  ".join(parts) + "\n")
        sys.stdout.flush()

    def _value(self, name: str, value: float, sign: int) -> str:
        better = sign * value > self._best.get(name, float("-inf"))
        if better:
            self._best[name] = sign * value
        return f"{name} {value:.5f}{'*' if better else ' '}"


def _words(seconds: float) -> str:
    """Return a duration as a person says it."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
