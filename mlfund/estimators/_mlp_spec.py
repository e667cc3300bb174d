"""What an MLP's parameters mean together: contradictions, optimizer, schedule, precision."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, Options, StrOptions

from mlfund._check import check_choice, check_positive
from mlfund._engine.net import StepRule
from mlfund._engine.rules import adam_epsilon, decoupled_decay
from mlfund.initializers import Initializer
from mlfund.optimizers import AdamW, Optimizer, get_optimizer
from mlfund.schedules import Schedule, get_schedule

STOCHASTIC_SOLVERS = ("sgd", "adam")
# Attributes that only a training by epochs has.
CURVES = ("loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_")
PRECISIONS = ("input", "float64", "float32", "bf16", "mixed", "auto")
# Work of a step from which bf16 pays. On an AMD EPYC with avx512_bf16 a bare loop in bf16
# took 0.74 x one in float32 at 1.6e8 (784-128-10, batch 256), no better than the float32
# pass without autograd, and 0.4 x at 1e9 (784-512-512-10).
AUTOCAST_FLOP = 3e8

CONSTRAINTS: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions({"identity", "logistic", "tanh", "relu"})],
    "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "optimizer": [str, Optimizer, None],
    "schedule": [str, Schedule, None],
    "initializer": [str, Initializer, None],
    "dropout": [Interval(Real, 0, 1, closed="left"), "array-like", None],
    "weight_decay": [Interval(Real, 0, None, closed="left"), None],
    "device": [str, torch.device, None],
    "precision": [StrOptions(set(PRECISIONS)), None],
    "callbacks": [list, tuple, None],
}

_OPTIMIZERS_LIKE_SGD = ("sgd", "momentum", "nesterov")
_STOCHASTIC_ONLY = ("optimizer", "schedule", "dropout", "weight_decay", "callbacks")


def check_contradictions(estimator: Any) -> None:
    """Raise ValueError, naming both, where two parameters contradict each other."""
    if estimator.solver == "lbfgs":
        for name in _STOCHASTIC_ONLY:
            if getattr(estimator, name) is not None:
                _refuse(estimator, "solver", name, "lbfgs has no steps over batches")
        if estimator.precision in ("bf16", "mixed"):
            _refuse(estimator, "solver", "precision", "lbfgs needs float32 or float64")
    if estimator.optimizer is not None and estimator.solver == "sgd":
        kin = get_optimizer(estimator.optimizer).name in _OPTIMIZERS_LIKE_SGD
        if not kin:
            _refuse(estimator, "solver", "optimizer", "both choose the optimizer")
    if estimator.schedule is not None and estimator.learning_rate != "constant":
        _refuse(estimator, "learning_rate", "schedule", "both choose the schedule")
    if estimator.optimizer is not None and estimator.weight_decay is not None:
        own = getattr(estimator.optimizer, "weight_decay", 0.0)
        if own and own != estimator.weight_decay:
            _refuse(estimator, "optimizer", "weight_decay", "both set the weight decay")


def _refuse(estimator: Any, first: str, second: str, why: str) -> None:
    raise ValueError(
        f"{first}={getattr(estimator, first)!r} and {second}={getattr(estimator, second)!r} "
        f"contradict each other: {why}. Leave one of them at its default."
    )


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


def optimizer_and_rules(estimator: Any) -> tuple[Optimizer, list[StepRule]]:
    """Return the optimizer and the rules that its parameters ask for."""
    entry = _optimizer(estimator)
    rules: list[StepRule] = []
    decay = estimator.weight_decay
    if isinstance(entry, AdamW):
        # torch would shrink the biases too; here decay, like alpha, is for weights only.
        decay = entry.weight_decay if decay is None else decay
        entry = dataclasses.replace(entry, weight_decay=0.0)
    if decay:
        rules.append(decoupled_decay(decay))
    if estimator.optimizer is None and estimator.solver == "adam":
        rules.append(adam_epsilon(estimator.epsilon, estimator.beta_2))
    return entry, rules


def _optimizer(estimator: Any) -> Optimizer:
    given = estimator.optimizer
    if isinstance(given, Optimizer):
        return given
    name = given
    if name is None:
        name = "adam"
        if estimator.solver == "sgd":
            name = "nesterov" if estimator.nesterovs_momentum else "momentum"
    entry = get_optimizer(name)
    # RMSProp and AdaGrad keep their own customary numbers.
    taken = {
        "momentum": ("momentum",),
        "nesterov": ("momentum",),
        "adam": ("beta_1", "beta_2", "epsilon"),
        "adamw": ("beta_1", "beta_2", "epsilon"),
    }.get(entry.name, ())
    return get_optimizer(entry, **{option: getattr(estimator, option) for option in taken})


def schedule_of(estimator: Any) -> Schedule | None:
    """Return the schedule that `schedule` names, or None."""
    return None if estimator.schedule is None else get_schedule(estimator.schedule)


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


def compute_dtype(precision: str | None, X_dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of the weights for a `precision` and the dtype of X."""
    check_choice("precision", precision, (None, *PRECISIONS))
    if precision in (None, "input"):
        return np.dtype(X_dtype)
    return np.dtype(np.float64 if precision == "float64" else np.float32)


def autocast_dtype(
    precision: str | None, device: torch.device, step_flop: float
) -> torch.dtype | None:
    """Return bfloat16 where products should run in it, else None."""
    if precision == "bf16":
        return torch.bfloat16
    if precision == "mixed":
        return torch.bfloat16 if has_bf16_units(device) else None
    if precision == "auto" and step_flop >= AUTOCAST_FLOP:
        return torch.bfloat16 if has_bf16_units(device) else None
    return None


def has_bf16_units(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices natively."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    # torch has no public question for this; without the private one the answer is no.
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())
