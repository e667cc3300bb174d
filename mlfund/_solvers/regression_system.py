"""The Newton system of a penalised regression through an n x n matrix, for n below p."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.metrics import factorise, solve_factorised

# Of systems that an interior-point method makes worse and worse.
REFINEMENTS = 3


def uses_rows(n: int, d: int, diagonal: NDArray) -> bool:
    """Whether the matrix of n rows is the smaller one, and d penalised columns allow it."""
    return n < d and bool(diagonal[:d].min() > 0)


class ColumnSystem:
    """Solves (H + L) x = g with one factorisation of the p x p matrix H = A'A.

    Parameters
    ----------
    H : ndarray of shape (p, p)
    diagonal : ndarray of shape (p,)
        That of L.
    """

    def __init__(self, H: NDArray, diagonal: NDArray):
        self._factor, self._unit = factorise(H, diagonal)

    def solve(self, g: NDArray) -> NDArray:
        """Return x."""
        return solve_factorised(self._factor, self._unit, g)

    def solve_with_rows(self, g: NDArray) -> tuple[NDArray, None]:
        """Return x, and that A x is as exact as a product gives it."""
        return self.solve(g), None


class RowSystem:
    """Solves (A'A + L) x = g with one factorisation of an n x n matrix.

    With S = A L^-1/2,

        (A'A + L)^-1 = L^-1/2 (I - S' (I + S S')^-1 S) L^-1/2;

    an intercept, which is not penalised, is eliminated first.

    Parameters
    ----------
    A : ndarray of shape (n, p)
        Rows times the square roots of their weights; taken over.
    diagonal : ndarray of shape (p,)
        That of L; above 0 but for the intercept's, which is last.
    intercept : bool
        Whether the last column is a free intercept.
    """

    def __init__(self, A: NDArray, diagonal: NDArray, intercept: bool):
        d = A.shape[1] - intercept
        self._root = 1.0 / np.sqrt(diagonal[:d])
        self._S = A[:, :d]
        self._S *= self._root
        self._factor, self._unit = factorise(self._S @ self._S.T, np.ones(len(A)))
        self._free = A[:, d] if intercept else None
        if intercept:
            self._of_free = solve_factorised(self._factor, self._unit, A[:, d])
            self._schur = float(A[:, d] @ self._of_free)

    def solve(self, g: NDArray) -> NDArray:
        """Return x for g of shape (p,) or (p, k), refined once."""
        G = g if g.ndim == 2 else g[:, None]
        x = self._once(G)[0]
        x += self._once(G - self._product(x))[0]
        return x if g.ndim == 2 else x[:, 0]

    def solve_with_rows(self, g: NDArray) -> tuple[NDArray, NDArray]:
        """Return x (p,) and z = A x (n,), with A'z + L x = g to rounding.

        As a product, A x of huge rows would round to nothing; refined is A x = z instead.
        """
        d = len(self._root)
        x, z = (part[:, 0] for part in self._once(g[:, None]))
        for _ in range(REFINEMENTS):
            missing = self._S @ (x[:d] / self._root) - z
            if self._free is not None:
                missing += self._free * x[d]
            dz = solve_factorised(self._factor, self._unit, missing)
            if self._free is not None:
                free = -float(self._free @ dz) / self._schur
                dz += self._of_free * free
                x[d] += free
            x[:d] -= self._root * (self._S.T @ dz)
            z += dz
        return x, z

    def _once(self, G: NDArray) -> tuple[NDArray, NDArray]:
        d = len(self._root)
        scaled = self._root[:, None] * G[:d]
        z = solve_factorised(self._factor, self._unit, self._S @ scaled)
        x = np.empty_like(G)
        if self._free is not None:
            x[d] = (G[d] - self._free @ z) / self._schur
            z += np.outer(self._of_free, x[d])
        x[:d] = self._root[:, None] * (scaled - self._S.T @ z)
        return x, z

    def _product(self, x: NDArray) -> NDArray:
        d = len(self._root)
        scaled = x[:d] / self._root[:, None]
        z = self._S @ scaled
        if self._free is not None:
            z += np.outer(self._free, x[d])
        G = np.empty_like(x)
        G[:d] = (self._S.T @ z + scaled) / self._root[:, None]
        if self._free is not None:
            G[d] = self._free @ z
        return G
