"""What estimators of transfer learning predict: classes, or real targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets

from mlfund._check import DataError
from mlfund.estimators import _transfer_heads as heads
from mlfund.estimators._neural_labels import refuse_missing
from mlfund.estimators._target_unit import TargetUnit
from mlfund.estimators._transfer_base import BaseTransfer
from mlfund.estimators._transfer_heads import LinearHead
from mlfund.estimators._transfer_tuning import Tuning, TuningClassifier, TuningRegressor


class TransferClassifier(ClassifierMixin, BaseTransfer):
    """A backbone and a head for classes."""

    _tuning_class: ClassVar[type[Tuning]] = TuningClassifier
    expected_failed_checks: ClassVar[dict[str, str]] = {
        "check_sample_weight_equivalence_on_dense_data": "the strength of the linear head is "
        "chosen on folds of rows, and repeated rows fall into several of them"
    }
    classes_: np.ndarray

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the head, and train the backbone where `strategy` says so.

        Parameters
        ----------
        X : array-like of n rows
            See the class.
        y : array-like of shape (n,)
            Class labels.
        sample_weight : array-like of shape (n,), optional
            Weights of the rows, at least 0.

        Returns
        -------
        estimator
            The estimator itself.

        Raises
        ------
        ImportError, FileNotFoundError
            If weights, or a package that reads them, are not there.
        ValueError
            If rows cannot be read, y has one class, or parameters contradict each other.
        """
        return self._fit(X, y, sample_weight)

    def predict(self, X: Any) -> np.ndarray:
        """Return class labels, shape (n,), of rows as `fit` takes them."""
        model, rows = self._model_and_rows(X)
        return np.asarray(model.predict(rows))

    @available_if(lambda estimator: estimator._head_has("predict_proba"))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities of the classes, shape (n, n_classes), in their order."""
        model, rows = self._model_and_rows(X)
        return np.asarray(model.predict_proba(rows))

    @available_if(lambda estimator: estimator._head_has("predict_proba"))
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithms of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    @available_if(lambda estimator: estimator._head_has("decision_function"))
    def decision_function(self, X: Any) -> np.ndarray:
        """Return scores, shape (n,) for two classes, else (n, n_classes)."""
        model, rows = self._model_and_rows(X)
        return np.asarray(model.decision_function(rows))

    def _head_has(self, method: str) -> bool:
        if not isinstance(self.head, str):
            return hasattr(self.head_ if hasattr(self, "head_") else self.head, method)
        return self.head == "linear" or method != "decision_function"

    def _is_real(self) -> bool:
        return False

    def _check_given_target(self, y: Any) -> None:
        if y is not None:
            refuse_missing(y)

    def _check_target(self, y: Any) -> np.ndarray:
        check_classification_targets(y)
        if np.ndim(y) == 2 and np.shape(y)[1] > 1:
            raise DataError(
                f"y has shape {np.shape(y)}, and a transfer classifier takes one label a row; for "
                "several, put an estimator of such targets behind the backbone: "
                "make_pipeline(BackboneFeatures(), MLPClassifier())."
            )
        y = column_or_1d(y, warn=True)
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise DataError(
                f"y has one class, {self.classes_.tolist()[0]!r}, and a classifier needs at least "
                "two; give rows of another class too."
            )
        return y

    def _row_weights(self, y: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray | None:
        weight = sample_weight
        if self.class_weight is not None:
            of_class = compute_sample_weight(self.class_weight, y)
            weight = of_class if sample_weight is None else of_class * sample_weight
        if weight is not None:
            total = np.bincount(np.searchsorted(self.classes_, y), weight)
            lost = self.classes_[total == 0].tolist()
            if lost:
                raise DataError(
                    f"All rows of the class {lost[0]!r} have weight 0, and nothing can be learned "
                    "of it: leave its rows out, or give some of them a weight by sample_weight "
                    "and class_weight."
                )
        return weight

    def _fit_own_head(
        self,
        name: str,
        views: Sequence[np.ndarray],
        y: np.ndarray,
        weight: np.ndarray | None,
        seed: int,
    ) -> Any:
        if name == "linear":
            return heads.fit_linear_classifier(views, y, weight, seed)
        return heads.fit_own(heads.perceptron_classifier(seed), heads.mean_of(views), y, weight)

    def _tuning_target(
        self, y: np.ndarray, train: slice | np.ndarray, weight: np.ndarray | None
    ) -> np.ndarray:
        return y

    def _tuning_start(self, head: LinearHead) -> LinearHead:
        return head

    def _more_settings(self) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing}


class TransferRegressor(RegressorMixin, BaseTransfer):
    """A backbone and a head for real targets."""

    _tuning_class: ClassVar[type[Tuning]] = TuningRegressor
    expected_failed_checks: ClassVar[dict[str, str]] = {
        "check_sample_weight_equivalence_on_dense_data": "the strength of the linear head is "
        "chosen by leaving out a row, of which a repeated one leaves its twin"
    }

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the head, and train the backbone where `strategy` says so.

        Parameters
        ----------
        X : array-like of n rows
            See the class.
        y : array-like of shape (n,) or (n, k)
            Targets.
        sample_weight : array-like of shape (n,), optional
            Weights of the rows, at least 0.

        Returns
        -------
        estimator
            The estimator itself.

        Raises
        ------
        ImportError, FileNotFoundError
            If weights, or a package that reads them, are not there.
        ValueError
            If rows cannot be read, or parameters contradict each other.
        """
        return self._fit(X, y, sample_weight)

    def predict(self, X: Any) -> np.ndarray:
        """Return predictions, shape (n,), or (n, k) for several targets."""
        model, rows = self._model_and_rows(X)
        predicted = np.asarray(model.predict(rows))
        if model is getattr(self, "tuned_", None):
            predicted = self._unit.restored(predicted.astype(np.float64))
        return predicted

    def _is_real(self) -> bool:
        return True

    def _check_target(self, y: Any) -> np.ndarray:
        y = _as_numbers(np.asarray(y))
        if y.dtype.kind not in "biuf" or not np.isfinite(y.astype(np.float64)).all():
            raise DataError("y must hold numbers, none of them NaN or infinite.")
        y = y.astype(np.float64)
        return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def _row_weights(self, y: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray | None:
        n_rows = len(y) if sample_weight is None else int(np.count_nonzero(sample_weight))
        if n_rows < 2:
            of_weight = "" if sample_weight is None else " of positive weight"
            raise DataError(
                f"X has {n_rows} sample{of_weight}, and a regressor learns from at least two; "
                "give more rows."
            )
        return sample_weight

    def _fit_own_head(
        self,
        name: str,
        views: Sequence[np.ndarray],
        y: np.ndarray,
        weight: np.ndarray | None,
        seed: int,
    ) -> Any:
        E = heads.mean_of(views)
        linear = name == "linear"
        head = heads.linear_regressor(E) if linear else heads.perceptron_regressor(seed)
        return heads.fit_own(head, E, y, weight)

    def _more_settings(self) -> dict[str, Any]:
        return {"loss": "squared_error"}

    def _tuning_target(
        self, y: np.ndarray, train: slice | np.ndarray, weight: np.ndarray | None
    ) -> np.ndarray:
        # A net that begins with scores of 0 takes long to reach targets far from there.
        known, weights = y[train], None if weight is None else weight[train]
        self._unit = TargetUnit.of(known, weights)
        return self._unit.standardised(y)

    def _tuning_start(self, head: LinearHead) -> LinearHead:
        coef, intercept = head
        mean, scale = np.array(self._unit.mean), np.array(self._unit.scale)
        return coef / scale[:, None], (intercept - mean) / scale


def _as_numbers(y: np.ndarray) -> np.ndarray:
    """Return objects that are numbers as such, as databases hand them out, and else y."""
    if y.dtype.kind != "O" or any(isinstance(value, str | bytes) for value in y.flat):
        return y
    try:
        return y.astype(np.float64)
    except (TypeError, ValueError):
        return y
