"""MLPs that were trained as a stack: their raw scores at once, each as a fitted estimator."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from mlfund._check import resolve_device
from mlfund._engine.replicas import Trained
from mlfund.estimators._neural_regressor import BaseNeuralRegressor
from mlfund.estimators._neural_training import Outcome, Progress
from mlfund.model_selection._contract import Affine, SearchRows
from mlfund.model_selection._mlp_net import publish_net
from mlfund.model_selection._mlp_plan import FitPlan
from mlfund.model_selection._models import StackedClassifiers, StackedRegressors
from mlfund.nets.activations import Activation, get_activation

# Weights and biases of a net.
Layers = tuple[Sequence[np.ndarray], Sequence[np.ndarray]]

# Weights of the nets that are scored at once, and their hidden units on a block of rows.
BLOCK_BYTES = 8 << 20


def fitted(plan: FitPlan, trained: Trained) -> Any:
    """Return the estimator as its own fit would have left it, the optimizer's state apart."""
    own = copy.copy(plan.estimator)
    publish_net(own, plan.start.module, trained.coefs, trained.intercepts)
    own.n_outputs_ = trained.coefs[-1].shape[1]
    own.device_ = str(resolve_device(own.device))
    epochs = len(trained.loss_curve)
    scored = plan.start.held_out is not None
    progress = Progress(
        t=epochs * len(plan.start.train),
        stale=trained.stale,
        best_loss=trained.best_loss,
        best_score=max([-math.inf, *trained.scores]),
        loss_curve=list(trained.loss_curve),
        scores=list(trained.scores),
        history=_history(trained, scored),
    )
    own._publish_training(Outcome(epochs, trained.loss_curve[-1], scored), progress)
    return own


def _history(trained: Trained, scored: bool) -> list[dict[str, float]]:
    """Return the rows of `history_`; seconds are an equal share of the model's."""
    epochs = len(trained.loss_curve)
    columns = {"epoch": range(1, epochs + 1), "train_loss": trained.loss_curve}
    if scored:
        columns |= {"valid_loss": trained.valid_losses, "valid_score": trained.scores}
    columns |= {"lr": trained.rates, "seconds": [trained.seconds / epochs] * epochs}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def raw_of_nets(nets: Sequence[Layers | None], like: Layers, activation: Any, X: Any) -> np.ndarray:
    """Return raw scores of nets shaped as `like`, (m, r, k), NaN for those that are None.

    Few nets go at once, so that next to theirs no second copy of all weights is made.
    """
    coefs, _ = like
    out = np.full((len(nets), X.shape[0], coefs[-1].shape[1]), np.nan, dtype=X.dtype)
    known = [(place, net) for place, net in enumerate(nets) if net is not None]
    at_once = max(1, BLOCK_BYTES // (2 * sum(coef.nbytes for coef in coefs)))
    for first in range(0, len(known), at_once):
        places, chosen = zip(*known[first : first + at_once], strict=True)
        out[list(places)] = _raw_at_once(chosen, get_activation(activation), X)
    return out


def _raw_at_once(nets: Sequence[Layers], activation: Activation, X: Any) -> np.ndarray:
    # The first layers of all nets are one product.
    wide = np.concatenate([coefs[0] for coefs, _ in nets], axis=1)
    shift = np.concatenate([intercepts[0] for _, intercepts in nets])
    above = [
        (
            np.stack([coefs[layer] for coefs, _ in nets]),
            np.stack([intercepts[layer] for _, intercepts in nets])[:, None],
        )
        for layer in range(1, len(nets[0][0]))
    ]
    widest = max(coef.shape[1] for coef in nets[0][0])
    rows = max(1, BLOCK_BYTES // (len(nets) * widest * X.dtype.itemsize))
    parts = []
    # Once for no rows, too.
    for start in range(0, max(1, X.shape[0]), rows):
        hidden = X[start : start + rows] @ wide
        hidden += shift
        hidden = hidden.reshape(len(hidden), len(nets), nets[0][0][0].shape[1]).transpose(1, 0, 2)
        for coefs, intercepts in above:
            hidden = np.ascontiguousarray(hidden)
            activation.numpy_(hidden)
            hidden = hidden @ coefs
            hidden += intercepts
        parts.append(hidden)
    return np.concatenate(parts, axis=1)


class _Stacked:
    """What both kinds of trained MLPs share."""

    rows: Any
    split: int

    def of(self, estimators: Sequence[Any], nets: Sequence[Layers | None], activation: Any) -> Any:
        """Hold fitted estimators and their layers, None where the fit failed; return self."""
        self._estimators = estimators
        self._any: Any = next((one for one in estimators if one is not None), None)
        self._nets, self._activation = nets, activation
        return self

    def _raw(self, X: Any, models: slice) -> np.ndarray:
        """Return raw scores of rows as the user gave them."""
        like = next(net for net in self._nets if net is not None)
        dtype = like[0][0].dtype
        X = X.tocsr().astype(dtype) if sp.issparse(X) else np.asarray(X, dtype=dtype)
        if self.rows.affine is not None:
            place = list(self.rows.numbers).index(self.split)
            X = scaled(X, self.rows.affine, place)
        return raw_of_nets(self._nets[models], like, self._activation, X)

    def estimator(self, position: int) -> Any:
        """Return one model as a fitted estimator."""
        return self._estimators[position]

    def _flat(self, raw: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(raw)).reshape(-1, raw.shape[2])


class MLPClassifiers(_Stacked, StackedClassifiers):
    """Classifiers of one split."""

    def codes(self, raw: np.ndarray) -> np.ndarray:
        """Return numbers of classes, (m, r), or 0/1 indicators, (m, r, n_labels)."""
        if len(self.classes) == 1 and not self.multilabel:
            # There is one raw score, which speaks of a second class.
            return np.zeros(raw.shape[:2], dtype=np.intp)
        return super().codes(raw)

    def predict_proba(self, raw: np.ndarray) -> np.ndarray | None:
        """Return probabilities, (m, r, n_classes); None for a loss without a link."""
        own = self._any
        if own.loss is None:
            return super().predict_proba(raw)
        link = own._loss().inverse_link
        if link is None:
            return None
        proba = link(self._flat(raw)).numpy().reshape(*raw.shape[:2], -1)
        if own._target_kind == "binary":
            proba = np.concatenate([1 - proba, proba], axis=2)
        return proba


class MLPRegressors(_Stacked, StackedRegressors):
    """Regressors of one split."""

    def predict(self, raw: np.ndarray) -> np.ndarray:
        """Return values, (m, r) or (m, r, n_outputs)."""
        mean = self._any._mean(self._flat(raw).numpy().copy())
        return super().predict(mean.reshape(*raw.shape[:2], -1))


def stacked_models(
    rows: SearchRows,
    place: int,
    estimators: Sequence[Any],
    nets: Sequence[Layers | None],
    told: dict[str, Any],
    *,
    activation: Any,
    flat: bool,
) -> Any:
    """Return the models of a split.

    Parameters
    ----------
    rows : SearchRows
        The rows of the search.
    place : int
        Place of the split in `rows.splits`.
    estimators : sequence of estimator or None
        Fitted, None where the fit failed.
    nets : sequence of (coefs, intercepts) or None
        Their layers.
    told : dict
        seconds, failures and warnings, as `TrainedModels` has them.
    activation : str or Activation
        Of the hidden layers.
    flat : bool
        Whether y has one axis.
    """
    split, candidates = rows.numbers[place], range(len(estimators))
    known = next((one for one in estimators if one is not None), None)
    if isinstance(known, BaseNeuralRegressor):
        values = MLPRegressors(rows, split, candidates, flat=flat, **told)
        return values.of(estimators, nets, activation)
    classes = np.empty(0) if known is None else known.classes_
    several = known is not None and known._target_kind == "multilabel"
    models = MLPClassifiers(rows, split, candidates, classes, multilabel=several, **told)
    return models.of(estimators, nets, activation)


def scaled(X: Any, affine: Affine, place: int) -> Any:
    """Return rows as the scaler of a split makes them, in their own dtype."""
    if sp.issparse(X):
        # Scalers of sparse rows leave zeros alone: there is no centre.
        return (X @ sp.diags(1.0 / affine.scale[place].astype(X.dtype))).tocsr()
    out = X - affine.centre[place].astype(X.dtype)
    out /= affine.scale[place].astype(X.dtype)
    return out
