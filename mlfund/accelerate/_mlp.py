"""Replacements of scikit-learn's `MLPClassifier` and `MLPRegressor`."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import sklearn.neural_network._multilayer_perceptron as _sklearn
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_random_state

from mlfund.accelerate._replacement import (
    Replacement,
    accelerated,
    as_in,
    parameters,
    publish_columns,
)

# Multiplications of a training, at most, below which importing torch costs more than a fit gains:
# scikit-learn does 1e9 to 2e9 a second (forward and backward), torch takes 1.5 s to import and a
# fit gains a tenth to a third. Measured on 64-100-10 and 50-50-50-2 in float64, one thread.
LEAST_WORK = 2e10
_ATTRIBUTES = ("coefs_", "intercepts_", "loss_", "n_iter_", "n_layers_", "n_outputs_", "t_")
_CURVES = ("loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_")


class _MLP(Replacement):
    """What both share."""

    solver: str

    @as_in(_sklearn.BaseMultilayerPerceptron.fit)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        return accelerated(self, X, y, sample_weight=sample_weight)

    def _refusal(self, X: Any, y: Any, sample_weight: Any) -> str | None:
        reason = why_not_equivalent(self) or why_not_weights(sample_weight)
        if reason is None and self.solver == "lbfgs" and _several_outputs(y):
            reason = "with several outputs scikit-learn's lbfgs minimises something else"
        if reason is None and _work(self, X, y) < LEAST_WORK:
            reason = "so small a training gains nothing"
        return reason

    def _fit_by_mlfund(self, X: Any, y: Any, sample_weight: Any) -> None:
        import mlfund

        ours = getattr(mlfund, type(self)._replaced.__name__)
        ours = ours(**parameters(self, self._replaced._get_param_names))
        ours.fit(X, y, sample_weight=sample_weight)
        publish(self, ours, y)


class MLPClassifier(_MLP, _sklearn.MLPClassifier, replaces=True):
    """Trains by mlfund where that comes to the same."""


class MLPRegressor(_MLP, _sklearn.MLPRegressor, replaces=True):
    """Trains by mlfund where that comes to the same."""


def why_not_equivalent(estimator: Any) -> str | None:
    """Return which parameter keeps mlfund's training from being scikit-learn's, or None."""
    if estimator.verbose:
        return "verbose asks for scikit-learn's own words"
    if estimator.early_stopping:
        return "early_stopping=True draws its validation rows otherwise"
    if estimator.warm_start and hasattr(estimator, "coefs_"):
        return "warm_start=True goes on from an earlier training"
    return None


def why_not_weights(sample_weight: Any) -> str | None:
    """Return what in the weights of rows is taken otherwise, None if nothing."""
    if sample_weight is not None and not np.all(np.asarray(sample_weight) > 0):
        return "scikit-learn takes rows of weight zero for rows"
    return None


def _several_outputs(y: Any) -> bool:
    return np.ndim(y) > 1 and np.shape(y)[1] > 1


def _work(estimator: Any, X: Any, y: Any) -> float:
    """Return the multiplications of a training over all its epochs, forward and backward."""
    if estimator.solver == "lbfgs":
        epochs = min(estimator.max_iter, estimator.max_fun)
    else:
        epochs = estimator.max_iter
    hidden = np.atleast_1d(estimator.hidden_layer_sizes)
    outputs = 1 if np.ndim(y) == 1 else np.shape(y)[1]
    sizes = [np.shape(X)[1], *hidden, outputs]
    return 3.0 * np.shape(X)[0] * epochs * sum(a * b for a, b in pairwise(sizes))


def publish(estimator: Any, ours: Any, y: Any) -> None:
    """Set scikit-learn's fitted attributes, so that predictions and `partial_fit` go on.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Of scikit-learn.
    ours : mlfund.MLPClassifier or mlfund.MLPRegressor
        Fitted with the same parameters.
    y : array-like
        What both were fitted to.
    """
    publish_columns(estimator, ours)
    for name in _ATTRIBUTES:
        setattr(estimator, name, getattr(ours, name))
    estimator.out_activation_ = getattr(ours, "out_activation_", None) or _link(estimator)
    estimator._random_state = check_random_state(estimator.random_state)
    if hasattr(ours, "classes_"):
        estimator._label_binarizer = LabelBinarizer().fit(y)
        estimator.classes_ = estimator._label_binarizer.classes_
    estimator._best_coefs = [coef.copy() for coef in ours.coefs_]
    estimator._best_intercepts = [b.copy() for b in ours.intercepts_]
    if estimator.solver != "lbfgs":
        for name in _CURVES:
            setattr(estimator, name, getattr(ours, name))
        estimator._no_improvement_count = ours._no_improvement_count
        estimator._optimizer = _optimizer(estimator, ours._optimizer_state)


def _link(estimator: Any) -> str:
    return "exp" if estimator.loss == "poisson" else "identity"


def _optimizer(estimator: Any, left: dict[str, Any]) -> SGDOptimizer | AdamOptimizer:
    """Return scikit-learn's optimizer in the state that ours ended in."""
    params = estimator.coefs_ + estimator.intercepts_
    if estimator.solver == "adam":
        adam = AdamOptimizer(
            params,
            estimator.learning_rate_init,
            estimator.beta_1,
            estimator.beta_2,
            estimator.epsilon,
        )
        if left:
            adam.t = int(left["state"]["step"])
            adam.ms = _split(left["state"]["exp_avg"], params)
            adam.vs = _split(left["state"]["exp_avg_sq"], params)
        return adam
    sgd = SGDOptimizer(
        params,
        estimator.learning_rate_init,
        estimator.learning_rate,
        estimator.momentum,
        estimator.nesterovs_momentum,
        estimator.power_t,
    )
    if left:
        sgd.learning_rate = left["lr"]
        if "momentum_buffer" in left["state"]:
            velocity = -left["lr"] * left["state"]["momentum_buffer"]
            sgd.velocities = _split(velocity, params)
    return sgd


def _split(flat: Any, params: list[Any]) -> list[Any]:
    """Cut a flat vector into arrays of the shapes of `params`."""
    ends = np.cumsum([param.size for param in params])[:-1]
    parts = zip(np.split(flat, ends), params, strict=True)
    return [part.reshape(param.shape) for part, param in parts]
