"""What a regression minimises, and targets in units in which tolerances mean the same."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class RegressionTask:
    """A loss and its penalties, in the units of the data.

    Attributes
    ----------
    loss : {"squared_error", "kinked", "huber", "poisson"}
        "kinked" has the slope `low` below and `high` above zero in (prediction - target).
    l2, l1 : float
        0.5 * l2 * |w|^2 + l1 * |w|_1, beside the mean loss.
    low, high : float
        Of "kinked"; of "huber" -delta and delta.
    """

    loss: str
    l2: float
    l1: float
    low: float = -1.0
    high: float = 1.0

    def location(self, y: NDArray, weights) -> float:
        """Return the constant that fits the targets best, or nearly."""
        if self.loss in ("squared_error", "poisson"):
            return _mean(y, weights)
        level = -self.low / (self.high - self.low)
        return _quantile(y, weights, level)

    def spread(self, deviation: NDArray, weights) -> float:
        """Return the size of the deviations from that constant, 1 if all are zero."""
        size = np.abs(deviation)
        if self.loss == "squared_error":
            return float(np.sqrt(_mean(size**2, weights))) or 1.0
        return _quantile(size, weights, 0.5) or _mean(size, weights) or 1.0

    def scaled(self, spread: float) -> tuple[RegressionTask, float]:
        """Return the same task for targets divided by `spread`, and the objective's factor."""
        if self.loss in ("kinked", "poisson"):
            l2 = self.l2 * spread if self.loss == "kinked" else self.l2 / spread
            l1 = self.l1 if self.loss == "kinked" else self.l1 / spread
            return dataclasses.replace(self, l2=l2, l1=l1), spread
        scaled = dataclasses.replace(
            self, l1=self.l1 / spread, low=self.low / spread, high=self.high / spread
        )
        with np.errstate(over="ignore"):
            return scaled, float(np.square(spread))


@dataclasses.dataclass(frozen=True)
class Units:
    """Targets as spread * scaled + centre, and the objective as factor * scaled objective."""

    centre: NDArray
    spread: NDArray
    factor: NDArray
    offset: float = 0.0

    def outward(self, W: NDArray, b: NDArray) -> tuple[NDArray, NDArray]:
        """Return weights and intercepts in the units of the data."""
        return W * self.spread[:, None], b * self.spread + self.centre

    def inward(self, W: NDArray, b: NDArray) -> tuple[NDArray, NDArray]:
        """Return weights and intercepts in the units of the scaled targets."""
        return W / self.spread[:, None], (b - self.centre) / self.spread


def scale_targets(y: NDArray, task: RegressionTask, weights, intercept: bool):
    """Return scaled targets, the task for them (that of the last one) and their units.

    Parameters
    ----------
    y : ndarray of shape (k, n)
        Several targets only for the losses that are scaled alike; "poisson" takes one.
    task : RegressionTask
    weights : float or ndarray of shape (n,)
    intercept : bool

    Returns
    -------
    scaled : ndarray of shape (k, n)
    inner : RegressionTask
    units : Units
    """
    k = len(y)
    centre, spread, factor, scaled = np.zeros(k), np.ones(k), np.ones(k), np.empty_like(y)
    if task.loss == "poisson":
        mean = _mean(y[0], weights)
        inner, factor[0] = task.scaled(mean)
        rate = float(np.log(mean))
        # Without an intercept the margins stay what they are, and an offset joins them.
        units = Units(np.array([rate if intercept else 0.0]), spread, factor, 0.0)
        offset = 0.0 if intercept else -rate
        return y / mean, inner, dataclasses.replace(units, offset=offset)
    for j, target in enumerate(y):
        unit = float(np.abs(target).max()) or 1.0
        shrunk = target / unit
        location = task.location(shrunk, weights) if intercept else 0.0
        relative = task.spread(shrunk - location, weights)
        scaled[j] = (shrunk - location) / relative
        centre[j], spread[j] = location * unit, relative * unit
        inner, factor[j] = task.scaled(spread[j])
    return scaled, inner, Units(centre, spread, factor)


def _mean(values: NDArray, weights) -> float:
    if isinstance(weights, np.ndarray):
        return float(values @ weights)
    return float(values.mean())


def _quantile(values: NDArray, weights, level: float) -> float:
    """Return a value that this share of the weight does not exceed."""
    if not isinstance(weights, np.ndarray):
        index = min(int(level * len(values)), len(values) - 1)
        return float(np.partition(values, index)[index])
    order = np.argsort(values)
    index = np.searchsorted(np.cumsum(weights[order]), level * weights.sum())
    return float(values[order[min(index, len(values) - 1)]])
