"""A whole grid of logistic regressions, strengths times folds, in a few passes over X.

A sample of rows gives each strength a start and a Hessian, which all folds share; then all
models descend together, those with l1 penalties by proximal steps (`stacked_proximal`). What
the stack cannot finish, and l1 penalties on sparse, wide or short data, go one by one through
the single solver, each from its neighbour on the path.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from mlfund._solvers.stacked_absent import absent_classes, as_two_of_many, widen, without_classes
from mlfund._solvers.stacked_data import FoldedRows, GridFit, Terms, empty_fit, fold_weight_sums
from mlfund._solvers.stacked_grid import Grid
from mlfund._solvers.stacked_rows import FoldedDesign

# Sparse X is made dense up to so many entries, or from such a density on.
DENSE_ENTRIES, DENSE_PART = 2_000_000, 0.3


def solve_grid(
    rows: FoldedRows,
    Cs: NDArray,
    l1_ratios: NDArray,
    *,
    intercept: bool,
    tol: float,
    max_iter: int,
    rng,
    of_intercept: float | None = None,
    standardise: bool = False,
    affine: tuple[NDArray, NDArray] | None = None,
    solver: str | None = None,
) -> GridFit:
    """Fit logistic regressions for all folds, strengths and l1 ratios.

    Each model minimises C sum_i s_i loss_i + r |w|_1 + (1 - r)/2 |w|^2 over the rows that
    its fold trains on.

    Parameters
    ----------
    rows : FoldedRows
    Cs : ndarray of shape (K,)
        Inverse strengths, above 0; inf is no penalty.
    l1_ratios : ndarray of shape (R,)
        From 0 to 1.
    intercept, tol, max_iter, rng, solver
        As in `linear.solve`; a solver asked for by name fits the models one by one.
    of_intercept : float, optional
        As in `linear.Penalty`.
    standardise : bool
        Whether each fold standardises the columns by its own training rows first, as
        StandardScaler in a pipeline does (for sparse X without centring).
    affine : tuple of two ndarrays of shape (F, d), optional
        In place of `standardise`: centre and scale by which each fold's columns are scaled
        first, (x - centre) / scale. Scales are not zero; for sparse X the centres are.

    Returns
    -------
    GridFit

    Raises
    ------
    ValueError
        If all training rows of a fold have weight zero, or sparse X should be centred.
    """
    terms = Terms(intercept, tol, max_iter, rng, of_intercept, standardise, solver)
    rows = dataclasses.replace(rows, X=_fitting_form(rows.X), affine=affine)
    if affine is not None and sp.issparse(rows.X) and affine[0].any():
        raise ValueError("sparse X cannot be centred: the centres of `affine` must be zero.")
    fold_weight_sums(rows)
    absent = np.zeros((len(rows.times), rows.n_classes), dtype=bool)
    if intercept and of_intercept is None:
        absent = absent_classes(rows)
    lacking = absent.any(axis=1)
    if not lacking.any():
        return _solve_folds(rows, Cs, l1_ratios, terms)
    fit = empty_fit(rows, len(l1_ratios), len(Cs), terms)
    if not lacking.all():
        whole = rows.of_folds(~lacking)
        fit.put(np.flatnonzero(~lacking), _solve_folds(whole, Cs, l1_ratios, terms))
    for fold in np.flatnonzero(lacking).tolist():
        fit.put([fold], _solve_lacking(rows, fold, absent[fold], Cs, l1_ratios, terms))
    return fit


def grid_of(
    rows: FoldedRows, Cs: NDArray, l1_ratios: NDArray, terms: Terms, fit: GridFit | None = None
) -> Grid:
    """Return a grid whose folds have all classes, to be solved, or to be finished.

    Parameters
    ----------
    rows : FoldedRows
    Cs, l1_ratios : ndarray
        As in `solve_grid`.
    terms : Terms
    fit : GridFit, optional
        What an earlier grid of the same arguments found, for `stacked_finish.finish`.
    """
    rows = dataclasses.replace(rows, X=_fitting_form(rows.X))
    design = _design(rows, terms)
    if fit is None:
        fit = empty_fit(rows, len(l1_ratios), len(Cs), terms)
        _tell_scales(fit, design)
    return Grid(rows, design, Cs, l1_ratios, fold_weight_sums(rows), fit, terms)


def _solve_folds(rows: FoldedRows, Cs, l1_ratios, terms: Terms) -> GridFit:
    """Solve a grid whose folds have all classes."""
    grid = grid_of(rows, Cs, l1_ratios, terms)
    grid.solve()
    return grid.fit


def _design(rows: FoldedRows, terms: Terms) -> FoldedDesign:
    return FoldedDesign(
        rows.X,
        rows.times,
        intercept=terms.intercept,
        free=terms.of_intercept is None,
        standardise=terms.standardise,
        affine=rows.affine,
    )


def _tell_scales(fit: GridFit, design: FoldedDesign) -> None:
    """Write down what the folds scaled the columns of X by."""
    if design.of_folds is not None:
        fit.mean, fit.scale = design.of_folds


def _solve_lacking(rows: FoldedRows, fold: int, absent, Cs, l1_ratios, terms) -> GridFit:
    """Solve the models of one fold whose training rows lack a class."""
    part = without_classes(rows, fold, absent)
    if part.n_classes > 2:
        fit = _solve_folds(part, Cs, l1_ratios, terms)
    else:
        fit = empty_fit(part, len(l1_ratios), len(Cs), terms)
        for r, ratio in enumerate(l1_ratios if part.n_classes == 2 else []):
            of_two, ratio_of_two = as_two_of_many(Cs, float(ratio))
            found = _solve_folds(part, of_two, np.array([ratio_of_two]), terms)
            for name in ("W", "b", "n_iter", "converged", "gradient"):
                getattr(fit, name)[:, r] = getattr(found, name)[:, 0]
            fit.solver = found.solver
        _tell_scales(fit, _design(part, terms))
    fit.W, fit.b = widen(fit.W, fit.b, absent, terms.tol)
    return fit


def _fitting_form(X):
    """Return X dense where that is small or sparse only in name; CSR in canonical form."""
    if not sp.issparse(X):
        return X
    entries = X.shape[0] * X.shape[1]
    if entries <= DENSE_ENTRIES or X.nnz > DENSE_PART * entries:
        return X.toarray()
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X
