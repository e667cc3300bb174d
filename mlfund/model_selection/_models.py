"""Models of one split that were trained together, as scorers see them.

A family of estimators subclasses these and adds how raw scores are computed, and how one
model becomes a fitted estimator. What raw scores mean (labels, probabilities, values) is
here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import _safe_indexing

from mlfund.estimators._stacked_responses import class_numbers, probabilities
from mlfund.model_selection._contract import SearchRows

ALL = slice(None)


@dataclass
class _StackedModels(ABC):
    """Models of one split; the rows gathered last are kept, for the next few of them."""

    rows: SearchRows = field(repr=False)
    split: int
    candidates: Sequence[int]
    _: KW_ONLY
    seconds: float = 0.0
    failures: Mapping[int, Exception] = field(default_factory=dict)
    warnings: Sequence[Any] = ()

    def raw(self, rows: NDArray[np.intp], models: slice = ALL) -> NDArray[Any]:
        """Return raw scores (before the link), (m', r, k), of rows of X for some models."""
        held = getattr(self, "_held", None)
        if held is None or held[0] is not rows:
            # Let go of the old rows before the new ones are there.
            self._held = held = None
            self._held = held = (rows, _safe_indexing(self.rows.X, rows))
        return self._raw(held[1], models)

    @abstractmethod
    def _raw(self, X: Any, models: slice) -> NDArray[Any]:
        """Return raw scores of the given rows, (m', r, k)."""

    @abstractmethod
    def estimator(self, position: int) -> Any:
        """Return one model as a fitted estimator."""


@dataclass
class StackedClassifiers(_StackedModels):
    """Classifiers of one split.

    Subclasses write `_raw(X, models)` and `estimator(position)`; `predict_proba` too where
    the link is another one, or returns None where there is none.

    Attributes
    ----------
    rows : SearchRows
        What they were trained on.
    split : int
        Number of the split in the search.
    candidates : sequence of int
        Positions in the list of estimators given to `Family.train`, one a model.
    classes : ndarray of shape (n_classes,)
        Labels in the order of the raw scores.
    multilabel : bool
        Whether the targets are 0/1 indicators of labels.
    seconds : float
        Wall time spent on these models.
    failures : mapping of int to Exception
        By position in `candidates`: models that could not be trained.
    warnings : sequence of warnings.WarningMessage
        What the single fits would have warned of.
    default_metric : callable or None
        The metric of scikit-learn that the estimators' own `score` computes; None if it is
        another one.
    """

    classes: NDArray[Any]
    multilabel: bool = False
    _: KW_ONLY
    default_metric: Any = field(default=accuracy_score, repr=False)

    def codes(self, raw: NDArray[Any]) -> NDArray[np.intp]:
        """Return numbers of classes, (m, r), or 0/1 indicators, (m, r, n_labels)."""
        return class_numbers(raw, multilabel=self.multilabel)

    def predict(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Return labels, (m, r), or 0/1 indicators, (m, r, n_labels)."""
        codes = self.codes(raw)
        return codes if self.multilabel else self.classes[codes]

    def predict_proba(self, raw: NDArray[Any]) -> NDArray[Any] | None:
        """Return probabilities of the classes or labels, (m, r, n_classes)."""
        return probabilities(raw, multilabel=self.multilabel)


@dataclass
class StackedRegressors(_StackedModels):
    """Regressors of one split.

    Subclasses write `_raw(X, models)` and `estimator(position)`; `predict` too where
    predictions are not the raw scores.

    Attributes
    ----------
    rows, split, candidates, seconds, failures, warnings, default_metric
        As of `StackedClassifiers`.
    flat : bool
        Whether y had one dimension.
    """

    flat: bool = True
    _: KW_ONLY
    default_metric: Any = field(default=r2_score, repr=False)
    classes: None = None

    def predict(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Return the predicted values, (m, r), or (m, r, k) where y had two dimensions."""
        return raw[..., 0] if self.flat else raw
