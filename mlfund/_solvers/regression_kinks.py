"""Losses with kinks in rows and weights: values, duality gap, smoothing of a width."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.directions import KEPT_ENTRIES
from mlfund._solvers.regression_system import ColumnSystem, RowSystem, uses_rows

# Rows, in multiples of the columns, that make up for too few inside the width.
JOINED = 2
BLOCK_ROWS = 4096
# Below this part of the rows a change of slopes is summed over these rows alone.
FEW_ROWS = 0.1
# In spreads of the targets: below the first, bounds are no longer relative to the objective;
# a bound below the second is rounding of the residuals.
LEAST_OBJECTIVE, NEGLIGIBLE = 1e-10, 1e-11


@dataclasses.dataclass
class State:
    """Weights v (p,), residuals e = X v - y (n,), and what follows from them at a width.

    Attributes
    ----------
    psi, phi : ndarray of shape (n,) and (p,)
        Slopes of the rows' losses, and of the absolute values of the weights.
    of_rows, g : ndarray of shape (p,)
        Gradient of the smoothed loss, and of the smoothed objective.
    """

    v: NDArray
    e: NDArray
    psi: NDArray
    phi: NDArray
    of_rows: NDArray
    g: NDArray


class KinkedProblem:
    """Minimise sum_i w_i rho(x_i'v - y_i) + 1/2 sum_j l2_j v_j^2 + sum_j l1_j |v_j|.

    rho is the function whose slope is `low` below and `high` above zero, or, with a width,
    `ClippedLoss`.

    Parameters
    ----------
    design : Design
    y : ndarray of shape (n,)
    low, high : float
        low < 0 < high.
    l2, l1 : ndarray of shape (p,)
    """

    def __init__(self, design, y: NDArray, low: float, high: float, l2: NDArray, l1: NDArray):
        self.design, self.y, self.low, self.high, self.l2, self.l1 = design, y, low, high, l2, l1
        self.weights = design.row_weights
        self._kept: NDArray | None = None

    def state(self, v: NDArray, width: float) -> State:
        """Return the state at v; two passes over X."""
        e = self.design.margins(v[None])[0] - self.y
        return self._with_slopes(v, e, width, None)

    def moved(self, old: State, v: NDArray, e: NDArray, width: float) -> State:
        """Return the state at v with residuals e; at most one pass over X."""
        return self._with_slopes(v, e, width, old)

    def _with_slopes(self, v, e, width, old: State | None) -> State:
        psi = np.clip(e / width, self.low, self.high)
        phi = np.clip(v / width, -1.0, 1.0)
        changed = np.flatnonzero(psi != old.psi) if old is not None else None
        if changed is not None and len(changed) < FEW_ROWS * len(psi):
            of_rows = old.of_rows + self._pull_back_rows(changed, (psi - old.psi)[changed])
        else:
            of_rows = self.design.pull_back((psi * self.weights)[None])[0]
        return State(v, e, psi, phi, of_rows, of_rows + self.l2 * v + self.l1 * phi)

    def _pull_back_rows(self, index: NDArray, slopes: NDArray) -> NDArray:
        """Return sum_i w_i slopes_i x_i over some rows, (p,)."""
        total = np.zeros(self.design.p)
        for start in range(0, len(index), BLOCK_ROWS):
            part = slice(start, start + BLOCK_ROWS)
            weighted = slopes[part] * self._weights_of(index[part])
            total += weighted @ self._rows(index[part])
        return total

    def _weights_of(self, index):
        return self.weights[index] if isinstance(self.weights, np.ndarray) else self.weights

    def value(self, e: NDArray, v: NDArray, width: float = 0.0) -> float:
        """Return the objective; that of the loss with kinks when the width is zero."""
        if width:
            psi = np.clip(e / width, self.low, self.high)
            rows = psi * (e - 0.5 * width * psi)
        else:
            rows = np.maximum(self.low * e, self.high * e)
        penalty = 0.5 * self.l2 @ v**2 + self.l1 @ np.abs(v)
        return float(np.sum(rows * self.weights) + penalty)

    def weighted_gram(self, index: NDArray | None, h: NDArray) -> NDArray:
        """Return sum_i w_i h_i x_i x_i' over some rows (all if None), (p, p)."""
        H = np.zeros((self.design.p,) * 2)
        for start in range(0, len(h), BLOCK_ROWS):
            part = slice(start, min(start + BLOCK_ROWS, len(h)))
            chosen = part if index is None else index[part]
            rows = self._rows(chosen) * np.sqrt(h[part] * self._weights_of(chosen))[:, None]
            H += rows.T @ rows
        return H

    def _rows(self, index) -> NDArray:
        """Return standardised rows; small problems keep them all, (len(index), p)."""
        if self.design.n * self.design.p > KEPT_ENTRIES:
            return self.design.rows(index)
        if self._kept is None:
            self._kept = self.design.rows(slice(None))
        return self._kept[index]

    def gap(self, state: State) -> float:
        """Return a bound on how far the objective with kinks is above its minimum.

        The slopes are a feasible point of the dual problem as far as the gradient of the
        smoothed objective is zero; what it is not enters with the size of the weights.
        """
        rows = np.maximum((self.low - state.psi) * state.e, (self.high - state.psi) * state.e)
        of_weights = self.l1 @ (np.abs(state.v) - state.phi * state.v)
        return float(np.sum(rows * self.weights) + of_weights) + self.infeasibility(
            state.g, state.v
        )

    def size(self, value: float) -> float:
        """Return what bounds on the error are relative to: an objective, of at most 1.

        Targets have unit spread. An objective far above it is that of outliers, which a
        bound relative to it would let drown all other rows.
        """
        return min(max(value, LEAST_OBJECTIVE), 1.0)

    def infeasibility(self, g: NDArray, v: NDArray) -> float:
        """Return what a gradient g left over may add to the gap.

        It is the product of g and the distance of v to the optimum, which is taken to be at
        most the size of v and the unit spread of the targets.
        """
        return float(np.abs(g) @ (np.abs(v) + 1.0))

    def same_piece(self, old: State, new: State) -> bool:
        """Whether the smoothed objective is one quadratic function around both states."""
        for a, b, low, high in (
            (old.psi, new.psi, self.low, self.high),
            (old.phi, new.phi, -1.0, 1.0),
        ):
            if np.any((a <= low) != (b <= low)) or np.any((a >= high) != (b >= high)):
                return False
        return True

    def newton(self, state: State, width: float, *, wide: bool) -> NDArray:
        """Return the Newton direction at this width, (p,); `wide` lets more rows join."""
        index, h = self._curved_rows(state, width, wide)
        at_kink = np.abs(state.phi) < 1
        return -self.system(index, h, self.l2 + self.l1 * at_kink / width).solve(state.g)

    def predictor(self, state: State, width: float, next_width: float) -> NDArray:
        """Return the way from the optimum at `width` to that at `next_width`, (p,).

        It is exact as long as the same rows and weights stay inside the width.
        """
        index, h = self._curved_rows(state, next_width, False)
        inside = np.abs(state.phi) < 1
        missing = self._pull_back_rows(index, state.psi[index]) + self.l1 * inside * state.phi
        missing *= width / next_width - 1.0
        return -self.system(index, h, self.l2 + self.l1 * inside / next_width).solve(missing)

    def _curved_rows(self, state: State, width: float, wide: bool):
        """Return the rows inside the width of the state and their curvature at `width`.

        Where they are fewer than the columns and no penalty stands in for them, or when
        asked for, the nearest rows join; their curvature is then the slope over the
        residual, that of a parabola above the loss.
        """
        index = np.flatnonzero((state.psi > self.low) & (state.psi < self.high))
        held = (np.abs(state.phi) < 1) & (self.l1 > 0) | (self.l2 > 0)
        if not wide and len(index) + np.count_nonzero(held) >= self.design.p:
            return index, np.full(len(index), 1.0 / width)
        size = np.abs(state.e)
        least = min(max(int(JOINED * self.design.p), 2 * len(index)), len(size))
        index = np.argpartition(size, least - 1)[:least]
        bound = np.where(state.e[index] > 0, self.high, -self.low)
        return index, bound / np.maximum(size[index], bound * width)

    def system(self, index: NDArray | None, h: NDArray, diagonal: NDArray):
        """Return the system of sum_i w_i h_i x_i x_i' + diag over some rows (all if None)."""
        design = self.design
        if not len(h) or not uses_rows(design.n, design.d, diagonal):
            return ColumnSystem(self.weighted_gram(index, h), diagonal)
        chosen = np.arange(design.n) if index is None else index
        rows = self._rows(chosen) * np.sqrt(h * self._weights_of(chosen))[:, None]
        return RowSystem(rows, diagonal, design.intercept)
