"""The columns of a working set, standardised: their Hessian, margins and sweeps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers import kernels


def working_columns(design):
    """Return an empty store for columns of a design."""
    return SparseColumns(design) if design.sparse else DenseColumns(design)


class DenseColumns:
    """Standardised columns of a dense design, one after the other in memory.

    Parameters
    ----------
    design : Design

    Attributes
    ----------
    index : ndarray of int of shape (m,)
        The coordinates held, in order; the intercept is always held, and comes first.
    """

    def __init__(self, design):
        self.design = design
        self.index = np.arange(design.d, design.p)
        self._store = np.ones((design.p - design.d, design.n), dtype=design.dtype)

    def take(self, columns: NDArray) -> None:
        """Add columns of X (not those held already)."""
        design, first = self.design, len(self.index)
        self.index = np.concatenate([self.index, columns])
        if len(self.index) > len(self._store):
            grown = np.empty((max(len(self.index), 2 * first), design.n), dtype=design.dtype)
            grown[:first] = self._columns(first)
            self._store = grown
        shift, inverse_scale = design.stored_units(columns)
        part = (design.X[:, columns] - shift) * inverse_scale
        self._store[first : len(self.index)] = part.T

    def margins(self, v: NDArray) -> NDArray:
        """Return the margins of weights v (m,), shape (1, n)."""
        return v[None].astype(self.design.dtype) @ self._columns(len(v))

    def hessian(self, h: NDArray) -> NDArray:
        """Return sum_i h_i x_i x_i' in these coordinates, (m, m), for h (n,)."""
        rows = self._columns(len(self.index)) * np.sqrt(h).astype(self.design.dtype)
        return (rows @ rows.T).astype(np.float64)

    def sweeper(self, h, residual, curvature, l2, l1, v) -> Callable[[bool], float]:
        """Return a function that sweeps once over v, in place, on the second-order model.

        Parameters
        ----------
        h, residual : ndarray of shape (n,)
            Second and first derivative of the loss by the margins, at the model's centre.
        curvature, l2, l1, v : ndarray of shape (m,)
            Of the coordinates; `curvature` without l2.

        Returns
        -------
        callable
            With true it visits only the entries of v that are not zero; it returns the
            largest change of a gradient.
        """
        columns, u = self._columns(len(v)), residual.astype(np.float64)

        def sweep(active: bool) -> float:
            return kernels.dense_column_sweep(columns, h, curvature, l2, l1, v, u, active=active)

        return sweep

    def _columns(self, m: int) -> NDArray:
        return self._store[:m]


class SparseColumns:
    """Columns of a sparse design; centring and scaling happen in the arithmetic.

    Parameters and attributes are those of `DenseColumns`.
    """

    def __init__(self, design):
        self.design = design
        self.index = np.arange(design.d, design.p)
        self.take(np.empty(0, dtype=np.intp))

    def take(self, columns: NDArray) -> None:
        """Add columns of X (not those held already)."""
        self.index = np.concatenate([self.index, columns])
        own = self.index[self.design.intercept :]
        self._rows = kernels.select_columns(self.design.X, own)
        self._centre, self._inverse_scale = self.design.stored_units(own)
        self._by_column = None

    def margins(self, v: NDArray) -> NDArray:
        """Return the margins of weights v (m,), shape (1, n)."""
        w = v[self.design.intercept :] * self._inverse_scale
        offset = (v[0] if self.design.intercept else 0.0) - w @ self._centre
        Z = self._rows @ w.astype(self.design.dtype)
        return (Z + Z.dtype.type(offset))[None]

    def hessian(self, h: NDArray) -> NDArray:
        """Return sum_i h_i x_i x_i' in these coordinates, (m, m), for h (n,)."""
        centre, total = self._centre, float(h.sum())
        hx = self._rows.T @ h
        H = kernels.sparse_gram(self._rows, h)
        H -= np.outer(centre, hx) + np.outer(hx - centre * total, centre)
        H *= self._inverse_scale
        H *= self._inverse_scale[:, None]
        if not self.design.intercept:
            return H
        bordered = np.empty((len(H) + 1,) * 2)
        bordered[1:, 1:], bordered[0, 0] = H, total
        bordered[0, 1:] = bordered[1:, 0] = (hx - centre * total) * self._inverse_scale
        return bordered

    def sweeper(self, h, residual, curvature, l2, l1, v) -> Callable[[bool], float]:
        """Return a function that sweeps once over v; see `DenseColumns.sweeper`."""
        if self._by_column is None:
            self._by_column = self._rows.tocsc()
        X, first = self._by_column, self.design.intercept
        hx = X.T @ h
        u = residual.astype(np.float64)
        state = np.array([0.0, u.sum(), h.sum()])
        of_columns = (curvature[first:], l2[first:], l1[first:], v[first:])

        def sweep(active: bool) -> float:
            worst = self._intercept_step(state, curvature, l2, l1, v) if first else 0.0
            change = kernels.sparse_column_sweep(
                X, h, hx, self._centre, self._inverse_scale, *of_columns, u, state, active=active
            )
            return max(worst, change)

        return sweep

    @staticmethod
    def _intercept_step(state, curvature, l2, l1, v) -> float:
        a = curvature[0] + l2[0]
        if a <= 0.0:
            return 0.0
        target = v[0] - (state[1] + state[0] * state[2] + l2[0] * v[0]) / a
        step = np.sign(target) * max(abs(target) - l1[0] / a, 0.0) - v[0]
        v[0] += step
        state[0] += step
        return abs(step) * a
