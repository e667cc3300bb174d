"""What all neural estimators share: the course of a fit, whatever the module.

A subclass says what its data are (`_validate`, `_encode_target`), which loss it descends
(`_loss`), which torch module it trains (`_make_module`) and what it keeps of it
(`_publish_module`). Everything about the training itself happens here and below.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted
from torch import nn

from mlfund._check import preserved_torch_state, resolve_device
from mlfund._engine.data import DeviceRows
from mlfund._engine.net import Engine, StepRule
from mlfund._engine.objective import Objective
from mlfund._version_stamp import VersionStamped
from mlfund.estimators import _neural_spec as spec
from mlfund.estimators._neural_training import Outcome, Progress, train_stochastic
from mlfund.folds import FoldPlan
from mlfund.losses import Loss
from mlfund.optimizers import Optimizer

# Features, encoded targets and row weights (or None) of the same rows.
Arrays = tuple[Any, np.ndarray, np.ndarray | None]


class BaseNeural(VersionStamped, BaseEstimator, ABC):
    """A torch module behind scikit-learn's interface; see the subclasses."""

    _parameter_constraints: dict[str, list[Any]] = spec.CONSTRAINTS
    # What X may be of; anything else becomes the first of them.
    _input_dtypes: Any = (np.float64, np.float32)

    @abstractmethod
    def _validate(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        """Return X and y as arrays, checked; `reset` records the columns of X."""

    @abstractmethod
    def _encode_target(self, y: Any, dtype: Any, *, first: bool, incremental: bool) -> np.ndarray:
        """Return y as the loss takes it; learn what `predict` needs on the first pass."""

    @abstractmethod
    def _loss(self) -> Loss:
        """Return what is minimised; called after `_encode_target`."""

    @abstractmethod
    def _task(self) -> str:
        """Return the task as `mlfund.folds` names it."""

    @abstractmethod
    def _validation_score(self, raw: torch.Tensor, rows: DeviceRows) -> float:
        """Return the score that early stopping watches."""

    @abstractmethod
    def _make_module(
        self,
        X: Any,
        width: int,
        device: torch.device,
        random_state: np.random.RandomState,
        *,
        first: bool,
    ) -> nn.Module:
        """Return the module on `device`: initial if `first`, else as the last fit left it.

        It maps rows of X (checked, in the dtype of the computation) to raw scores of
        shape (n, width). torch's random state may be seeded here: `fit` restores it.
        """

    @abstractmethod
    def _publish_module(self, module: Any) -> None:
        """Set the fitted attributes that hold the module, as numpy.

        Raises
        ------
        ValueError
            If one of its weights is not finite.
        """

    @abstractmethod
    def _raw(self, X: Any) -> np.ndarray:
        """Return raw scores of rows, shape (n, k), after checking X."""

    def _as_input(self, X: Any) -> tuple[Any, np.dtype[Any]]:
        """Return X in the dtype in which the module takes it, and that of its weights."""
        dtype = spec.compute_dtype(self.precision, X.dtype)
        return X.astype(dtype, copy=False), dtype

    def _check_parameters(self) -> None:
        """Raise ValueError where parameters are no good together."""
        spec.check_contradictions(self)

    def _optimizer_and_rules(self) -> tuple[Optimizer, list[StepRule]]:
        """Return the optimizer, and what runs before each of its steps."""
        given = "adam" if self.optimizer is None else self.optimizer
        return spec.with_decay(spec.optimizer_from(self, given, ()), self.weight_decay)

    def _learning_rate_callbacks(self, progress: Progress) -> list[Any]:
        """Return callbacks that set the learning rate, beside those of `schedule`."""
        return []

    def _lower_learning_rate(self) -> Callable[[Engine], bool] | None:
        """Return what to do instead of stopping on a plateau: see `StopOnPlateau`."""
        return None

    def _class_weights(self, y: Any) -> np.ndarray | None:
        """Return a weight for each row from its class, or None."""
        return None

    def _fit(self, X: Any, y: Any, sample_weight: Any, *, incremental: bool) -> Any:
        """Train; an error or an interrupt in a first pass leaves the estimator unfitted."""
        self._check_parameters()
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        first = not self.__sklearn_is_fitted__() or not (self.warm_start or incremental)
        try:
            self._fit_checked(X, y, sample_weight, first=first, incremental=incremental)
        except BaseException:
            if first:
                self._forget()
            raise
        return self

    def _fit_checked(
        self, X: Any, y: Any, sample_weight: Any, *, first: bool, incremental: bool
    ) -> None:
        X, y = self._validate(X, y, reset=first)
        X, dtype = self._as_input(X)
        weight = self._row_weights(X, y, sample_weight, dtype)
        target = self._encode_target(y, dtype, first=first, incremental=incremental)
        X, target, weight = _drop_weightless(X, target, weight)
        loss = self._loss()
        loss.check_target(target)
        n_classes = len(self.classes_) if hasattr(self, "classes_") else target.shape[1]
        width = loss.raw_width(n_classes)
        random_state = check_random_state(self.random_state)
        device = resolve_device(self.device)
        with preserved_torch_state():
            module = self._make_module(X, width, device, random_state, first=first)
            objective = Objective(loss, width).to(device)
            progress = Progress() if first else self._progress_so_far()
            outcome = self._train(
                module,
                objective,
                (X, target, weight),
                device,
                random_state,
                progress,
                incremental=incremental,
            )
        self._publish_module(module)
        self.n_outputs_ = width
        self.device_ = str(device)
        self._publish_training(outcome, progress)

    def _train(
        self,
        module: Any,
        objective: Objective,
        arrays: Arrays,
        device: torch.device,
        random_state: np.random.RandomState,
        progress: Progress,
        *,
        incremental: bool,
    ) -> Outcome:
        """Train by epochs; the module and `progress` end as the training left them."""
        valid = None
        if self.early_stopping:
            arrays, held_out = self._hold_out(arrays, random_state)
            valid = DeviceRows(*held_out, device=device)
        rows = DeviceRows(*arrays, device=device)
        if not incremental:
            progress.optimizer = {}
        return train_stochastic(
            self,
            module,
            objective,
            rows,
            valid=valid,
            score=None if valid is None else self._validation_score,
            random_state=random_state,
            progress=progress,
            incremental=incremental,
        )

    def _row_weights(
        self, X: Any, y: Any, sample_weight: Any, dtype: np.dtype[Any]
    ) -> np.ndarray | None:
        by_class = self._class_weights(y)
        if sample_weight is None and by_class is None:
            return None
        weight = _check_sample_weight(sample_weight, X, dtype=dtype, ensure_non_negative=True)
        if by_class is None:
            return weight
        weight = weight * by_class.astype(dtype)
        if not weight.any():
            raise ValueError("All rows have weight zero: class_weight times sample_weight is 0.")
        return weight

    def _hold_out(
        self, arrays: Arrays, random_state: np.random.RandomState
    ) -> tuple[Arrays, Arrays]:
        """Split rows for early stopping, stratified by class."""
        X, target, weight = arrays
        too_small = (
            "The validation set is too small. Increase 'validation_fraction' or the size of "
            "your dataset."
        )
        if self.validation_fraction == 0 or len(target) < 3:
            raise ValueError(too_small)
        train, valid = FoldPlan.holdout(
            target, task=self._task(), fraction=self.validation_fraction, random_state=random_state
        )[0]
        if len(valid) < 2:
            raise ValueError(too_small)
        parts = [
            (X[index], target[index], None if weight is None else weight[index])
            for index in (train, valid)
        ]
        return parts[0], parts[1]

    def _progress_so_far(self) -> Progress:
        """Return what an earlier training left for the next one."""
        best_loss = getattr(self, "best_loss_", None)
        best_score = getattr(self, "best_validation_score_", None)
        return Progress(
            t=self.t_,
            stale=self._no_improvement_count,
            best_loss=np.inf if best_loss is None else best_loss,
            best_score=-np.inf if best_score is None else best_score,
            loss_curve=list(getattr(self, "loss_curve_", [])),
            scores=list(getattr(self, "validation_scores_", None) or []),
            history=list(self._epochs),
            optimizer=dict(self._optimizer_state),
        )

    def _publish_training(self, outcome: Outcome, progress: Progress) -> None:
        """Set the fitted attributes that tell of the training, as numpy and Python."""
        self.n_iter_ = outcome.n_iter
        self.loss_ = outcome.loss
        self.t_ = progress.t
        self._no_improvement_count = progress.stale
        self._optimizer_state = progress.optimizer
        self._epochs = progress.history
        self.loss_curve_ = progress.loss_curve
        self.best_loss_ = None if self.early_stopping else progress.best_loss
        self.validation_scores_ = progress.scores if self.early_stopping else None
        self.best_validation_score_ = progress.best_score if self.early_stopping else None

    def _forget(self) -> None:
        """Remove everything that a fit sets."""
        for name in list(vars(self)):
            fitted = name.endswith("_") and not name.startswith("__")
            if fitted or name in ("_no_improvement_count", "_optimizer_state", "_epochs"):
                delattr(self, name)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether a training has ended with weights."""
        return hasattr(self, "n_iter_")

    @property
    def history_(self) -> pd.DataFrame:
        """One row an epoch: epoch, train_loss, lr, seconds, and validation columns."""
        check_is_fitted(self)
        return pd.DataFrame(self._epochs)


def _drop_weightless(
    X: Any, target: np.ndarray, weight: np.ndarray | None
) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Return the rows whose weight is not zero: such a row is as if it were not there."""
    if weight is None or weight.all():
        return X, target, weight
    kept = np.flatnonzero(weight)
    X = X.tocsr() if sp.issparse(X) else X
    return X[kept], target[kept], weight[kept]
