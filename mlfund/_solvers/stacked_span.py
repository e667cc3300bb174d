"""Wide rows under l2 penalties: each fold's models in the span of its training rows.

The optimal weights are combinations of the (scaled) rows: a part across them changes no
margin and is penalised. In an orthonormal basis of the span the penalty stays what it is,
and n rows have at most n columns however wide they were. The basis is the principal one, in
which the curvature is nearly diagonal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from mlfund._solvers.stacked_data import FoldedRows, GridFit, Terms, fold_weight_sums

# Of the columns, so many rows at most: with more the basis saves less than it costs.
SPAN_PART = 0.9

Solve = Callable[[FoldedRows, NDArray, Terms], GridFit]


def pays(rows: FoldedRows, Cs: NDArray, terms: Terms) -> bool:
    """Whether folds are solved faster in the span of their rows."""
    if sp.issparse(rows.X) or terms.solver is not None or not np.isfinite(Cs).all():
        return False
    most = int((rows.times > 0).sum(axis=1).max())
    return 0 < most <= SPAN_PART * rows.X.shape[1]


def solve(rows: FoldedRows, Cs: NDArray, terms: Terms, fit: GridFit, solve_fold: Solve) -> None:
    """Fit the models of all folds and write them down.

    Parameters
    ----------
    rows : FoldedRows
        Dense.
    Cs, terms
        As in `solve_grid`; there is no l1 penalty.
    fit : GridFit
        Of these rows and strengths, with `mean` and `scale` as the folds scale.
    solve_fold : callable
        Fits the rows of one fold, dense ones that nothing scales.
    """
    fold_weight_sums(rows)
    for fold, times in enumerate(rows.times):
        index = np.flatnonzero(times)
        X = np.asarray(rows.X[index], dtype=np.float64)
        scaling = (
            None if fit.scale is None or fit.mean is None else (fit.mean[fold], fit.scale[fold])
        )
        if scaling is not None:
            X = (X - scaling[0]) / scaling[1]
        inside, basis = principal_span(X)
        part = FoldedRows(
            inside,
            rows.code[index],
            rows.n_classes,
            None if rows.weights is None else rows.weights[index],
            times[None, index],
        )
        # No entry of a gradient in the columns of X exceeds its norm, the same in the basis.
        tol = terms.tol / np.sqrt(len(basis))
        found = solve_fold(part, Cs, dataclasses.replace(terms, standardise=False, tol=tol))
        W, b = found.W[0] @ basis, found.b[0]
        if scaling is not None:
            W = W / scaling[1]
            b = b - W @ scaling[0]
        fit.W[fold], fit.b[fold] = W, b
        for name in ("n_iter", "converged", "gradient"):
            getattr(fit, name)[fold] = getattr(found, name)[0]


def principal_span(X: NDArray) -> tuple[NDArray, NDArray]:
    """Return rows (n, n) and an orthonormal basis (n, d) whose product is X.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        With n at most d.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[1.0, 2.0, 2.0], [0.0, 3.0, -3.0]])
    >>> inside, basis = principal_span(X)
    >>> inside.shape, np.allclose(inside @ basis, X), np.allclose(basis @ basis.T, np.eye(2))
    ((2, 2), True, True)
    """
    Q, R = scipy.linalg.qr(X.T, mode="economic", check_finite=False)
    # Any rotation of the basis is exact; this one is the principal one but for rounding.
    _, rotation = np.linalg.eigh(R @ R.T)
    return R.T @ rotation, (Q @ rotation).T
