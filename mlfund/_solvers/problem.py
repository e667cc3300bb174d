"""Design, loss and penalties together; points that remember their margins."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass
class Point:
    """Weights with all that was computed at them.

    Attributes
    ----------
    V : ndarray of shape (k, p)
    Z, P : ndarray of shape (k, n)
        Margins and probabilities.
    G : ndarray of shape (k, p)
        Gradient of the smooth part of the objective.
    loss : float or None
        The mean loss, where it came with the gradient.
    """

    V: NDArray
    Z: NDArray
    P: NDArray
    G: NDArray
    loss: float | None = None


class Problem:
    """Minimise mean loss + 1/2 sum_j l2_j v_j^2 + sum_j l1_j |v_j| over V (k, p).

    Parameters
    ----------
    design : Design
    loss : BinaryLoss or MultinomialLoss
    l2, l1 : ndarray of shape (p,)
        Penalties of the standardised coordinates, zero where none.
    """

    def __init__(self, design, loss, l2: NDArray, l1: NDArray | None = None):
        self.design = design
        self.loss = loss
        self.l2 = l2
        self.l1 = np.zeros_like(l2) if l1 is None else l1
        self._has_l1 = bool(self.l1.any())
        self.shape = (loss.k, design.p)
        # Whether a new point reads X once, margins and gradient block by block.
        self.fused = getattr(design, "fused", False) and hasattr(loss, "blocks")

    def astype(self, dtype) -> Problem:
        """Return the same problem, in the same coordinates, with products in another dtype."""
        return Problem(self.design.astype(dtype), self.loss.astype(dtype), self.l2, self.l1)

    def point(self, V: NDArray, Z: NDArray | None = None, P: NDArray | None = None) -> Point:
        """Return the point at V; margins and probabilities are computed unless given."""
        if Z is None and V.any() and self.fused:
            Z, P, G, loss = self.design.evaluate(V, self.loss)
            G += self.l2 * V
            return Point(V, Z, P, G, loss)
        if Z is None:
            Z = self.design.margins(V) if V.any() else self.loss.start_margins()
        if P is None:
            P = self.loss.probabilities(Z)
        G = self.design.pull_back(self.loss.residual(P))
        G += self.l2 * V
        return Point(V, Z, P, G)

    def value_at(self, point: Point) -> float:
        """Return the objective at a point, penalties included."""
        if point.loss is None:
            return self.value(point.V, point.Z)
        return point.loss + self._penalty(point.V)

    def value(self, V: NDArray, Z: NDArray) -> float:
        """Return the objective, penalties included."""
        return self.loss.value(Z) + self._penalty(V)

    def _penalty(self, V: NDArray) -> float:
        penalty = 0.5 * float(np.vdot(self.l2 * V, V))
        if self._has_l1:
            penalty += float(np.sum(self.l1 * np.abs(V)))
        return penalty

    def hessian_product(self, point: Point, D: NDArray) -> NDArray:
        """Return the Hessian of the smooth part at `point` times D (k, p); two passes."""
        Zp = self.design.margins(D)
        product = self.design.pull_back(self.loss.curvature_product(point.P, Zp))
        product += self.l2 * D
        return product
