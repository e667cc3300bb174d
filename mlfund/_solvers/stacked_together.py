"""The folds of each strength as one model, while their weights need not differ."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers.stacked_descent import StackedLBFGS, advance
from mlfund._solvers.stacked_problem import Places, StackedProblem

# Part of the difference between folds under which their common gradient counts no more.
SMALL_PART = 0.3


class Pooled:
    """The mean objective of the folds of each strength.

    Attributes
    ----------
    of_folds : ndarray of shape (K, F, k, p)
        The folds' own gradients where `gradients` was asked last.
    """

    def __init__(self, problem: StackedProblem, V: NDArray, alike: NDArray):
        self.problem, self._alike = problem, alike
        self.of_folds = problem.shared_gradients(V, np.arange(len(V)))

    def gradients(self, V: NDArray, strengths: NDArray) -> NDArray:
        """Return the gradients for one V (m, k, p) for each of some strengths."""
        self.of_folds[strengths] = self.problem.shared_gradients(V, strengths)
        return self.common(strengths)

    def common(self, strengths: NDArray) -> NDArray:
        """Return the gradients by the weights that are shared, zeros elsewhere."""
        return self.of_folds[strengths].mean(axis=1) * self._alike

    def differ(self, tol: float) -> bool:
        """Whether what the folds have in common is done; the rest is each fold's own."""
        common = self.common(np.arange(len(self.of_folds)))
        own = np.abs(self.of_folds * self._alike - common[:, None]).max(axis=(1, 2, 3))
        common = np.abs(common).max(axis=(1, 2))
        return bool((common <= np.maximum(SMALL_PART * own, tol)).all())


def descend_together(
    problem: StackedProblem, V: NDArray, metric, tol: float, most: int
) -> tuple[NDArray, int, tuple[NDArray, StackedLBFGS]]:
    """Descend with one V (K, k, p) for all folds of a strength.

    A pass costs a share of one for all models, and what it tells of the curvature serves
    all folds.

    Parameters
    ----------
    problem : StackedProblem
        Whose folds are not tied to the constant column.
    V : ndarray of shape (K, k, p)
    metric : SharedMetric
    tol : float
    most : int
        Steps at most.

    Returns
    -------
    V, steps
    start : tuple
        For `minimise_stack`.
    """
    K, F = len(V), len(problem.sums)
    strengths, steps = np.arange(K), 0
    lbfgs = StackedLBFGS(metric, V.size * F)
    # Weights of columns that folds scale otherwise start from zero, each fold on its own.
    V = V * metric.alike
    pooled = Pooled(problem, V, metric.alike)
    G, places = pooled.common(strengths), Places(strengths, np.full(K, -1))
    while steps < most and not pooled.differ(tol) and np.isfinite(G).all():
        new_V, new_G = advance(pooled, strengths, V, G, lbfgs.directions(G, places))
        lbfgs.update(new_V - V, new_G - G, places)
        V, G, steps = new_V, new_G, steps + 1
    gradients = pooled.of_folds.reshape(K * F, *V.shape[1:])
    return V, steps, (gradients, lbfgs.repeated(F))
