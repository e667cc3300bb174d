"""The C kernels behind checks: shapes, types and layout of every array.

`_kernels.c` and `_dense_pass.c` are compiled at installation, where there is a C compiler.
Without it `available` says no, the solvers that need it are not chosen, and `require` explains.
The calls release the interpreter's lock and each ends within a second or so.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.machinery
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

# Rows of sparse data, columns or coordinates are handed over in parts of about this much
# work, so that Ctrl-C is heard.
WORK_AT_ONCE = 200_000_000


@functools.cache
def _library() -> ctypes.CDLL | None:
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = Path(__file__).with_name("_kernels" + suffix)
        if path.exists():
            return ctypes.CDLL(str(path))
    return None


def available() -> bool:
    """Return whether the kernels were compiled."""
    return _library() is not None


def require(solver: str) -> None:
    """Raise unless the kernels were compiled.

    Raises
    ------
    RuntimeError
        Names the solver, the cause and the ways out.
    """
    if not available():
        raise RuntimeError(
            f"solver={solver!r} needs mlfund's compiled kernels, which are missing: mlfund was "
            "installed without a C compiler. Install one (for example gcc) and mlfund again, "
            "or leave the choice to solver='auto'."
        )


def register_bytes() -> int:
    """Return the widest registers that the loops over dense rows have here; 0 without any."""
    library = _library()
    # Other compilers than gcc leave these loops out.
    if library is None or not hasattr(library, "dense_pass_bytes"):
        return 0
    return int(call("dense_pass_bytes", ctypes.c_int64))


def takes_dense(X) -> bool:
    """Return whether the loops that gcc alone compiles take X as dense rows."""
    return (
        isinstance(X, np.ndarray)
        and X.dtype.type in (np.float32, np.float64)
        and X.flags.c_contiguous
        and X.flags.aligned
        and X.dtype.isnative
        and register_bytes() > 0
    )


def suits(X) -> bool:
    """Return whether the kernels take X: dense, or CSR with 32-bit indices."""
    return not sp.issparse(X) or (X.indices.dtype == np.int32 and X.indptr.dtype == np.int32)


def model_sweeps(H: NDArray, l1: NDArray, v: NDArray, q: NDArray, tol: float, sweeps: int) -> float:
    """Descend by coordinates, in place, on q'(v - v0) + 1/2 (v - v0)'H(v - v0) + l1'|v|.

    Parameters
    ----------
    H : ndarray of shape (m, m)
        Symmetric, with the l2 penalties.
    l1, v, q : ndarray of shape (m,)
        q is the gradient at v, and is kept so.
    tol : float
        Largest change of a gradient in a sweep at which to stop.
    sweeps : int
        At most so many sweeps.

    Returns
    -------
    float
        The largest change of the last sweep.
    """
    m = len(v)
    at_once = max(1, min(sweeps, WORK_AT_ONCE // max(m * m, 1)))
    worst = 0.0
    for _ in range(0, sweeps, at_once):
        arguments = (address(H, (m, m)), address(l1, (m,)), address(v, (m,)), address(q, (m,)))
        worst = call("model_sweeps", ctypes.c_double, m, *arguments, float(tol), at_once)
        if worst <= tol:
            break
    return worst


def select_columns(X: sp.csr_array, columns: NDArray) -> sp.csr_array:
    """Return X[:, columns] of a CSR array; the entries of a row keep their order."""
    n, d = X.shape
    position = np.full(d, -1, dtype=np.int32)
    position[columns] = np.arange(len(columns), dtype=np.int32)
    indptr = np.empty(n + 1, dtype=np.int32)
    matrix, out = _csr(X), address(indptr, (n + 1,), np.int32)
    name, where = _named("select_columns", X), address(position, (d,), np.int32)
    entries = call(name, ctypes.c_int64, n, *matrix, where, out, None, None)
    indices, data = np.empty(entries, dtype=np.int32), np.empty(entries, dtype=X.dtype)
    parts = (address(indices, (entries,), np.int32), address(data, (entries,), X.dtype))
    call(name, ctypes.c_int64, n, *matrix, where, out, *parts)
    return sp.csr_array((data, indices, indptr), shape=(n, len(columns)))


def column_sums(X: sp.csr_array, weights: NDArray | None) -> tuple[NDArray, NDArray]:
    """Return sum_i weights_i x_ij and sum_i weights_i x_ij^2 of a CSR array, (d,) each."""
    n, d = X.shape
    sums = np.zeros((d, 2))
    given = None if weights is None else address(weights, (n,), X.dtype)
    call(_named("column_sums", X), None, n, *_csr(X), given, address(sums, (d, 2)))
    return sums[:, 0], sums[:, 1]


def row_moments(X: sp.csr_array, centre: NDArray, dead: NDArray) -> tuple[NDArray, NDArray, bool]:
    """Return |x_i|^2 and x_i'centre of the rows of a CSR array, (n,) each.

    Also returned is whether there are entries in the columns that `dead` (d,) marks.
    """
    n, d = X.shape
    squares, along = np.empty(n), np.empty(n)
    given = address(centre, (d,)) if centre.any() else None
    marked = address(dead, (d,), np.bool_) if dead.any() else None
    outputs = (address(squares, (n,)), address(along, (n,)))
    name = _named("row_moments", X)
    filled = call(name, ctypes.c_int64, n, *_csr(X), given, marked, *outputs)
    return squares, along, filled > 0


def sparse_gram(X: sp.csr_array, h: NDArray) -> NDArray:
    """Return X' diag(h) X of a CSR array with few columns, (m, m)."""
    n, m = X.shape
    half = np.zeros((m, m))
    matrix, outputs = _csr(X), (address(h, (n,)), m, address(half, (m, m)))
    of_rows = np.diff(X.indptr).astype(np.int64) ** 2
    for start, stop in parts_of(np.cumsum(of_rows)):
        call(_named("sparse_gram", X), None, start, stop, *matrix, *outputs)
    diagonal = half.diagonal().copy()
    half += half.T
    np.fill_diagonal(half, diagonal)
    return half


def parts_of(cumulated: NDArray):
    """Yield (start, stop) over items whose work is cumulated, in parts of limited work."""
    start, done = 0, 0
    while start < len(cumulated):
        stop = int(np.searchsorted(cumulated, done + WORK_AT_ONCE, side="right"))
        stop = max(stop, start + 1)
        yield start, stop
        start, done = stop, int(cumulated[stop - 1])


def sparse_column_sweep(
    X: sp.csc_array, h, hx, centre, inverse_scale, curvature, l2, l1, v, u, state, *, active
) -> float:
    """Sweep once over sparse columns, in place; see `_kernels.c` for the arguments."""
    n, m = X.shape
    columns = (hx, centre, inverse_scale, curvature, l2, l1, v)
    arguments = [address(array, (m,)) for array in columns]
    rest = (address(u, (n,)), address(state, (3,)), int(active))
    worst = 0.0
    for start, stop in parts_of(X.indptr[1:].astype(np.int64)):
        worst = max(
            worst,
            call(
                _named("sparse_column_sweep", X),
                ctypes.c_double,
                start,
                stop,
                *_csr(X),
                address(h, (n,)),
                *arguments,
                *rest,
            ),
        )
    return worst


def dense_column_sweep(columns: NDArray, h, curvature, l2, l1, v, u, *, active) -> float:
    """Sweep once over dense columns (m, n), in place; see `_kernels.c` for the arguments."""
    m, n = columns.shape
    matrix = address(columns, (m, n), columns.dtype)
    of_columns = [address(array, (m,)) for array in (curvature, l2, l1, v)]
    worst = 0.0
    for start, stop in parts_of(np.arange(1, m + 1) * n):
        worst = max(
            worst,
            call(
                _named("dense_column_sweep", columns),
                ctypes.c_double,
                start,
                stop,
                n,
                matrix,
                address(h, (n,)),
                *of_columns,
                address(u, (n,)),
                int(active),
            ),
        )
    return worst


def shuffle(order: NDArray, state: NDArray) -> None:
    """Permute whole numbers (n,) in place; `state` (1,) is the seed, and goes on."""
    n = len(order)
    call("shuffle", None, n, address(order, (n,), np.int32), address(state, (1,), np.uint64))


def dual_sweep(rows, order, sign, bound, along, squares, t, alpha, u, state, tol: float) -> int:
    """Visit rows, sparse or dense, in an order, in place; see `_kernels.c` for the arguments."""
    n, d = rows.shape
    shared = [address(array, (n,)) for array in (sign, bound)]
    of_rows = [address(array, (n,)) for array in (squares, t, alpha)]
    rest = (*of_rows, address(u, (d,)), address(state, (5,)), float(tol))
    where = address(order, (n,), np.int32)
    if sp.issparse(rows):
        name, matrix = "sparse_dual_sweep", _csr(rows)
        shared.append(address(along, (n,)))
        entries = len(rows.data)
    else:
        name, matrix = "dense_dual_sweep", (d, address(rows, (n, d), rows.dtype))
        entries = n * d
    # The order is random, so that parts of as many rows are parts of much the same work.
    at_once = max(int(n * WORK_AT_ONCE / (entries + 32 * n)), 1)
    moved = 0
    for start in range(0, n, at_once):
        stop = min(start + at_once, n)
        moved += call(
            _named(name, rows), ctypes.c_int64, start, stop, where, *matrix, *shared, *rest
        )
    return moved


def _named(name: str, X) -> str:
    return f"{name}_{X.dtype}"


def call(name: str, result, *arguments):
    """Call a kernel; whole numbers are passed as int64, others as double, None as NULL."""
    function = getattr(_library(), name)
    function.restype = result
    return function(*(_argument(value) for value in arguments))


def _argument(value):
    if isinstance(value, (int, np.integer)):
        return ctypes.c_int64(value)
    return ctypes.c_double(value) if isinstance(value, float) else value


def address(array: NDArray, shape: tuple[int, ...], dtype=np.float64):
    """Return the address of an array that is exactly what the kernel takes.

    Raises
    ------
    ValueError
        Unless shape and type are right and the array is contiguous, in C order.
    """
    if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
        raise ValueError(
            f"a kernel needs a contiguous {np.dtype(dtype)} array of shape {shape}; got "
            f"{array.dtype}, {array.shape}, contiguous={array.flags.c_contiguous}."
        )
    return ctypes.c_void_p(array.ctypes.data)


def _csr(X) -> tuple:
    """Return the addresses of indptr, indices and data of a CSR or CSC array."""
    entries = (len(X.data),)
    return (
        address(X.indptr, X.indptr.shape, np.int32),
        address(X.indices, entries, np.int32),
        address(X.data, entries, X.dtype),
    )
