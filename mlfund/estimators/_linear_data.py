"""Rows, targets and weights of a linear classifier, ready for the solvers."""

from __future__ import annotations

import dataclasses
from numbers import Real

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from mlfund._solvers.losses import BinaryLoss, MultinomialLoss


@dataclasses.dataclass(frozen=True)
class Rows:
    """What a solver sees.

    Attributes
    ----------
    X : ndarray or CSR of shape (n, d)
        The rows whose weight is not zero.
    loss : BinaryLoss or MultinomialLoss
    weight_sum : float
        Sum of the row weights before they were scaled to the sum 1.
    """

    X: NDArray | sp.csr_array
    loss: BinaryLoss | MultinomialLoss
    weight_sum: float


def check_classes(name: str, y: NDArray, solver: str) -> NDArray:
    """Return the sorted labels.

    Parameters
    ----------
    name : str
        Of the estimator, for the error.
    y : ndarray of shape (n,)
    solver : str

    Raises
    ------
    ValueError
        If y is not made of classes, of one only, or of more than the solver allows.
    """
    classes = np.unique(y)
    # scikit-learn's check takes an eighth of a small fit, and sorts a second time. Few
    # integers are classes in any case.
    if y.dtype.kind not in "biu" or 2 * len(classes) > len(y):
        check_classification_targets(y)
    if len(classes) < 2:
        raise ValueError(
            f"{name} needs samples of at least 2 classes in the data, "
            f"but the data contains only one class: {classes.tolist()[0]!r}"
        )
    if solver == "liblinear" and len(classes) > 2:
        raise ValueError(
            "The 'liblinear' solver does not support multiclass classification "
            "(n_classes >= 3). Either use another solver or wrap the estimator in a "
            "OneVsRestClassifier to keep applying a one-versus-rest scheme."
        )
    return classes


def check_weights(sample_weight, n: int) -> NDArray | None:
    """Return the weights as float64, or None when there are none.

    Raises
    ------
    ValueError
        If their shape is wrong, one is negative or not finite, or all are zero.
    """
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Real):
        weights = np.full(n, sample_weight, dtype=np.float64)
    else:
        weights = check_array(
            sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
        )
    if weights.shape != (n,):
        raise ValueError(
            f"sample_weight.shape == {weights.shape}, expected {(n,)}: one weight a row of X."
        )
    if np.any(weights < 0):
        raise ValueError("sample_weight must not be negative; set unwanted rows to 0.")
    if not weights.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weights


def make_rows(X, y: NDArray, classes: NDArray, class_weight, sample_weight) -> Rows:
    """Return what the solver sees; rows of weight zero are left out."""
    n = X.shape[0]
    weights = check_weights(sample_weight, n)
    code = np.searchsorted(classes, y)
    if class_weight is not None:
        of_class = compute_class_weight(class_weight, classes=classes, y=y, sample_weight=weights)
        weights = of_class[code] * (1.0 if weights is None else weights)
        if not weights.any():
            raise ValueError("class_weight and sample_weight leave every row with weight zero.")
    X = _usable(X)
    if weights is None:
        return Rows(X, _loss(code, len(classes), 1.0 / n, X.dtype), float(n))
    used = weights > 0
    if not used.all():
        X, code, weights = X[used], code[used], weights[used]
    # Scaled by the largest first: the sum of huge weights may overflow.
    largest = weights.max()
    total = float((weights / largest).sum())
    relative = (weights / largest / total).astype(X.dtype)
    return Rows(X, _loss(code, len(classes), relative, X.dtype), total * float(largest))


def _usable(X):
    """Return X in a form that the products take: CSR without double entries."""
    if sp.issparse(X) and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def _loss(code: NDArray, k: int, weights, dtype):
    if k == 2:
        return BinaryLoss(code.astype(dtype), weights)
    return MultinomialLoss(code, k, weights, dtype)
