"""What neural classifiers share: classes, their weights, predictions from raw scores."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import validate_data

from mlfund._engine import scores
from mlfund._engine.data import DeviceRows
from mlfund.augmentation import Augmentation, LabelSmoothing
from mlfund.estimators import _neural_labels as labels
from mlfund.estimators._neural_base import BaseNeural
from mlfund.losses import Loss, loss_for


class BaseNeuralClassifier(ClassifierMixin, BaseNeural):
    """A neural net for classes, binary, multiclass or multilabel."""

    _score_name = "accuracy"

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        groups: Any = None,
    ) -> Self:
        """Train on X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n, d), or array-like of shape (n, ...)
            Features; rows of another shape than (d,) are for modules that take them.
        y : array-like of shape (n,) or (n, n_labels)
            Class labels, or 0/1 indicators of several labels.
        sample_weight : array-like of shape (n,), optional
            Weights of the rows, at least 0.
        X_val, y_val : array-like, optional
            Rows to validate on after each epoch, shaped as X and y. With
            `early_stopping` they take the place of rows held out of X. In a pipeline,
            ``Pipeline(..., transform_input=["X_val"])`` transforms X_val as it does X.
        sample_weight_val : array-like of shape (n_val,), optional
            Their weights, at least 0.
        groups : array-like of shape (n,), optional
            Where rows are held out, all rows of a group are, or none of it.

        Returns
        -------
        estimator
            The estimator itself.

        Raises
        ------
        ValueError
            If parameters contradict each other, the data do not fit, a module of one's own
            cannot be built or returns something else than the targets need, or the
            training diverged in its first epoch.
        """
        validation = (X_val, y_val, sample_weight_val)
        return self._fit(
            X, y, sample_weight, incremental=False, validation=validation, groups=groups
        )

    @available_if(lambda estimator: estimator._has_partial_fit())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train one epoch on X and y, from where the last call left off.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes : array-like of shape (n_classes,), optional
            All classes that will ever come; needed in the first call.

        Returns
        -------
        estimator
            The estimator itself.
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all rows at once and partial_fit sees some; "
                "give the weights as a dict, for instance from "
                "sklearn.utils.class_weight.compute_class_weight."
            )
        self._learn_classes_once(y, classes)
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> np.ndarray:
        """Return class labels, shape (n,), or 0/1 indicators, shape (n, n_labels)."""
        raw = self._raw(X)
        return labels.decode(raw, self.classes_, self._target_kind)

    @available_if(lambda estimator: estimator._has_probabilities())
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities of the classes, shape (n, n_classes), in their order."""
        raw = self._raw(X)
        if self.loss is not None:
            link = self._loss().inverse_link
            assert link is not None
            proba = link(torch.from_numpy(raw)).numpy()
        elif self._target_kind == "multiclass":
            proba = softmax(raw, axis=1)
        else:
            proba = expit(raw)
        return np.hstack([1 - proba, proba]) if self._target_kind == "binary" else proba

    @available_if(lambda estimator: estimator._has_probabilities())
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithms of `predict_proba`."""
        proba = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return np.log(proba, out=proba)

    @available_if(lambda estimator: not estimator._has_link())
    def decision_function(self, X: Any) -> np.ndarray:
        """Return raw scores, shape (n,) for two classes, else (n, n_classes or n_labels)."""
        raw = self._raw(X)
        return raw.ravel() if self._target_kind == "binary" else raw

    def _has_link(self) -> bool:
        """Whether raw scores can be read as probabilities."""
        if self.loss is None:
            return True
        try:
            # Members of a family are alike in this, whatever the classes will be.
            loss = loss_for(self.loss, getattr(self, "_target_kind", "binary"))
        except ValueError:
            # fit says what is wrong with it
            return True
        return loss.inverse_link is not None

    def _has_probabilities(self) -> bool:
        """Whether there is `predict_proba`."""
        if not self._has_link():
            raise AttributeError(
                f"loss={self.loss!r} gives scores that are no probabilities; use "
                "decision_function, or CalibratedClassifierCV, or loss='log_loss'."
            )
        return True

    def _validate(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            dtype=self._input_dtypes,
            reset=reset,
        )
        if sp.issparse(y):
            y = y.toarray()
        return X, column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def _learn_classes_once(self, y: Any, classes: Any) -> None:
        """Take the classes from the first call of `partial_fit`; check later ones."""
        if not hasattr(self, "classes_"):
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            multilabel = type_of_target(y).startswith("multilabel")
            self.classes_ = np.unique(classes)
            self._target_kind = labels.kind_of(self.classes_, multilabel=multilabel)
        elif classes is not None and not np.array_equal(self.classes_, np.unique(classes)):
            raise ValueError(
                f"classes={classes!r} is not the same as on the last call to partial_fit, which "
                f"was {self.classes_!r}."
            )

    def _encode_target(self, y: Any, dtype: Any, *, first: bool, incremental: bool) -> np.ndarray:
        if first and not incremental:
            self.classes_, self._target_kind = labels.learn_classes(y)
        else:
            labels.check_known(y, self.classes_, all_needed=not incremental)
        kind = self._target_kind
        squashed = "softmax" if kind == "multiclass" else "logistic"
        self.out_activation_ = squashed if self._has_link() else "identity"
        return labels.encode(y, self.classes_, kind, dtype)

    def _loss(self) -> Loss:
        return loss_for("log_loss" if self.loss is None else self.loss, self._target_kind)

    def _augmentations(self) -> list[Augmentation]:
        smoothing = [LabelSmoothing(float(self.label_smoothing))] if self.label_smoothing else []
        return smoothing + super()._augmentations()

    def _task(self) -> str:
        return self._target_kind

    def _validation_score(self, raw: torch.Tensor, rows: DeviceRows) -> float:
        return scores.accuracy(raw, rows)

    def _n_outputs(self, target: np.ndarray) -> int:
        return len(self.classes_)

    def _class_weights(self, y: Any, learned_from: Any) -> np.ndarray | None:
        if self.class_weight is None:
            return None
        if y is learned_from:
            return compute_sample_weight(self.class_weight, y)
        rows = np.arange(len(learned_from)) if self.class_weight == "balanced" else None
        both = np.concatenate([learned_from, y])
        return compute_sample_weight(self.class_weight, both, indices=rows)[len(learned_from) :]

    def __sklearn_tags__(self) -> Any:
        """Say that several labels a row are accepted."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
