"""One pass over dense rows for margins, probabilities, loss and gradient together.

The compiled loops (`_dense_pass.c`) keep a block of rows in the core's own cache between the
two products, and spare the calls that numpy needs for each block: an evaluation takes half
the time for two classes, and a third for ten. They run on as many threads as BLAS may;
what they add up is parted by the shape of the data alone, so that the number of threads
changes no digit.
"""

from __future__ import annotations

import functools
import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers import kernels
from mlfund._solvers.losses import BinaryLoss, MultinomialLoss
from mlfund._solvers.threads import blas_threads

# Entries of X below which numpy's calls cost less than the way to the loops.
LEAST_ENTRIES = 50_000
# With more outputs a block's products are large enough for BLAS.
MOST_OUTPUTS = 64
# Operations of one call.
PART_FLOP = 1e8
# Values of scratch memory for each output; `_dense_pass.c` tells why.
SCRATCH = 320
TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}


def suits(X, loss) -> bool:
    """Return whether the loops take these rows and this loss."""
    return (
        kernels.takes_dense(X)
        and X.size >= LEAST_ENTRIES
        and type(loss) in (BinaryLoss, MultinomialLoss)
        and loss.k <= MOST_OUTPUTS
    )


def evaluate(
    X: NDArray, W: NDArray, offsets: NDArray | None, loss
) -> tuple[NDArray, NDArray, NDArray, NDArray, float]:
    """Return margins, probabilities, R X, the sums of R, and the mean loss.

    R are the residuals, the derivatives of the mean loss by the margins.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        As `suits` wants it.
    W : ndarray of shape (k, d), in the dtype of X
    offsets : ndarray of shape (k, 1) or None
        Added to the margins.
    loss : BinaryLoss or MultinomialLoss

    Returns
    -------
    Z, P : ndarray of shape (k, n), in the dtype of X
    products : ndarray of shape (k, d), in float64
    totals : ndarray of shape (k,), in float64
    value : float
    """
    (n, d), k = X.shape, len(W)
    Z, P = np.empty((k, n), X.dtype), np.empty((k, n), X.dtype)
    arguments = _arguments(X, W, offsets, loss)
    flop = 4.0 * n * d * k
    edges = np.linspace(0, n, int(np.ceil(flop / PART_FLOP)) + 1).astype(int).tolist()
    parts = list(itertools.pairwise(edges))
    run = functools.partial(_part, X, arguments, Z, P)
    threads = min(blas_threads(), len(parts)) if len(parts) > 1 else 1
    if threads == 1:
        sums = list(map(run, parts))
    else:
        with ThreadPoolExecutor(threads) as pool:
            sums = list(pool.map(run, parts))
    products, totals, value = sums[0]
    for more in sums[1:]:
        products += more[0]
        totals += more[1]
        value += more[2]
    return Z, P, products, totals, value


def _arguments(X: NDArray, W: NDArray, offsets: NDArray | None, loss) -> tuple:
    """Return what all parts share, as the loops take it; the arrays are kept alive in it."""
    added = np.zeros(len(W), X.dtype) if offsets is None else np.ascontiguousarray(offsets[:, 0])
    # Two classes have a target of 0 or 1, more have a code.
    target = code = None
    if isinstance(loss, BinaryLoss):
        target = np.ascontiguousarray(loss.target, dtype=X.dtype)
    else:
        code = np.ascontiguousarray(loss.target, dtype=np.int64)
    weights, same = None, 0.0
    if isinstance(loss.weights, np.ndarray):
        weights = np.ascontiguousarray(loss.weights, dtype=X.dtype)
    else:
        same = float(loss.weights)
    return np.ascontiguousarray(W), added, target, code, weights, same


def _part(
    X: NDArray, arguments: tuple, Z: NDArray, P: NDArray, rows: tuple[int, int]
) -> tuple[NDArray, NDArray, float]:
    """Evaluate some rows; return their R X, sums of R and loss."""
    (n, d), k, real = X.shape, len(Z), X.dtype
    W, offsets, target, code, weights, same = arguments
    products, totals, value = np.zeros((k, d)), np.zeros(k), np.zeros(1)
    scratch = np.empty(SCRATCH * k, real)
    address = kernels.address
    kernels.call(
        f"dense_pass_{TYPES[real]}_{kernels.register_bytes()}",
        None,
        *rows,
        n,
        d,
        k,
        address(X, (n, d), real),
        address(W, (k, d), real),
        address(offsets, (k,), real),
        None if target is None else address(target, (n,), real),
        None if code is None else address(code, (n,), np.int64),
        None if weights is None else address(weights, (n,), real),
        same,
        address(Z, (k, n), real),
        address(P, (k, n), real),
        address(products, (k, d)),
        address(totals, (k,)),
        address(value, (1,)),
        address(scratch, (SCRATCH * k,), real),
    )
    return products, totals, float(value[0])
