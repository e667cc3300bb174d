"""The parameters of TablePreprocessor, checked, and the target as its encoding needs it."""

from __future__ import annotations

import numbers
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.multiclass import type_of_target

from mlfund._check import (
    DataError,
    check_choice,
    check_fraction,
    check_positive,
    nearest,
    seed_from,
)
from mlfund.folds import FoldPlan
from mlfund.preprocessing._kinds import KINDS

# What "auto" means for max_categories. airlines_44k (3,500 aircraft), ROC-AUC of logistic
# regression / of an MLP with 10, 100, 400, 1000, all levels: .693 .724 .738 .746 .744 /
# .728 .749 .757 .757 .750. As a dense array 1000 levels a column are too much memory.
AUTO_MAX_CATEGORIES_SPARSE = 1000
AUTO_MAX_CATEGORIES_DENSE = 100
# Integers with more values than this are a quantity, not classes with an output each.
MAX_TARGET_CLASSES = 30
_CROSS_FIT_FOLDS = 5


@dataclass(frozen=True)
class Settings:
    """The parameters with "auto" and shares of rows resolved."""

    encoding: str
    max_categories: int | None
    min_count: int
    scaling: str | None
    impute: bool
    add_indicator: bool
    text_components: int
    seed: int


@dataclass(frozen=True)
class Target:
    """What target encoding needs: y (n,), whether it is a number, the folds to cross-fit by."""

    y: np.ndarray
    continuous: bool
    splits: Sequence[tuple[np.ndarray, np.ndarray]]


def check_parameters(estimator: Any) -> None:
    """Raise ValueError on the first parameter of a TablePreprocessor that is not allowed."""
    encodings = ("onehot", "ordinal", "native")
    check_choice("categorical_encoding", estimator.categorical_encoding, encodings)
    check_choice("high_cardinality", estimator.high_cardinality, ("group", "target"))
    check_choice("numeric_scaling", estimator.numeric_scaling, ("standard", "robust", None))
    check_choice("sparse_output", estimator.sparse_output, ("auto", True, False))
    for name in ("impute", "add_indicator"):
        check_choice(name, getattr(estimator, name), (True, False))
    check_positive("text_components", estimator.text_components, integer=True)
    if isinstance(estimator.min_frequency, numbers.Integral):
        check_positive("min_frequency", estimator.min_frequency, integer=True)
    else:
        check_fraction("min_frequency", estimator.min_frequency)
    limit = estimator.max_categories
    if limit not in ("auto", None) and check_positive("max_categories", limit, integer=True) < 2:
        raise ValueError("max_categories must be at least 2, 'auto' or None; got 1.")
    if estimator.dtype is not None:
        given = estimator.dtype
        name = given if isinstance(given, str) else np.dtype(given).name
        check_choice("dtype", name, ("float32", "float64"))
    if estimator.categorical_encoding == "native" and estimator.sparse_output is True:
        raise ValueError(
            "categorical_encoding='native' and sparse_output=True contradict each other; "
            "native categories come in a DataFrame, so set sparse_output=False."
        )
    if estimator.categorical_encoding == "native" and _uses_target(estimator):
        raise ValueError(
            "categorical_encoding='native' and high_cardinality='target' contradict each other; "
            "set high_cardinality='group', or another encoding."
        )


def resolve(estimator: Any, n_rows: int, *, may_be_sparse: bool) -> Settings:
    """Return the settings for a table of `n_rows` rows."""
    least = estimator.min_frequency
    if not isinstance(least, numbers.Integral):
        least = int(np.ceil(least * n_rows))
    return Settings(
        encoding=estimator.categorical_encoding,
        max_categories=_max_categories(estimator, may_be_sparse),
        min_count=int(least),
        scaling=estimator.numeric_scaling,
        impute=estimator.impute,
        add_indicator=estimator.add_indicator,
        text_components=estimator.text_components,
        seed=seed_from(estimator.random_state),
    )


def _max_categories(estimator: Any, may_be_sparse: bool) -> int | None:
    if estimator.max_categories != "auto":
        return estimator.max_categories
    if _uses_target(estimator):
        return AUTO_MAX_CATEGORIES_DENSE
    if estimator.categorical_encoding != "onehot":
        return None
    return AUTO_MAX_CATEGORIES_SPARSE if may_be_sparse else AUTO_MAX_CATEGORIES_DENSE


def _uses_target(estimator: Any) -> bool:
    return estimator.high_cardinality == "target"


def target_of(estimator: Any, y: Any, groups: Any, n_rows: int, seed: int) -> Target | None:
    """Check the target and make the folds, if the parameters ask for target encoding."""
    if not _uses_target(estimator):
        return None
    if y is None:
        raise ValueError(
            "high_cardinality='target' requires y to be passed, but the target y is None; "
            "give y to fit, or set high_cardinality='group'."
        )
    if n_rows < 2:
        raise DataError(
            "high_cardinality='target' needs two rows or more to cross-fit; got n_samples=1."
        )
    y = column_or_1d(y, warn=True)
    check_consistent_length(np.empty(n_rows), y)
    continuous = type_of_target(y) == "continuous" or (
        y.dtype.kind in "iuf" and len(np.unique(y)) > MAX_TARGET_CLASSES
    )
    task = "regression" if continuous else "classification"
    plan = FoldPlan.make(y, task=task, n_folds=_CROSS_FIT_FOLDS, groups=groups, random_state=seed)
    # A row alone in its class is in no test part (-1); here each row needs a place.
    fold = np.maximum(plan.test_fold[0], 0)
    splits = [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in np.unique(fold)]
    return Target(y, continuous, splits)


def wanted_kinds(kinds: Mapping[Hashable, str] | None, names: Sequence[Hashable]) -> dict[int, str]:
    """Return the kinds that the user asks for, by position of the column."""
    position = {name: j for j, name in enumerate(names)}
    wanted = {}
    for name, kind in (kinds or {}).items():
        if name not in position:
            similar = nearest(name, names)
            hint = f" Did you mean {similar!r}?" if similar else ""
            raise ValueError(f"kinds names {name!r}, which is no column of X.{hint}")
        wanted[position[name]] = check_choice(f"kinds[{name!r}]", kind, (*KINDS, "drop"))
    return wanted
