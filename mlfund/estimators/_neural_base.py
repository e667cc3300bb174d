"""What all neural estimators share: the course of a fit, whatever the module.

A subclass says what its data are (`_validate`, `_encode_target`), which loss it descends
(`_loss`), which torch module it trains (`_make_module`) and what it keeps of it
(`_publish_module`). Everything about the training itself happens here and below.
"""

from __future__ import annotations

import copy
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
)
from torch import nn

from mlfund._check import preserved_torch_state, resolve_device
from mlfund._engine.data import DeviceRows
from mlfund._engine.groups import RateGroup
from mlfund._engine.net import Engine, StepRule
from mlfund._engine.objective import Objective
from mlfund._version_stamp import VersionStamped
from mlfund.augmentation import Augmentation, GaussianNoise, Mixup
from mlfund.estimators import _neural_spec as spec
from mlfund.estimators._neural_callbacks import check_checkpoints, watched
from mlfund.estimators._neural_plot import draw
from mlfund.estimators._neural_rows import HostRows
from mlfund.estimators._neural_steps import DEFAULT_BATCH_SIZE
from mlfund.estimators._neural_training import Outcome, Progress, train_stochastic
from mlfund.estimators._neural_validation import hold_out, score_of
from mlfund.losses import Loss
from mlfund.optimizers import Optimizer


class BaseNeural(VersionStamped, CallbackSupportMixin, BaseEstimator, ABC):
    """A torch module behind scikit-learn's interface; see the subclasses."""

    _parameter_constraints: dict[str, list[Any]] = spec.CONSTRAINTS
    # What X may be of; anything else becomes the first of them.
    _input_dtypes: Any = (np.float64, np.float32)
    # What `_validation_score` measures.
    _score_name: str

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
    def _n_outputs(self, target: np.ndarray) -> int:
        """Return the number of classes, labels or real outputs."""

    @abstractmethod
    def _validation_score(self, raw: torch.Tensor, rows: DeviceRows) -> float:
        """Return the score that early stopping watches without `scoring`."""

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

    def _as_given(self, X: Any) -> Any:
        """Return checked rows as `predict` takes them."""
        return X

    def _reporter(self) -> Self:
        """Return a copy that predicts for a scorer in the training, from rows without names."""
        reporter = copy.copy(self)
        vars(reporter).pop("feature_names_in_", None)
        return reporter

    def _spelled_out(self, n_rows: int) -> Self:
        """Return an estimator whose parameters say what they mean with so many rows."""
        return self

    def _check_parameters(self) -> None:
        """Raise ValueError where parameters are no good together."""
        spec.check_contradictions(self)

    def _optimizer_and_rules(self) -> tuple[Optimizer, list[StepRule]]:
        """Return the optimizer, and what runs before each of its steps."""
        given = "adam" if self.optimizer is None else self.optimizer
        return spec.with_decay(spec.optimizer_from(self, given, ()), self.weight_decay)

    def _max_epochs(self) -> int:
        """Return the most epochs of a fit, 0 where it has none."""
        return int(self.max_iter)

    def _augmentations(self) -> list[Augmentation]:
        """Return what is done to the rows of a training batch, in this order."""
        augmentations: list[Augmentation] = []
        if self.input_noise:
            augmentations.append(GaussianNoise(float(self.input_noise)))
        if self.mixup:
            augmentations.append(Mixup(float(self.mixup)))
        return augmentations

    def _rate_groups(self, module: nn.Module) -> list[RateGroup] | None:
        """Return groups of layers with learning rates of their own, None for one rate."""
        return None

    def _learning_rate_callbacks(self, progress: Progress, lr: float) -> list[Any]:
        """Return callbacks that set the learning rate, beside those of `schedule`."""
        return []

    def _lower_learning_rate(self) -> Callable[[Engine], bool] | None:
        """Return what to do instead of stopping on a plateau: see `StopOnPlateau`."""
        return None

    @classmethod
    def _get_param_names(cls) -> list[str]:
        """Return the names of the constructor's parameters, sorted."""
        # scikit-learn reads the signature in every get_params, clone and set_params: for fifty
        # parameters half a millisecond, together a tenth of a small batched search.
        return list(_param_names(cls))

    def _auto_batch_size(self) -> int:
        """Return the rows of a batch that "auto" stands for, where there are as many."""
        return DEFAULT_BATCH_SIZE

    def _runs_all_epochs(self) -> bool:
        """Whether a training that ends with its last epoch ends as planned."""
        return False

    def _has_partial_fit(self) -> bool:
        """Whether a training has epochs; raises AttributeError where it has none."""
        return True

    def _class_weights(self, y: Any, learned_from: Any) -> np.ndarray | None:
        """Return a weight for each row of y from its class, or None.

        Classes are counted in the targets `learned_from`, those of the training rows.
        """
        return None

    @with_callbacks
    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        incremental: bool,
        validation: tuple[Any, Any, Any] = (None, None, None),
        groups: Any = None,
    ) -> Self:
        """Train; an error or an interrupt in a first pass leaves the estimator unfitted.

        `validation` is ``(X_val, y_val, sample_weight_val)``.
        """
        self._check_parameters()
        spec.check_validation(self, validation, incremental=incremental)
        check_checkpoints(self, incremental=incremental)
        first = not self.__sklearn_is_fitted__() or not (self.warm_start or incremental)
        try:
            with watched(self, X, y, sample_weight, incremental=incremental):
                X, y = self._validate(X, y, reset=first)
                rows = self._host_rows(X, y, sample_weight, groups, first, incremental)
                given = self._validation_rows(validation, y)
                self._fit_rows(rows, given, first=first, incremental=incremental)
        except BaseException:
            if first:
                self._forget()
            raise
        return self

    def _host_rows(
        self, X: Any, y: Any, sample_weight: Any, groups: Any, first: bool, incremental: bool
    ) -> HostRows:
        X, dtype = self._as_input(X)
        weight = self._row_weights(X, y, sample_weight, dtype, learned_from=y)
        target = self._encode_target(y, dtype, first=first, incremental=incremental)
        if groups is not None:
            check_consistent_length(X, groups)
            groups = column_or_1d(groups)
        return HostRows(X, y, target, weight, groups).that_count()

    def _validation_rows(self, validation: tuple[Any, Any, Any], y: Any) -> HostRows | None:
        """Return the user's own validation rows, checked against the training rows."""
        X_val, y_val, sample_weight = validation
        if X_val is None:
            return None
        X_val, y_val = self._validate(X_val, y_val, reset=False)
        if y_val.shape[1:] != y.shape[1:]:
            raise ValueError(
                f"y_val has shape {y_val.shape} and y has shape {y.shape}: "
                "they must have the same columns."
            )
        X_val, dtype = self._as_input(X_val)
        weight = self._row_weights(X_val, y_val, sample_weight, dtype, learned_from=y)
        target = self._encode_target(y_val, dtype, first=False, incremental=True)
        return HostRows(X_val, y_val, target, weight).that_count()

    def _fit_rows(
        self, rows: HostRows, given: HostRows | None, *, first: bool, incremental: bool
    ) -> None:
        loss = self._loss()
        for part in (rows,) if given is None else (rows, given):
            loss.check_target(part.target)
        width = loss.raw_width(self._n_outputs(rows.target))
        random_state = check_random_state(self.random_state)
        device = resolve_device(self.device)
        with preserved_torch_state():
            module = self._make_module(rows.X, width, device, random_state, first=first)
            objective = Objective(loss, width).to(device)
            progress = Progress() if first else self._progress_so_far()
            outcome = self._train(
                module,
                objective,
                rows,
                given,
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
        rows: HostRows,
        held_out: HostRows | None,
        device: torch.device,
        random_state: np.random.RandomState,
        progress: Progress,
        *,
        incremental: bool,
    ) -> Outcome:
        """Train by epochs; the module and `progress` end as the training left them."""
        if held_out is None and (self.early_stopping or self.validation_split is not None):
            rows, held_out = hold_out(self, rows, random_state)
        if not incremental:
            progress.optimizer = {}
        return train_stochastic(
            self,
            module,
            objective,
            rows.on(device),
            valid=None if held_out is None else held_out.on(device),
            score=None if held_out is None else score_of(self, module, objective.loss, held_out),
            random_state=random_state,
            progress=progress,
            incremental=incremental,
        )

    def _row_weights(
        self, X: Any, y: Any, sample_weight: Any, dtype: np.dtype[Any], *, learned_from: Any
    ) -> np.ndarray | None:
        by_class = self._class_weights(y, learned_from)
        if sample_weight is None and by_class is None:
            return None
        weight = _check_sample_weight(sample_weight, X, dtype=dtype, ensure_non_negative=True)
        if by_class is None:
            return weight
        weight = weight * by_class.astype(dtype)
        if not weight.any():
            raise ValueError("All rows have weight zero: class_weight times sample_weight is 0.")
        return weight

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
        self.validation_scores_ = progress.scores if outcome.scored else None
        self.best_validation_score_ = progress.best_score if outcome.scored else None

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
        """One row an epoch, as the class describes it."""
        check_is_fitted(self)
        return pd.DataFrame(self._epochs)

    def plot_history(self, *, axes: Any = None) -> np.ndarray:
        """Draw the training by epoch: losses, validation score, learning rate, norms.

        A dashed line marks the epoch whose weights `early_stopping` kept. Needs
        matplotlib (``pip install 'mlfund[plot]'``).

        Parameters
        ----------
        axes : array-like of matplotlib.axes.Axes, optional
            Where to draw, one axis for each chart; a new figure is made without it.

        Returns
        -------
        ndarray of matplotlib.axes.Axes
            One for each chart; ``axes[0].figure.savefig("training.png")`` writes a file.

        Raises
        ------
        ValueError
            If the last training had no epochs, as those of "lbfgs", or the number of
            axes is not that of the charts.
        ImportError
            If matplotlib is not installed.
        """
        history = self.history_
        if history.empty:
            raise ValueError("The last training had no epochs to draw, for instance by 'lbfgs'.")
        kept = None
        if self.early_stopping and history["valid_score"].notna().any():
            kept = int(history["epoch"][history["valid_score"].idxmax()])
        scoring = self.scoring
        name = self._score_name if scoring is None else getattr(scoring, "__name__", str(scoring))
        return draw(history, score_name=name, kept_epoch=kept, axes=axes)


@functools.cache
def _param_names(kind: type[BaseNeural]) -> tuple[str, ...]:
    return tuple(super(BaseNeural, kind)._get_param_names())
