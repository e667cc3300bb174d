"""Inverse Hessians for a stack of models: one for each strength, shared by its folds."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import lapack

from mlfund._solvers.metrics import factorise, inverse_of
from mlfund._solvers.stacked_problem import Places, StackedProblem
from mlfund._solvers.stacked_products import probabilities
from mlfund._solvers.stacked_rows import FoldedDesign

# Beyond so many columns a dense inverse costs more than the passes it saves.
DENSE_COLUMNS = 1500
# Several classes: Newton's Hessian of all classes together up to so many unknowns.
JOINT_UNKNOWNS = 120
# Entries of all bases together: 256 MB. Beyond, more strengths share one.
INVERSE_ENTRIES = 2**25
SMALLEST_SAMPLE = 2048
SAMPLE_ENTRIES = 1_000_000
DIAGONAL_ROWS = 16_384
# Sharing a curvature, up to which an inverse of each is cheaper than a basis for all.
FEW_STRENGTHS = 3
# Between the scales of a column in two folds, from which on weights of both have no mean.
MOST_UNLIKE = 2.0
# Of a fold's mean, in deviations of the column.
FURTHEST_SHIFT = 1.0
# Nanoseconds of one core for a product in a Hessian and in a basis of it, and for a product
# and a margin of a pass over the rows; passes of the whole stack that one basis may cost.
GRAM, BASIS, PRODUCT, MARGIN = 0.015, 0.25, 0.09, 10.0
MOST_PASSES = 10


class Sample:
    """Rows, drawn once, from which all curvature of a stack is estimated.

    Attributes
    ----------
    places : ndarray of int of shape (n_s,)
        Of the rows in the order of the design, ascending.
    index : ndarray of int of shape (n_s,)
        Their numbers in X.
    rows : ndarray or CSR of shape (n_s, p)
    weights : ndarray of shape (n_s,)
        With sum 1.
    """

    def __init__(self, problem: StackedProblem, rng):
        design = problem.design
        dense = not design.sparse and design.p <= DENSE_COLUMNS and _pays(problem)
        size = max(10 * design.p, min(8192, SAMPLE_ENTRIES // design.p), SMALLEST_SAMPLE)
        if not dense:
            size = DIAGONAL_ROWS
        places = np.arange(len(design.order))
        if len(places) > 1.5 * size:
            places = np.sort(rng.choice(places, size=size, replace=False))
        index = design.order[places]
        self.places, self.index, self.dense = places, index, dense
        self.rows = design.mean_rows(index, problem.dtype)
        weights = np.ones(len(index)) if problem.weights is None else problem.weights[index]
        total = weights.sum()
        # All rows with a weight may have been missed.
        self.weights = weights / total if total > 0 else np.full(len(index), 1 / len(index))


class SharedMetric:
    """Approximate inverse Hessians of the strengths, from a sample of rows.

    The curvature of the data hardly differs between folds, nor between neighbouring
    strengths; the penalties of the strengths are added exactly. Dense columns take a whole
    matrix; for several classes one that is shared by the classes, by its mean curvature, or
    for few unknowns the joint one. Wide or sparse data take a diagonal.

    Parameters
    ----------
    problem : StackedProblem
    sample : Sample
    n_hessians : int
        How many of the strengths have their curvature measured; the others take it from
        the nearest one.

    Attributes
    ----------
    alike : ndarray of bool of shape (p,)
        Columns that all folds scale much alike.
    """

    def __init__(self, problem: StackedProblem, sample: Sample, n_hessians: int):
        self.problem, self.sample = problem, sample
        K = int(problem.strength[-1]) + 1
        self.joint = (
            problem.k > 1 and sample.dense and problem.k * sample.rows.shape[1] <= (JOINT_UNKNOWNS)
        )
        self.side = problem.design.p * (problem.k if self.joint else 1)
        within = max(INVERSE_ENTRIES // self.side**2, 1) if sample.dense else K
        self._n_hessians = min(n_hessians, within)
        # The penalties are these units times a strength.
        units = np.median(problem.units, axis=0)
        self._units = np.tile(units, problem.k) if self.joint else units
        self._ratio = _ratios(problem.units, units)
        self._scaled = bool((self._ratio != 1.0).any())
        unlike = (self._ratio > MOST_UNLIKE) | (self._ratio < 1 / MOST_UNLIKE)
        self.alike = ~unlike.any(axis=0)[: problem.design.p]
        self._shift = _shifts(problem.design) if problem.design.free else None
        self._l2 = problem.l2.mean(axis=1)
        self._of: list[Spectrum | Inverses | Diagonal | None] = [None] * K

    def refresh(self, V: NDArray, strengths: NDArray) -> None:
        """Take the curvature at one V (k, p) for each of some strengths, ascending.

        Weights of columns that the folds scale otherwise are taken as zero.
        """
        V = V * self.alike
        # At zero the data look alike to all strengths.
        count = self._n_hessians if V.any() else 1
        measured, sample = nearest_of(len(strengths), count), self.sample

        def curvature(place: int):
            # numpy's error state is one of the thread.
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                H = sampled_hessian(sample, V[place], joint=self.joint)
                l2 = self._l2[strengths[measured == place]]
            if not self.sample.dense:
                return Diagonal(H, self._units)
            kind = Inverses if len(l2) <= FEW_STRENGTHS else Spectrum
            return kind(H, self._units, l2)

        found = self._each(curvature, measured)
        for c, place in zip(strengths.tolist(), measured.tolist(), strict=True):
            self._of[c] = found[place]

    def _each(self, function, numbers) -> dict:
        """Return what a function finds for each number; on several threads."""
        numbers = np.unique(numbers).tolist()
        if self.problem.threads == 1 or len(numbers) == 1:
            return {c: function(c) for c in numbers}
        with ThreadPoolExecutor(self.problem.threads) as pool:
            return dict(zip(numbers, pool.map(function, numbers), strict=True))

    def solve(self, G: NDArray, places: Places) -> NDArray:
        """Return the inverse Hessians times gradients (m, k, p)."""
        if not self._scaled:
            return self._solve(G, places.strength)
        # In the columns that each fold centres and scales its own way, the folds look alike.
        ratio = self._ratio[places.fold, None]
        if self._shift is None:
            return self._solve(G * ratio, places.strength) * ratio
        shift = self._shift[places.fold, None]
        Q = self._solve((G - G[..., -1:] * shift) * ratio, places.strength) * ratio
        Q[..., -1] -= (Q * shift).sum(axis=2)
        return Q

    def _solve(self, G: NDArray, strengths: NDArray) -> NDArray:
        Q = np.empty_like(G)
        of = [self._of[c] for c in strengths.tolist()]
        starts = [i for i in range(len(of)) if i == 0 or of[i] is not of[i - 1]]
        for start, end in itertools.pairwise([*starts, len(of)]):
            part = G[start:end].reshape(-1, self.side)
            l2 = np.repeat(self._l2[strengths[start:end]], len(part) // (end - start))
            Q[start:end] = of[start].solve(part, l2).reshape(Q[start:end].shape)
        return Q


def _pays(problem: StackedProblem) -> bool:
    """Whether a stack has so many rows and models that a basis of its columns is cheap."""
    n, p = len(problem.design.order), problem.design.p
    one_pass = n * problem.k * len(problem.fold) * (PRODUCT * p + MARGIN)
    return GRAM * n * p**2 + BASIS * p**3 <= MOST_PASSES * one_pass


def sampled_hessian(sample: Sample, V: NDArray, *, joint: bool) -> NDArray:
    """Return the Hessian of the mean loss at V (k, p) on a sample.

    Parameters
    ----------
    sample : Sample
    V : ndarray of shape (k, p)
    joint : bool
        Whether the answer is that of all classes together, (k p, k p), or their mean, (p, p);
        of wide or sparse rows its diagonal, (p,).
    """
    rows, k = sample.rows, len(V)
    Z = (rows @ V.T.astype(rows.dtype)).T
    P = probabilities(np.ascontiguousarray(Z), k)
    if not sample.dense:
        return _diagonal(sample, P)
    weights = sample.weights.astype(rows.dtype)
    if joint and k > 1:
        return _joint(rows, P, weights)
    # The product of one matrix with itself takes half the operations.
    scaled = rows * np.sqrt((P * (1 - P)).mean(axis=0) * weights)[:, None]
    return (scaled.T @ scaled).astype(np.float64)


def _joint(rows: NDArray, P: NDArray, weights: NDArray) -> NDArray:
    k, p = len(P), rows.shape[1]
    H = np.zeros((k, p, k, p))
    for a in range(k):
        for b in range(a, k):
            h = P[a] * ((a == b) - P[b]) * weights
            H[a, :, b] = (rows * h[:, None]).T @ rows
            H[b, :, a] = H[a, :, b].T
    return H.reshape(k * p, k * p)


def _diagonal(sample: Sample, P: NDArray) -> NDArray:
    rows = sample.rows
    h = (P * (1 - P)).mean(axis=0).astype(np.float64) * sample.weights
    if sp.issparse(rows):
        squared = rows.copy()
        squared.data **= 2
        return squared.T @ h
    return np.einsum("ij,ij,i->j", rows, rows, h)


def _ratios(units: NDArray, common: NDArray) -> NDArray:
    """Return the median scale of each column over that of each fold, (F, p)."""
    return np.sqrt(np.where(units > 0, common / np.where(units > 0, units, 1.0), 1.0))


def _shifts(design: FoldedDesign) -> NDArray:
    """Return the centre of each fold from the median one, (F, p).

    Where it is far off, a fold does not centre by the mean, and the centre tells nothing.
    """
    shift = np.zeros((design.F, design.p))
    off = design.mean - np.median(design.mean, axis=0)
    shift[:, : design.d] = np.where(np.abs(off) < FURTHEST_SHIFT, off, 0.0)
    return shift


class Spectrum:
    """H + l2 diag(units) for all l2 at once: both matrices made diagonal by one basis.

    With B = H + least diag(units) the basis T has T'BT = 1 and T' diag(units) T = diag(mu),
    so that the inverse is T diag(1 / (1 + (l2 - least) mu)) T'.

    Parameters
    ----------
    H : ndarray of shape (p, p)
    units : ndarray of shape (p,)
    l2 : ndarray
        All that are to come.
    """

    def __init__(self, H: NDArray, units: NDArray, l2: NDArray):
        least = float(l2.min())
        factor, scale = factorise(H, least * units)
        lower, _ = lapack.dtrtri(factor, lower=1)
        basis = np.tril(lower).T * scale[:, None]
        weighted = basis * np.sqrt(units)[:, None]
        self._mu, rotation = np.linalg.eigh(weighted.T @ weighted)
        self._basis, self._least = basis @ rotation, least

    def solve(self, G: NDArray, l2: NDArray) -> NDArray:
        """Return the inverses times gradients (m, p), each with its own l2."""
        Q = G @ self._basis
        Q /= 1.0 + (l2 - self._least)[:, None] * np.maximum(self._mu, 0.0)
        return Q @ self._basis.T


class Inverses:
    """The same for so few l2 that an inverse of each costs less."""

    def __init__(self, H: NDArray, units: NDArray, l2: NDArray):
        self._of = {value: inverse_of(H, value * units) for value in np.unique(l2).tolist()}

    def solve(self, G: NDArray, l2: NDArray) -> NDArray:
        """Return the inverses times gradients (m, p), each with its own l2."""
        Q = np.empty_like(G)
        for value, inverse in self._of.items():
            rows = np.flatnonzero(l2 == value)
            if len(rows):
                Q[rows] = G[rows] @ inverse
        return Q


class Diagonal:
    """The same for a diagonal H (p,)."""

    def __init__(self, H: NDArray, units: NDArray):
        self._H, self._units = H, units
        # A column that the sample does not see still needs a finite step.
        self._floor = 1e-3 * max(float(H.max()), 1e-10)

    def solve(self, G: NDArray, l2: NDArray) -> NDArray:
        """Return the inverses times gradients (m, p), each with its own l2."""
        return G / np.maximum(self._H + l2[:, None] * self._units, self._floor)


def nearest_of(K: int, count: int) -> NDArray:
    """Return for each of K strengths the nearest of `count` evenly spread ones.

    Examples
    --------
    >>> nearest_of(6, 2)
    array([1, 1, 1, 4, 4, 4])
    """
    if count >= K:
        return np.arange(K)
    group = np.arange(K) * count // K
    return np.array([int(np.median(np.flatnonzero(group == g))) for g in group])
