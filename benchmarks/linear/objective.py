"""The objective in float64, off the clock, and a proof of how good an optimum is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, expit, log_expit, logsumexp, softmax

from benchmarks.linear.problems import Problem


def objective(problem: Problem, W: NDArray) -> float:
    """Return scikit-learn's objective divided by C: sum of losses + penalty / C.

    Parameters
    ----------
    problem : Problem
    W : ndarray of shape (1, d) for two classes, else (k, d)
    """
    W = np.asarray(W, dtype=np.float64)
    penalty = np.abs(W).sum() if problem.l1 else 0.5 * np.vdot(W, W)
    return float(_losses(problem, _margins(problem, W)).sum() + penalty / problem.C)


def certified_gap(problem: Problem, W: NDArray) -> float:
    """Return a bound on objective(W) / optimum - 1 that needs no other solver.

    l2: the objective is strongly convex with modulus 1 / C, so it is at most
    |gradient|^2 C / 2 above the optimum. l1: the dual objective at the residual, scaled
    until it is feasible, lies below the optimum.
    """
    W = np.asarray(W, dtype=np.float64)
    Z = _margins(problem, W)
    value = objective(problem, W)
    if problem.l1:
        gap = value - _dual_value(problem, Z)
    else:
        gradient = np.asarray(problem.X.T @ _residual(problem, Z)).T + W / problem.C
        gap = 0.5 * problem.C * float(np.vdot(gradient, gradient))
    return gap / (value - gap)


def _margins(problem: Problem, W: NDArray) -> NDArray:
    return np.asarray(problem.X @ W.T)


def _losses(problem: Problem, Z: NDArray) -> NDArray:
    if Z.shape[1] == 1:
        return -log_expit(np.where(problem.y == 1, Z[:, 0], -Z[:, 0]))
    return logsumexp(Z, axis=1) - Z[np.arange(len(Z)), problem.y]


def _residual(problem: Problem, Z: NDArray) -> NDArray:
    if Z.shape[1] == 1:
        return expit(Z) - problem.y[:, None]
    R = softmax(Z, axis=1)
    R[np.arange(len(Z)), problem.y] -= 1
    return R


def _dual_value(problem: Problem, Z: NDArray) -> float:
    """The dual objective of two classes: the entropies of s with |X' s|_inf <= 1 / C."""
    residual = _residual(problem, Z)[:, 0]
    largest = np.abs(problem.X.T @ residual).max()
    s = np.abs(residual) * min(1.0, 1 / (problem.C * largest))
    return float((entr(s) + entr(1 - s)).sum())
