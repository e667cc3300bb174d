"""The design matrix on a torch device: weights and gradients stay numpy, rows do not."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlfund._solvers.design import Design
from mlfund._solvers.torch_device import index_on, put, to_host, torch_dtype, widest

# X is copied in parts of so many bytes: the conversion needs no second X in memory.
COPIED_BYTES = 1 << 26
# Entries of the standardised rows that `blocks` yields at once.
BLOCK_ENTRIES = 1 << 24


class TorchDesign(Design):
    """Dense X on a torch device, in its standardised columns.

    A copy of X is made anyway; it is made of the standardised columns, rounded once. So the
    products need no correction, and columns far from zero keep their digits in float32.
    Weights (k, p) and gradients are numpy arrays in float64 and cross over at each product;
    margins, probabilities and residuals (k, n) are tensors and never leave the device.

    Parameters
    ----------
    host : Design
        Gives X, its coordinates and the row weights.
    device : torch.device
    dtype : numpy dtype
        Of the products.

    Attributes
    ----------
    X : Tensor of shape (n, d)
        The standardised columns, zero where dead. The copy is made on first use.
    """

    elsewhere = True

    def __init__(self, host: Design, device: torch.device, dtype):
        self.__dict__.update({name: value for name, value in vars(host).items() if name != "X"})
        self.fused = False
        self.host, self.device, self.dtype = host, device, np.dtype(dtype)
        self._put_rows()

    def _put_rows(self) -> None:
        self._X: Tensor | None = None
        self._exact: TorchDesign | None = None
        self._wide = widest(self.device)
        weights = self.host.row_weights
        if isinstance(weights, np.ndarray):
            weights = put(weights.astype(self.dtype, copy=False), self.device)
        self.row_weights = weights

    def astype(self, dtype) -> TorchDesign:
        """Return the same design in another dtype; itself where the device has no other."""
        dtype = np.dtype(dtype)
        if dtype == self.dtype or self._wide == torch.float32:
            return self
        if self._exact is not None:
            return self._exact
        other = copy.copy(self)
        other.dtype = dtype
        other._put_rows()
        if dtype == np.float32:
            other._exact = self
        return other

    @property
    def X(self) -> Tensor:
        """The standardised columns on the device."""
        if self._X is None:
            exact = self._exact
            # float64 X crosses over once: its rounding is left to the device.
            self._X = self._standardised() if exact is None else exact.X.to(torch.float32)
        return self._X

    def _standardised(self) -> Tensor:
        X, step = self.host.X, max(1, COPIED_BYTES // (self.d * self.host.X.itemsize))
        columns = torch.empty((self.n, self.d), dtype=torch_dtype(self.dtype), device=self.device)
        inverse = np.where(self.dead, 0.0, 1.0 / self.scale)
        # Subtracted in float64, on the host where the device has none.
        at = self.device if self._wide == torch.float64 else torch.device("cpu")
        centre, inverse = put(self.centre, at), put(inverse, at)
        for start in range(0, self.n, step):
            part = put(X[start : start + step], at).to(torch.float64)
            part = ((part - centre) * inverse).to(columns.dtype)
            columns[start : start + step] = part
        return columns

    def margins(self, V: NDArray) -> Tensor:
        """Return the margins X V' of shape (k, n); one pass over X."""
        self.passes.n += 1
        W = put(V.astype(self.dtype), self.device)
        of_columns = W[:, : self.d]
        Z = torch.mv(self.X, of_columns[0])[None] if len(W) == 1 else of_columns @ self.X.T
        return Z.add_(W[:, self.d :]) if self.intercept else Z

    def pull_back(self, R: Tensor) -> NDArray:
        """Return R X, the (k, p) gradient that residuals R (k, n) give; one pass over X."""
        self.passes.n += 1
        products = torch.mv(self.X.T, R[0])[None] if len(R) == 1 else R @ self.X
        return to_host(self._with_sums(products, R))

    def _with_sums(self, products: Tensor, R: Tensor) -> Tensor:
        """Return the products (k, d) beside the sums of R, so that they cross over together."""
        G = torch.empty((len(R), self.p), dtype=self._wide, device=self.device)
        G[:, : self.d] = products
        if self.intercept:
            G[:, self.d] = R.sum(dim=1, dtype=self._wide)
        return G

    def rows(self, index: slice | NDArray) -> Tensor:
        """Return standardised rows, with the constant column, as a tensor (len(index), p)."""
        part = self.X[index_on(index, self.device)]
        block = torch.ones((len(part), self.p), dtype=part.dtype, device=self.device)
        block[:, : self.d] = part
        return block

    def blocks(self):
        """Yield (slice, standardised rows) over all rows."""
        step = max(1, BLOCK_ENTRIES // self.p)
        for start in range(0, self.n, step):
            index = slice(start, min(start + step, self.n))
            yield index, self.rows(index)

    def gram(self, rows: Tensor, h: Tensor) -> NDArray:
        """Return sum_i h_i x_i x_i' over standardised rows that `rows` gave, (p, p) float64."""
        return to_host((rows * h.to(rows.dtype)[:, None]).T @ rows)

    def in_double(self, rows: Tensor) -> Tensor:
        """Return rows that `rows` gave as precise as the device has them."""
        return rows.to(self._wide)

    def to_host(self, of_rows: Tensor) -> NDArray:
        """Return values of the rows as a new numpy array in float64."""
        return to_host(of_rows.clone())

    def from_host(self, of_rows: NDArray) -> Tensor:
        """Return values of some rows where the rows are."""
        return put(of_rows, self.device, self._wide)

    def moved(self, Z: Tensor, Zp: Tensor, t: float) -> Tensor:
        """Return the margins Z + t Zp."""
        return torch.add(Z, Zp, alpha=t)

    def weights_of(self, index: slice | NDArray) -> Tensor:
        """Return the weights of some rows, as precise as the device has them."""
        if isinstance(self.row_weights, Tensor):
            return self.row_weights[index_on(index, self.device)].to(self._wide)
        rows = index.stop - index.start if isinstance(index, slice) else len(index)
        return torch.full((rows,), self.row_weights, dtype=self._wide, device=self.device)

    def squared_sums(self, h: Tensor) -> NDArray:
        """Return sum_i h_i x_ij^2 over the standardised columns, shape (p,)."""
        self.passes.n += 1
        out = torch.empty(self.p, dtype=self._wide, device=self.device)
        out[-1] = h.sum()
        out[: self.d] = 0.0
        for index, rows in self._plain_blocks():
            out[: self.d] += torch.mv(rows.square().T, h[index].to(rows.dtype))
        return to_host(out)

    def _plain_blocks(self):
        step = max(1, BLOCK_ENTRIES // self.d)
        for start in range(0, self.n, step):
            index = slice(start, start + step)
            yield index, self.X[index]


class TorchSparseDesign(TorchDesign):
    """Sparse X on a torch device: X and its transpose, both as CSR, in its own columns.

    Parameters and attributes as in `TorchDesign`; the columns are centred in the arithmetic,
    as on the host.
    """

    def _put_rows(self) -> None:
        super()._put_rows()
        X = self.host.X
        self._X = _csr(X, self.dtype, self.device)
        self._transposed = _csr(X.T.tocsr(), self.dtype, self.device)

    def margins(self, V: NDArray) -> Tensor:
        """Return the margins X V' of shape (k, n); one pass over X."""
        self.passes.n += 1
        W, b = self.to_original(V)
        Z = (self.X @ put(W.T.astype(self.dtype), self.device)).T.contiguous()
        return Z.add_(put(b[:, None].astype(self.dtype), self.device)) if self.intercept else Z

    def pull_back(self, R: Tensor) -> NDArray:
        """Return R X, the (k, p) gradient that residuals R (k, n) give; one pass over X."""
        self.passes.n += 1
        products = (self._transposed @ R.T.contiguous()).T
        G = to_host(self._with_sums(products, R))
        if self.intercept:
            G[:, : self.d] -= G[:, self.d :] * self.centre
        G[:, : self.d] *= np.where(self.dead, 0.0, 1.0 / self.scale)
        return G

    def rows(self, index: slice | NDArray) -> Tensor:
        """Return standardised rows, with the constant column, as a tensor (len(index), p)."""
        return put(self.host.rows(index), self.device, torch_dtype(self.dtype))

    def squared_sums(self, h: Tensor) -> NDArray:
        """Return sum_i h_i x_ij^2 over the standardised columns, shape (p,)."""
        self.passes.n += 2
        h = h.to(self.X.dtype)
        squared = torch.sparse_csr_tensor(
            self._transposed.crow_indices(),
            self._transposed.col_indices(),
            self._transposed.values().square(),
            self._transposed.shape,
            check_invariants=False,
        )
        second, first = to_host(squared @ h), to_host(self._transposed @ h)
        total = float(h.sum(dtype=self._wide))
        out = np.full(self.p, total)
        centred = second - self.centre * (2.0 * first - self.centre * total)
        out[: self.d] = np.maximum(centred, 0.0)
        out[: self.d] *= np.where(self.dead, 0.0, 1.0 / self.scale) ** 2
        return out


def _csr(X, dtype, device: torch.device) -> Tensor:
    parts = (put(part, device) for part in (X.indptr, X.indices))
    values = put(X.data.astype(dtype, copy=False), device)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(*parts, values, X.shape, check_invariants=False)
