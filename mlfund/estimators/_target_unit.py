"""The unit of real targets: a net is trained on their distance from the mean, in spreads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# A spread of less, as a share of the mean, is what rounding leaves of a constant.
LEAST_SPREAD = 1e-12


@dataclass(frozen=True)
class TargetUnit:
    """Mean and spread of targets, one of each for every target."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def of(cls, y: np.ndarray, weight: np.ndarray | None) -> TargetUnit:
        """Return those of rows with weights; a target that is always the same has scale 1."""
        columns = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        mean = np.average(columns, axis=0, weights=weight)
        scale = np.sqrt(np.average((columns - mean) ** 2, axis=0, weights=weight))
        flat = scale <= LEAST_SPREAD * np.abs(mean)
        return cls(tuple(mean.tolist()), tuple(np.where(flat, 1.0, scale).tolist()))

    def standardised(self, y: np.ndarray) -> np.ndarray:
        """Return targets with mean 0 and spread 1, as float64 of the shape of y."""
        columns = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        return ((columns - np.array(self.mean)) / np.array(self.scale)).reshape(np.shape(y))

    def restored(self, raw: np.ndarray) -> np.ndarray:
        """Return predictions in the unit of the targets, of the shape and dtype of `raw`."""
        columns = raw.reshape(len(raw), -1) * np.array(self.scale) + np.array(self.mean)
        return columns.reshape(raw.shape).astype(raw.dtype)
