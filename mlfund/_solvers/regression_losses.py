"""Regression losses on margins (k, n), with the interface of the logistic losses.

Row weights sum to 1, so that values and gradients are means over the rows. What the
logistic losses call probabilities is here the mean that the margins predict.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray


class RegressionLoss(ABC):
    """A loss of margin and target, each output by itself.

    Parameters
    ----------
    target : ndarray of shape (k, n)
        In the dtype of the products.
    weights : float or ndarray of shape (n,)
        Row weights with sum 1.

    Attributes
    ----------
    curvature_bound : float
        The second derivative of the loss of a row is at most this.
    """

    curvature_bound = 1.0

    def __init__(self, target: NDArray, weights):
        self.target = target
        self.weights = weights
        self.k, self.n = target.shape

    def astype(self, dtype) -> RegressionLoss:
        """Return the same loss in another dtype."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.target = self.target.astype(dtype)
        if isinstance(self.weights, np.ndarray):
            other.weights = self.weights.astype(dtype)
        return other

    def start_margins(self) -> NDArray:
        """Return the margins of zero weights."""
        return np.zeros_like(self.target)

    def probabilities(self, Z: NDArray) -> NDArray:
        """Return the predicted mean, (k, n): the margins themselves."""
        return Z

    def value(self, Z: NDArray) -> float:
        """Return the mean loss, summed over the outputs."""
        return float(np.sum(self._rows(Z) * self.weights, dtype=np.float64))

    def residual(self, P: NDArray) -> NDArray:
        """Return the derivative of the mean loss by the margins, (k, n)."""
        R = self._slopes(P)
        R *= self.weights
        return R

    def curvature(self, P: NDArray) -> NDArray:
        """Return the second derivative by the margins of the first output, (n,)."""
        return self._curvatures(P)[0] * self.weights

    def mean_curvature(self, P: NDArray, rows) -> NDArray:
        """Return the curvature of some rows for a metric, unweighted, mean over outputs."""
        return self._curvatures(P)[:, rows].astype(np.float64).mean(axis=0)

    def along(self, P: NDArray, Zp: NDArray) -> tuple[float, float]:
        """Return first and second derivative along margins Zp."""
        slope = np.vdot(self.residual(P), Zp)
        H = self._curvatures(P) * Zp
        H *= self.weights
        return float(slope), float(np.vdot(H, Zp))

    def curvature_product(self, P: NDArray, Zp: NDArray) -> NDArray:
        """Return the second derivative by the margins times Zp, (k, n)."""
        return self._curvatures(P) * self.weights * Zp

    def separated(self, Z: NDArray) -> bool:
        """No regression loss has its optimum at infinity for the reason that classes have."""
        return False

    @abstractmethod
    def _rows(self, Z: NDArray) -> NDArray:
        """Return the loss of each row and output, (k, n)."""

    @abstractmethod
    def _slopes(self, P: NDArray) -> NDArray:
        """Return the first derivative by the margins, (k, n)."""

    @abstractmethod
    def _curvatures(self, P: NDArray) -> NDArray:
        """Return the second derivative by the margins, (k, n)."""


class SquaredLoss(RegressionLoss):
    """(z - y)^2 / 2."""

    def _rows(self, Z: NDArray) -> NDArray:
        return 0.5 * (Z - self.target) ** 2

    def _slopes(self, P: NDArray) -> NDArray:
        return P - self.target

    def _curvatures(self, P: NDArray) -> NDArray:
        return np.ones_like(P)


class ClippedLoss(RegressionLoss):
    """Squared near zero, linear beyond: Huber's loss and smoothed absolute ones.

    The derivative by the margin is (z - y) / width, clipped to [low, high]. With width 1 and
    bounds -delta, delta it is Huber's; with bounds -q and 1 - q it tends to the pinball loss
    of the quantile q as the width goes to zero (its Moreau envelope).

    Parameters
    ----------
    target, weights
        As for every regression loss.
    low, high : float
        The slopes far from zero, low < 0 < high.
    width : float
        Above 0.
    """

    def __init__(self, target: NDArray, weights, *, low: float, high: float, width: float = 1.0):
        super().__init__(target, weights)
        self.low, self.high, self.width = low, high, width
        self.curvature_bound = 1.0 / width

    def _rows(self, Z: NDArray) -> NDArray:
        slopes = self._slopes(Z)
        return slopes * (Z - self.target - 0.5 * self.width * slopes)

    def _slopes(self, P: NDArray) -> NDArray:
        R = P - self.target
        R /= self.width
        return np.clip(R, self.low, self.high, out=R)

    def _curvatures(self, P: NDArray) -> NDArray:
        R = P - self.target
        inside = (self.low * self.width < R) & (self.high * self.width > R)
        return inside.astype(P.dtype) / P.dtype.type(self.width)

    def mean_curvature(self, P: NDArray, rows) -> NDArray:
        """Return slope over residual: like the curvature, but above zero in the tails too."""
        R = (P[:, rows] - self.target[:, rows]).astype(np.float64) / self.width
        slopes = np.clip(R, self.low, self.high)
        safe = np.where(R == 0, 1.0, R)
        return np.where(R == 0, 1.0, slopes / safe).mean(axis=0) / self.width


class PoissonLoss(RegressionLoss):
    """Half the Poisson deviance of the mean exp(z + offset).

    Parameters
    ----------
    target, weights
        Targets of at least 0.
    offset : float
        Added to every margin: targets divided by s with the offset -log(s) give the same
        problem, the objective divided by s.
    """

    curvature_bound = np.inf

    def __init__(self, target: NDArray, weights, *, offset: float = 0.0):
        super().__init__(target, weights)
        self.offset = offset

    def probabilities(self, Z: NDArray) -> NDArray:
        """Return the predicted mean, (k, n); exp may overflow to inf."""
        P = Z + Z.dtype.type(self.offset)
        return np.exp(P, out=P)

    def _rows(self, Z: NDArray) -> NDArray:
        # y (expm1(g) - g) with g = z - log(y): the textbook form cancels y log(y).
        y, raw = self.target, Z + Z.dtype.type(self.offset)
        positive = y > 0
        gap = raw - np.log(np.where(positive, y, 1.0))
        return np.where(positive, y * (np.expm1(gap) - gap), np.exp(raw))

    def _slopes(self, P: NDArray) -> NDArray:
        return P - self.target

    def _curvatures(self, P: NDArray) -> NDArray:
        return P
