"""Few rows for their columns, under l2 penalties: each fold's models by themselves.

Rows that can be told apart whatever their labels leave a model without a penalty undecided,
and what a stack shares between folds, the curvature of all rows, would tell it of those held
out. So each fold has a stack of its own there, and wide rows one in their span: the optimal
weights are combinations of the (scaled) rows, as a part across them changes no margin and is
penalised. In an orthonormal basis of the span the penalty stays what it is, and n rows have
at most n columns however wide they were. The basis is the principal one, in which the
curvature is nearly diagonal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from mlfund._solvers.stacked_data import FoldedRows, GridFit, Terms, fold_weight_sums

# Training rows for each column, at most, that have a stack of their own: random labels of
# 4 classes were learned from the held-out rows with 1.07 rows, of 4 to 10 classes not with 4.
OWN_ROWS = 4
# And that are moved to their span: with more the basis saves less than it costs.
SPAN_ROWS = 0.9

Solve = Callable[[FoldedRows, NDArray, Terms], GridFit]


def stand_alone(rows: FoldedRows, terms: Terms) -> bool:
    """Whether each fold has a stack of its own."""
    if sp.issparse(rows.X) or terms.solver is not None:
        return False
    most, d = int((rows.times > 0).sum(axis=1).max()), rows.X.shape[1]
    return 0 < most <= OWN_ROWS * d and (len(rows.times) > 1 or most <= SPAN_ROWS * d)


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
        X = rows.X[index]
        scaling = (
            None if fit.scale is None or fit.mean is None else (fit.mean[fold], fit.scale[fold])
        )
        if scaling is not None:
            X = (X - scaling[0]) / scaling[1]
        inside, basis = X, None
        if len(X) <= SPAN_ROWS * X.shape[1]:
            inside, basis = principal_span(X)
        part = FoldedRows(
            inside,
            rows.code[index],
            rows.n_classes,
            None if rows.weights is None else rows.weights[index],
            times[None, index],
        )
        # No entry of a gradient in the columns of X exceeds its norm, the same in the basis.
        tol = terms.tol if basis is None else terms.tol / np.sqrt(len(basis))
        found = solve_fold(part, Cs, dataclasses.replace(terms, standardise=False, tol=tol))
        W, b = found.W[0] if basis is None else found.W[0] @ basis, found.b[0]
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
    # In float64: the basis is exact for whatever is made of it.
    Q, R = scipy.linalg.qr(X.T.astype(np.float64), mode="economic", check_finite=False)
    # Any rotation of the basis is exact; this one is the principal one but for rounding.
    _, rotation = np.linalg.eigh(R @ R.T)
    return R.T @ rotation, (Q @ rotation).T
