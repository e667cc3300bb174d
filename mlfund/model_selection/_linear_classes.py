"""The splits of a classification, those with the same classes together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight

from mlfund._solvers.stacked_data import FoldedRows
from mlfund.model_selection._families import UnstackableError
from mlfund.model_selection._linear_rows import CheckedRows, quietly


@dataclasses.dataclass(frozen=True)
class Part:
    """Splits whose training rows hold the same classes.

    Attributes
    ----------
    splits : ndarray of int of shape (F,)
        Positions in `SearchRows.splits`.
    classes : ndarray of shape (n_classes,)
    index : ndarray of int, or slice
        Rows of these classes that some split trains on.
    folded : FoldedRows
        These rows, weighted.
    """

    splits: NDArray
    classes: NDArray
    index: NDArray | slice
    folded: FoldedRows

    def of(self, some: slice, checked: CheckedRows) -> Part:
        """Return some of the splits, with what a scaler makes of their columns."""
        folded = self.folded.of_folds(some)
        affine = checked.affine_of(self.splits[some])
        folded = dataclasses.replace(folded, affine=affine)
        return dataclasses.replace(self, splits=self.splits[some], folded=folded)

    def weights_of(self, fold: int, n: int) -> NDArray:
        """Return the weights of all n rows in one of the folds."""
        weights, times = np.zeros(n), self.folded.times[fold]
        weights[self.index] = times if self.folded.weights is None else times * self.folded.weights
        return weights


def parts_of_equal_classes(checked: CheckedRows, class_weight: Any) -> Iterator[Part]:
    """Yield the splits, those with the same classes together.

    A fit on rows that lack a class knows nothing of it.

    Raises
    ------
    UnstackableError
        If the fit of a split raises, warns or has no optimum.
    """
    classes, code = np.unique(checked.y, return_inverse=True)
    present = _class_sums(checked.times, code, len(classes), None) > 0
    n_classes = present.sum(axis=1)
    if n_classes.min() < 2:
        raise UnstackableError("the training rows of a split are of one class")
    if (2 * n_classes > checked.times.sum(axis=1)).any():
        raise UnstackableError("a split has fewer than two training rows a class")
    for kept in np.unique(present, axis=0):
        splits = np.flatnonzero((present == kept).all(axis=1))
        # Rows that no fold trains on must not touch a fit, be it in the last digits.
        used = kept[code] & checked.times[splits].any(axis=0)
        index = slice(None) if used.all() else np.flatnonzero(used)
        folded = FoldedRows(
            checked.X[index],
            (np.cumsum(kept) - 1)[code[index]],
            int(kept.sum()),
            None if checked.weights is None else checked.weights[index],
            checked.times[splits][:, index],
        )
        yield Part(splits, classes[kept], index, _weighted(folded, classes[kept], class_weight))


def _weighted(folded: FoldedRows, classes: NDArray, class_weight: Any) -> FoldedRows:
    """Return the rows with the weights of the classes, each fold's own where they balance."""
    sums = _class_sums(folded.times, folded.code, folded.n_classes, folded.weights)
    of_class = np.ones(len(classes))
    if isinstance(class_weight, dict):
        of_class = quietly(lambda: compute_class_weight(class_weight, classes=classes, y=classes))
    weighted = sums * of_class
    if not (np.isfinite(weighted) & (weighted > 0)).all():
        raise UnstackableError("the training rows of a class have no finite weight above zero")
    if class_weight == "balanced":
        balanced = sums.sum(axis=1, keepdims=True) / (folded.n_classes * sums)
        return dataclasses.replace(folded, times=folded.times * balanced[:, folded.code])
    if class_weight is None:
        return folded
    of_rows = 1.0 if folded.weights is None else folded.weights
    return dataclasses.replace(folded, weights=of_rows * of_class[folded.code])


def _class_sums(times: NDArray, code: NDArray, k: int, weights: NDArray | None) -> NDArray:
    """Return the sum of the weights of each class in each fold, (F, k)."""
    weights = np.ones(len(code)) if weights is None else weights
    # Sparse: with thousands of classes an indicator matrix would be larger than X.
    return times @ sp.csr_array((weights, code, np.arange(len(code) + 1)), shape=(len(code), k))
