"""scikit-learn's rules for a loss or a score that does not improve, as plain numbers."""

from __future__ import annotations

from typing import NamedTuple

# scikit-learn's learning_rate="adaptive": divide by 5, and stop below this rate.
ADAPTIVE_FACTOR = 5.0
ADAPTIVE_SMALLEST = 1e-6


class Watched(NamedTuple):
    """Where a watched value stands after an epoch.

    Attributes
    ----------
    best : float
        Best value so far.
    stale : int
        Epochs in a row without an improvement that counts.
    improved : bool
        Whether this epoch's value is the best.
    """

    best: float
    stale: int
    improved: bool


def watch(value: float, best: float, stale: int, *, tol: float, on_score: bool) -> Watched:
    """Return where things stand after an epoch with this loss, or score if `on_score`."""
    # Comparisons are scikit-learn's, so that NaN scores count as it counts them.
    if on_score:
        stale = stale + 1 if value < best + tol else 0
        improved = value > best
        return Watched(value if improved else best, stale, improved)
    stale = stale + 1 if value > best - tol else 0
    return Watched(min(best, value), stale, value < best)


def gave_up(tol: float, patience: float, *, on_score: bool) -> str:
    """Return why a training ended on a plateau."""
    what = "Validation score" if on_score else "Training loss"
    return f"{what} did not improve more than tol={tol:f} for {patience} consecutive epochs."


def lowered(lr: float) -> float | None:
    """Return the next rate of learning_rate="adaptive"; None once it has reached 1e-6."""
    return None if lr <= ADAPTIVE_SMALLEST else lr / ADAPTIVE_FACTOR
