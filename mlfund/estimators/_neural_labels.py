"""Class labels of neural classifiers: what kind they are, how they become targets and come back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

from mlfund._check import DataError


def learn_classes(y: Any) -> tuple[np.ndarray, str]:
    """Return the classes in y and the kind of target: binary, multiclass or multilabel.

    Raises
    ------
    ValueError
        If y is continuous, or has several columns that are not 0/1 indicators.
    """
    check_classification_targets(y)
    target = type_of_target(y, input_name="y")
    if target == "multiclass-multioutput":
        raise ValueError(
            "y has several columns of classes, and one model takes one; "
            "use sklearn.multioutput.MultiOutputClassifier or 0/1 indicators of labels."
        )
    classes = unique_labels(y)
    return classes, kind_of(classes, multilabel=target == "multilabel-indicator")


def refuse_missing(y: Any) -> None:
    """Raise DataError if a label is None, NaN or a missing value of pandas."""
    # As objects: next to a text, numpy would write None and NaN out.
    given = y if hasattr(y, "shape") else np.asarray(y, dtype=object)
    missing = np.flatnonzero(pd.isna(np.asarray(given)))
    if len(missing):
        raise DataError(
            f"The label in row {missing[0]} of y is missing; leave the rows without labels out "
            "of X and y."
        )


def kind_of(classes: np.ndarray, *, multilabel: bool) -> str:
    """Return the kind of target that so many classes make."""
    if multilabel:
        return "multilabel"
    return "multiclass" if len(classes) > 2 else "binary"


def check_known(y: Any, classes: np.ndarray, *, all_needed: bool) -> None:
    """Raise unless the classes in y were seen before (all of them with `all_needed`)."""
    present = unique_labels(y)
    if all_needed and set(present) != set(classes):
        raise ValueError(
            "warm_start can only be used where `y` has the same classes as in the previous "
            f"call to fit. Previously got {classes}, `y` has {present}"
        )
    unknown = np.setdiff1d(present, classes)
    if len(unknown):
        raise ValueError(
            f"`y` has classes not in `self.classes_`. `self.classes_` has {classes}. "
            f"'y' has {present}."
        )


def encode(y: Any, classes: np.ndarray, kind: str, dtype: Any) -> np.ndarray:
    """Return targets: float (n, k) for binary and multilabel, int64 (n,) for multiclass."""
    if kind == "multilabel":
        return np.asarray(y).astype(bool).astype(dtype)
    codes = np.searchsorted(classes, y)
    return codes.astype(dtype)[:, None] if kind == "binary" else codes.astype(np.int64)


def decode(raw: np.ndarray, classes: np.ndarray, kind: str) -> np.ndarray:
    """Return labels from raw scores."""
    if kind == "multiclass":
        return classes.take(raw.argmax(axis=1))
    if kind == "multilabel":
        return (raw > 0).astype(int)
    if len(classes) == 1:
        return np.repeat(classes, len(raw))
    return classes.take((raw[:, 0] > 0).astype(int))
