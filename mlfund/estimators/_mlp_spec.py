"""What the parameters mean that only MLPs have: the layers, and scikit-learn's solvers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from mlfund._check import check_positive
from mlfund._engine.net import StepRule
from mlfund._engine.rules import adam_epsilon, decoupled_decay
from mlfund.estimators import _neural_spec
from mlfund.estimators._neural_spec import optimizer_from, refuse_pair, split_decay
from mlfund.initializers import Initializer
from mlfund.nets.activations import Activation
from mlfund.nets.normalisation import Normalization, get_normalization
from mlfund.optimizers import Optimizer, get_optimizer

STOCHASTIC_SOLVERS = ("sgd", "adam")
# Attributes that only a training by epochs has.
CURVES = ("loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_")

CONSTRAINTS: dict[str, list[Any]] = {
    **_neural_spec.CONSTRAINTS,
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [str, Activation],
    "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "dropout": [Interval(Real, 0, 1, closed="left"), "array-like", None],
    "normalization": [str, Normalization, None],
    "normalization_position": [StrOptions({"before", "after"}), None],
    "initializer": [str, Initializer, callable, None],
    "last_layer_initializer": [str, Initializer, callable, None],
}

_OPTIMIZERS_LIKE_SGD = ("sgd", "momentum", "nesterov")
_STOCHASTIC_ONLY = (
    "optimizer",
    "schedule",
    "lr_scaling",
    "accumulation_steps",
    "clip_norm",
    "clip_value",
    "averaging",
    "label_smoothing",
    "mixup",
    "input_noise",
    "weight_decay",
    "max_norm",
    "dropout",
    "validation_split",
    "scoring",
    "callbacks",
    "track_norms",
    "checkpoint_dir",
)
# Options that an optimizer given by name takes from the estimator; RMSProp and AdaGrad
# keep their own customary numbers.
_OPTIONS_OF = {
    "momentum": ("momentum",),
    "nesterov": ("momentum",),
    "adam": ("beta_1", "beta_2", "epsilon"),
    "adamw": ("beta_1", "beta_2", "epsilon"),
}


def check_contradictions(estimator: Any) -> None:
    """Raise ValueError, naming both, where two parameters contradict each other."""
    if estimator.solver == "lbfgs":
        for name in _STOCHASTIC_ONLY:
            # Only classifiers have label_smoothing.
            if getattr(estimator, name, None) is not None:
                refuse_pair(estimator, "solver", name, "lbfgs has no steps over batches")
        if estimator.l1_ratio:
            refuse_pair(estimator, "solver", "l1_ratio", "lbfgs needs a smooth penalty")
        if get_normalization(estimator.normalization).over_rows:
            why = "lbfgs takes all rows at once, not in batches to normalise over"
            refuse_pair(estimator, "solver", "normalization", why)
        if estimator.precision in ("bf16", "mixed"):
            refuse_pair(estimator, "solver", "precision", "lbfgs needs float32 or float64")
    if estimator.optimizer is not None and estimator.solver == "sgd":
        kin = get_optimizer(estimator.optimizer).name in _OPTIMIZERS_LIKE_SGD
        if not kin:
            refuse_pair(estimator, "solver", "optimizer", "both choose the optimizer")
    if estimator.schedule is not None and estimator.learning_rate != "constant":
        refuse_pair(estimator, "learning_rate", "schedule", "both choose the schedule")
    none = get_normalization(estimator.normalization) == get_normalization(None)
    if none and estimator.normalization_position is not None:
        why = "a position has no effect without a normalization"
        refuse_pair(estimator, "normalization", "normalization_position", why)
    _neural_spec.check_contradictions(estimator)


def layer_sizes(hidden_layer_sizes: Any) -> list[int]:
    """Return the widths of the hidden layers as a list.

    Raises
    ------
    ValueError
        If one of them is below 1.
    """
    given = hidden_layer_sizes if np.iterable(hidden_layer_sizes) else [hidden_layer_sizes]
    sizes = list(given)
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [int(size) for size in sizes]


@dataclass(frozen=True)
class StepNumbers:
    """What makes the steps of an MLP.

    Attributes
    ----------
    optimizer : Optimizer
        Without decoupled decay.
    weight_decay : float
        Strength of the decoupled decay, 0 for none.
    adam_epsilon : (float, float) or None
        `epsilon` and `beta_2` where they are to be read as scikit-learn's Adam does.
    """

    optimizer: Optimizer
    weight_decay: float
    adam_epsilon: tuple[float, float] | None

    @classmethod
    def of(cls, estimator: Any) -> StepNumbers:
        """Return what `optimizer` or `solver`, and the options beside them, ask for."""
        named = estimator.optimizer is not None
        given = estimator.optimizer if named else _solvers_optimizer(estimator)
        options = _OPTIONS_OF.get(get_optimizer(given).name, ())
        entry = optimizer_from(estimator, given, options)
        entry, decay = split_decay(entry, estimator.weight_decay)
        as_sklearn = not named and estimator.solver == "adam"
        return cls(entry, decay, (estimator.epsilon, estimator.beta_2) if as_sklearn else None)


def optimizer_and_rules(estimator: Any) -> tuple[Optimizer, list[StepRule]]:
    """Return the optimizer that `optimizer` or `solver` chooses, and what it needs a step."""
    numbers = StepNumbers.of(estimator)
    rules = [decoupled_decay(numbers.weight_decay)] if numbers.weight_decay else []
    if numbers.adam_epsilon is not None:
        rules.append(adam_epsilon(*numbers.adam_epsilon))
    return numbers.optimizer, rules


def _solvers_optimizer(estimator: Any) -> str:
    if estimator.solver == "adam":
        return "adam"
    return "nesterov" if estimator.nesterovs_momentum else "momentum"


def dropout_rates(dropout: Any, n_hidden: int) -> list[float]:
    """Return one dropout rate for each hidden layer.

    Raises
    ------
    ValueError
        If a rate is outside [0, 1) or their number does not fit.
    """
    if dropout is None:
        return [0.0] * n_hidden
    rates = list(dropout) if isinstance(dropout, Sequence | np.ndarray) else [dropout] * n_hidden
    if len(rates) != n_hidden:
        raise ValueError(
            f"dropout has {len(rates)} rates for {n_hidden} hidden layers; "
            "give one number, or one for each hidden layer."
        )
    for rate in rates:
        if check_positive("dropout", rate, zero=True) >= 1:
            raise ValueError(f"dropout must be at least 0 and less than 1; got {rate!r}.")
    return [float(rate) for rate in rates]
