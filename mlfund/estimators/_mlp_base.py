"""What `MLPClassifier` and `MLPRegressor` share: the course of a fit, and raw scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from mlfund._check import preserved_torch_state, resolve_device
from mlfund._engine.data import DeviceRows
from mlfund._engine.objective import Objective
from mlfund._version_stamp import VersionStamped
from mlfund.estimators import _mlp_spec as spec
from mlfund.estimators._mlp_training import (
    Outcome,
    Progress,
    torch_generator,
    train_lbfgs,
    train_stochastic,
)
from mlfund.folds import FoldPlan
from mlfund.initializers import get_initializer
from mlfund.losses import get_loss
from mlfund.nets.activations import ACTIVATIONS
from mlfund.nets.mlp import MLP


class BaseMLP(VersionStamped, BaseEstimator, ABC):
    """A multilayer perceptron behind scikit-learn's interface; see the subclasses."""

    _parameter_constraints: dict[str, list[Any]] = spec.CONSTRAINTS

    @abstractmethod
    def _validate(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        """Return X and y as arrays, checked; `reset` records the columns of X."""

    @abstractmethod
    def _encode_target(self, y: Any, dtype: Any, *, first: bool, incremental: bool) -> np.ndarray:
        """Return y as the loss takes it; learn what `predict` needs on the first pass."""

    @abstractmethod
    def _loss_name(self) -> str:
        """Return the name of the loss in `mlfund.losses`."""

    @abstractmethod
    def _task(self) -> str:
        """Return the task as `mlfund.folds` names it."""

    @abstractmethod
    def _validation_score(self, raw: torch.Tensor, rows: DeviceRows) -> float:
        """Return the score that early stopping watches."""

    def _class_weights(self, y: Any) -> np.ndarray | None:
        """Return a weight for each row from its class, or None."""
        return None

    def _fit(self, X: Any, y: Any, sample_weight: Any, *, incremental: bool) -> Any:
        """Train; an error or an interrupt in a first pass leaves the estimator unfitted."""
        spec.check_contradictions(self)
        hidden = spec.layer_sizes(self.hidden_layer_sizes)
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        try:
            self._fit_checked(X, y, sample_weight, hidden, first=first, incremental=incremental)
        except BaseException:
            if first:
                self._forget()
            raise
        return self

    def _fit_checked(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        hidden: list[int],
        *,
        first: bool,
        incremental: bool,
    ) -> None:
        X, y = self._validate(X, y, reset=first)
        dtype = spec.compute_dtype(self.precision, X.dtype)
        X = X.astype(dtype, copy=False)
        weight = self._row_weights(X, y, sample_weight)
        target = self._encode_target(y, dtype, first=first, incremental=incremental)
        X, target, weight = _drop_weightless(X, target, weight)
        loss = get_loss(self._loss_name())
        loss.check_target(target)
        n_classes = len(self.classes_) if hasattr(self, "classes_") else target.shape[1]
        random_state = check_random_state(self.random_state)
        device = resolve_device(self.device)
        sizes = [X.shape[1], *hidden, loss.raw_width(n_classes)]
        module = self._make_module(sizes, dtype, device, random_state, first=first)
        objective = Objective(loss, sizes[-1]).to(device)
        progress = Progress() if first else self._progress_so_far()
        outcome = self._train(
            module, objective, (X, target, weight), random_state, progress, incremental=incremental
        )
        self._publish(module, outcome, progress, sizes, device)

    def _train(
        self,
        module: MLP,
        objective: Objective,
        arrays: tuple[Any, np.ndarray, np.ndarray | None],
        random_state: np.random.RandomState,
        progress: Progress,
        *,
        incremental: bool,
    ) -> Outcome:
        device = module.weights[0].device
        valid = None
        if self.early_stopping and self.solver != "lbfgs":
            arrays, held_out = self._hold_out(arrays, random_state)
            valid = DeviceRows(*held_out, device=device)
        rows = DeviceRows(*arrays, device=device)
        with preserved_torch_state():
            if self.solver == "lbfgs":
                return train_lbfgs(self, module, objective, rows)
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

    def _row_weights(self, X: Any, y: Any, sample_weight: Any) -> np.ndarray | None:
        by_class = self._class_weights(y)
        if sample_weight is None and by_class is None:
            return None
        weight = _check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True)
        if by_class is None:
            return weight
        weight = weight * by_class.astype(X.dtype)
        if not weight.any():
            raise ValueError("All rows have weight zero: class_weight times sample_weight is 0.")
        return weight

    def _hold_out(self, arrays: tuple[Any, ...], random_state: np.random.RandomState) -> Any:
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
        return tuple(
            tuple(None if part is None else part[index] for part in (X, target, weight))
            for index in (train, valid)
        )

    def _make_module(
        self,
        sizes: list[int],
        dtype: np.dtype[Any],
        device: torch.device,
        random_state: np.random.RandomState,
        *,
        first: bool,
    ) -> MLP:
        if not first:
            self._check_same_layers(sizes)
            coefs = [coef.astype(dtype, copy=False) for coef in self.coefs_]
            intercepts = [b.astype(dtype, copy=False) for b in self.intercepts_]
        elif self.initializer is None:
            coefs, intercepts = _sklearn_start(sizes, self.activation, random_state, dtype)
        else:
            coefs, intercepts = self._start(sizes, random_state, dtype)
        rates = spec.dropout_rates(self.dropout, len(sizes) - 2)
        # No draw without dropout, so that the row orders are scikit-learn's.
        generator = torch_generator(random_state, device) if any(rates) else None
        module = MLP(
            coefs, intercepts, activation=self.activation, dropout=rates, generator=generator
        )
        return module.to(device)

    def _check_same_layers(self, sizes: list[int]) -> None:
        before = [self.coefs_[0].shape[0], *(coef.shape[1] for coef in self.coefs_)]
        if before != sizes:
            raise ValueError(
                f"A training goes on from a net of {before} units a layer, and the parameters "
                f"now ask for {sizes}; call fit with warm_start=False to start anew."
            )

    def _start(
        self, sizes: list[int], random_state: np.random.RandomState, dtype: np.dtype[Any]
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return initial weights and biases from the entry that `initializer` names."""
        entry = get_initializer(self.initializer)
        generator = torch_generator(random_state, torch.device("cpu"))
        coefs, intercepts = [], []
        for fan_in, fan_out in pairwise(sizes):
            weight, bias = torch.empty(fan_out, fan_in), torch.empty(fan_out)
            entry.init_(weight, bias, generator, self.activation)
            coefs.append(np.ascontiguousarray(weight.numpy().T, dtype=dtype))
            intercepts.append(bias.numpy().astype(dtype))
        return coefs, intercepts

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

    def _publish(
        self,
        module: MLP,
        outcome: Outcome,
        progress: Progress,
        sizes: list[int],
        device: torch.device,
    ) -> None:
        """Set the fitted attributes, all of them at once and as numpy."""
        self.coefs_ = module.coefs()
        self.intercepts_ = module.intercepts()
        if not all(np.isfinite(array).all() for array in (*self.coefs_, *self.intercepts_)):
            raise ValueError("Solver produced non-finite parameter weights.")
        self.n_layers_ = len(sizes)
        self.n_outputs_ = sizes[-1]
        self.n_iter_ = outcome.n_iter
        self.loss_ = outcome.loss
        self.t_ = progress.t
        self.device_ = str(device)
        self._no_improvement_count = progress.stale
        self._optimizer_state = progress.optimizer
        self._epochs = progress.history
        if self.solver == "lbfgs":
            # Curves of an earlier training by epochs would belong to other weights.
            for name in spec.CURVES:
                vars(self).pop(name, None)
            return
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
        return hasattr(self, "coefs_")

    @property
    def history_(self) -> pd.DataFrame:
        """One row an epoch: epoch, train_loss, lr, seconds, and validation columns."""
        check_is_fitted(self)
        return pd.DataFrame(self._epochs)

    def _raw(self, X: Any) -> np.ndarray:
        """Return raw scores, shape (n, k), in numpy: no net is rebuilt for one row."""
        check_is_fitted(self)
        X = validate_data(
            self, X, accept_sparse=["csr", "csc"], reset=False, dtype=(np.float64, np.float32)
        )
        hidden = X.astype(self.coefs_[0].dtype, copy=False)
        activate_ = ACTIVATIONS[self.activation].numpy_
        last = len(self.coefs_) - 1
        for layer, (coef, intercept) in enumerate(zip(self.coefs_, self.intercepts_, strict=True)):
            hidden = hidden @ coef
            hidden += intercept
            if layer < last:
                activate_(hidden)
        return hidden

    def _has_partial_fit(self) -> bool:
        """Whether the solver works in epochs; `partial_fit` is there only then."""
        if self.solver not in spec.STOCHASTIC_SOLVERS:
            raise AttributeError(
                f"partial_fit is only available for stochastic optimizers. {self.solver} is not "
                "stochastic."
            )
        return True

    def __sklearn_tags__(self) -> Any:
        """Say that sparse X is accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _sklearn_start(
    sizes: list[int], activation: str, random_state: np.random.RandomState, dtype: np.dtype[Any]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Draw scikit-learn's initial weights from scikit-learn's stream."""
    factor = 2.0 if activation == "logistic" else 6.0
    coefs, intercepts = [], []
    for fan_in, fan_out in pairwise(sizes):
        bound = np.sqrt(factor / (fan_in + fan_out))
        coefs.append(random_state.uniform(-bound, bound, (fan_in, fan_out)).astype(dtype))
        intercepts.append(random_state.uniform(-bound, bound, fan_out).astype(dtype))
    return coefs, intercepts


def _drop_weightless(
    X: Any, target: np.ndarray, weight: np.ndarray | None
) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Return the rows whose weight is not zero: such a row is as if it were not there."""
    if weight is None or weight.all():
        return X, target, weight
    kept = np.flatnonzero(weight)
    X = X.tocsr() if sp.issparse(X) else X
    return X[kept], target[kept], weight[kept]
