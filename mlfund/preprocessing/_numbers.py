"""Numbers and booleans as one matrix: fill, centre, scale, and mark what was missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.preprocessing import StandardScaler

# Statistics are taken in float64 over this many columns at a time, to keep copies small.
_CHUNK = 64


class NumberBlock:
    """Columns of floats with NaN, treated together.

    The steps are those of scikit-learn's ``SimpleImputer(strategy="median",
    add_indicator=True)`` and ``StandardScaler`` in a row, without their validation at every
    step, which is most of the time when a single row is transformed.

    Parameters
    ----------
    n_scaled : int
        The first `n_scaled` columns are scaled; those after (booleans) stay as they are.
    scaling : {"standard", "robust"} or None
        How; "robust" is RealMLP's: median, quartiles, smooth clip to (-3, 3).
    impute, add_indicator : bool
        Whether NaN becomes the median, and whether a 0/1 column says so.

    Attributes
    ----------
    kept : ndarray of int
        Columns that are not constant in fit.
    marked : ndarray of int
        Columns with an output that says "was missing".
    fill, center, scale : ndarray of shape (n_kept,)
        Value for NaN, and the numbers in ``(x - center) / scale``.
    """

    def __init__(self, n_scaled: int, scaling: str | None, impute: bool, add_indicator: bool):
        self.n_scaled = n_scaled
        self.scaling = scaling
        self.impute = impute
        self.add_indicator = add_indicator

    def fit(self, values: np.ndarray, may_mark: np.ndarray | None = None) -> NumberBlock:
        """Learn from `values` (n, d), each column with one number at least.

        `may_mark` (d,) limits the columns that may get a missing mark.
        """
        missing = np.isnan(values).any(axis=0)
        constant = np.nanmin(values, axis=0) == np.nanmax(values, axis=0)
        self.kept = np.flatnonzero(~constant)
        marked = missing & self.impute & self.add_indicator
        self.marked = np.flatnonzero(marked if may_mark is None else marked & may_mark)
        n_scaled = int((self.kept < self.n_scaled).sum())
        self.fill = np.zeros(len(self.kept))
        self.center, self.scale = np.zeros(len(self.kept)), np.ones(len(self.kept))
        for start in range(0, len(self.kept), _CHUNK):
            part = slice(start, start + _CHUNK)
            chunk = values[:, self.kept[part]].astype(np.float64)
            if self.impute:
                self.fill[part] = np.nanmedian(chunk, axis=0)
                np.copyto(chunk, self.fill[part], where=np.isnan(chunk))
            self.center[part], self.scale[part] = _center_and_scale(chunk, self.scaling)
        # The median of as many True as False is 0.5: no boolean, so take True.
        self.fill[n_scaled:] = np.ceil(self.fill[n_scaled:])
        self.center[n_scaled:], self.scale[n_scaled:] = 0.0, 1.0
        self.n_kept_scaled = n_scaled
        return self

    def renumber(self, used: np.ndarray) -> None:
        """Expect the columns `used` only from now on; they hold all kept and marked ones."""
        self.kept = np.searchsorted(used, self.kept)
        self.marked = np.searchsorted(used, self.marked)

    @property
    def n_outputs(self) -> int:
        """Number of output columns: the kept ones, then the marks."""
        return len(self.kept) + len(self.marked)

    def names(self, columns: Sequence[str], mark_names: Sequence[str] | None = None) -> list[str]:
        """Name the outputs, given the names of the columns (and of those in the marks)."""
        marks = [f"{(mark_names or columns)[i]}=missing" for i in self.marked]
        return [*(columns[i] for i in self.kept), *marks]

    def sources(self) -> np.ndarray:
        """Return the column that each output comes from."""
        return np.concatenate([self.kept, self.marked])

    def encode(self, values: np.ndarray, out: np.ndarray) -> None:
        """Write the outputs of `values` (n, d) to `out` (n, n_outputs); `values` is used up."""
        n_kept = len(self.kept)
        if len(self.marked):
            out[:, n_kept:] = np.isnan(values[:, self.marked])
        if n_kept < values.shape[1]:
            values = values[:, self.kept]
        dtype = values.dtype
        if self.impute:
            np.copyto(values, self.fill.astype(dtype), where=np.isnan(values))
        if self.scaling is not None:
            with np.errstate(over="ignore"):
                values -= self.center.astype(dtype)
                values /= self.scale.astype(dtype)
        if self.scaling == "robust":
            _smooth_clip(values[:, : self.n_kept_scaled])
        # An outlier of a later table must not become infinite in a narrow dtype.
        limit = np.finfo(out.dtype).max
        np.clip(values, -limit, limit, out=out[:, :n_kept], casting="same_kind")


def _center_and_scale(values: np.ndarray, scaling: str | None) -> tuple[np.ndarray, np.ndarray]:
    if scaling == "standard":
        scaler = StandardScaler().fit(values)
        return scaler.mean_, scaler.scale_
    if scaling == "robust":
        low, center, high = np.nanquantile(values, [0.25, 0.5, 0.75], axis=0)
        half_range = (np.nanmax(values, axis=0) - np.nanmin(values, axis=0)) / 2
        scale = np.where(high > low, high - low, half_range)
        return center, np.where(scale > 0, scale, 1.0)
    n_columns = values.shape[1]
    return np.zeros(n_columns), np.ones(n_columns)


def _smooth_clip(values: np.ndarray) -> None:
    """Bring numbers into (-3, 3) in place, leaving those near 0 alone: x / sqrt(1 + (x/3)^2).

    Written by np.hypot, which does not overflow. Holzmueller et al., "Better by default"
    (NeurIPS 2024), section 3.
    """
    limit = np.finfo(values.dtype).max / 4
    np.clip(values, -limit, limit, out=values)
    values /= np.hypot(1.0, values / 3).astype(values.dtype)
