"""What the training parameters of a neural estimator mean: optimizer, schedule, precision."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, Options, StrOptions

from mlfund._check import check_choice
from mlfund._engine.net import StepRule
from mlfund._engine.rules import decoupled_decay
from mlfund.averaging import Averaging
from mlfund.losses import Loss
from mlfund.optimizers import Optimizer, get_optimizer
from mlfund.schedules import Schedule, get_schedule

PRECISIONS = ("input", "float64", "float32", "bf16", "mixed", "auto")
# Work of a step from which bf16 pays under autocast. On an AMD EPYC with avx512_bf16 a bare
# loop in bf16 took 0.74 x one in float32 at 1.6e8 (784-128-10, batch 256), no better than the
# float32 pass without autograd, and 0.4 x at 1e9 (784-512-512-10).
AUTOCAST_FLOP = 3e8
# A module with a pass of its own (`backprop`) rounds into memory that it keeps and pays
# neither for autocast's copies nor for autograd, so that those 0.74 x count in full.
OWN_PASS_FLOP = 1e8

# Of the parameters that every neural estimator has.
CONSTRAINTS: dict[str, list[Any]] = {
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto", "fit_device"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "validation_split": ["cv_object", None],
    "scoring": [str, callable, None],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "loss": [str, Loss, callable, None],
    "optimizer": [str, Optimizer, type, None],
    "schedule": [str, Schedule, callable, None],
    "lr_scaling": [StrOptions({"linear", "sqrt"}), None],
    "base_batch_size": [Interval(Integral, 1, None, closed="left"), None],
    "accumulation_steps": [Interval(Integral, 1, None, closed="left"), None],
    "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
    "clip_value": [Interval(Real, 0, None, closed="neither"), None],
    "averaging": [str, Averaging, None],
    "mixup": [Interval(Real, 0, None, closed="left"), None],
    "input_noise": [Interval(Real, 0, None, closed="left"), None],
    "l1_ratio": [Interval(Real, 0, 1, closed="both"), None],
    "weight_decay": [Interval(Real, 0, None, closed="left"), None],
    "max_norm": [Interval(Real, 0, None, closed="neither"), None],
    "device": [str, torch.device, None],
    "precision": [StrOptions(set(PRECISIONS)), None],
    "callbacks": [list, tuple, None],
    "track_norms": ["boolean", None],
    "checkpoint_dir": [str, os.PathLike, None],
    "checkpoint_every": [str, Integral, None],
}

# Of the parameters that every neural classifier has beside them.
CLASSIFIER_CONSTRAINTS: dict[str, list[Any]] = {
    "class_weight": [dict, list, StrOptions({"balanced"}), None],
    "label_smoothing": [Interval(Real, 0, 1, closed="left"), None],
}


def check_contradictions(estimator: Any) -> None:
    """Raise ValueError, naming both, where two training parameters contradict each other."""
    if estimator.optimizer is not None and estimator.weight_decay is not None:
        own = getattr(estimator.optimizer, "weight_decay", 0.0)
        if own and own != estimator.weight_decay:
            refuse_pair(estimator, "optimizer", "weight_decay", "both set the weight decay")
    if estimator.base_batch_size is not None and estimator.lr_scaling is None:
        why = "a base_batch_size has no effect without a scaling"
        refuse_pair(estimator, "lr_scaling", "base_batch_size", why)
    if estimator.validation_split is not None and estimator.validation_fraction != 0.1:
        why = "both say which rows validate"
        refuse_pair(estimator, "validation_fraction", "validation_split", why)


def check_validation(
    estimator: Any, validation: tuple[Any, Any, Any], *, incremental: bool
) -> None:
    """Raise ValueError where validation rows are asked for twice, by halves or nowhere."""
    X_val, y_val, sample_weight_val = validation
    holds_out = estimator.early_stopping or estimator.validation_split is not None
    if incremental and holds_out:
        name = "early_stopping" if estimator.early_stopping else "validation_split"
        raise ValueError(f"partial_fit does not support {name}={getattr(estimator, name)!r}")
    if (X_val is None) != (y_val is None) or (X_val is None and sample_weight_val is not None):
        raise ValueError(
            "X_val, y_val and sample_weight_val are the parts of one validation set: "
            "give X_val and y_val, or neither of the three."
        )
    if X_val is not None and estimator.validation_split is not None:
        raise ValueError(
            f"X_val and validation_split={estimator.validation_split!r} contradict each other: "
            "both say which rows validate. Leave one of them out."
        )
    if estimator.scoring is not None and X_val is None and not (holds_out or incremental):
        raise ValueError(
            f"scoring={estimator.scoring!r} needs rows to score: pass X_val and y_val to fit, "
            "or set early_stopping=True or validation_split."
        )


def refuse_pair(estimator: Any, first: str, second: str, why: str) -> None:
    """Raise the ValueError of two parameters that cannot both be meant."""
    raise ValueError(
        f"{first}={getattr(estimator, first)!r} and {second}={getattr(estimator, second)!r} "
        f"contradict each other: {why}. Leave one of them at its default."
    )


def optimizer_from(estimator: Any, given: str | Optimizer, options: Sequence[str]) -> Optimizer:
    """Return the optimizer `given`; a name takes those options that the estimator has.

    Parameters
    ----------
    estimator : estimator
        Whose parameters of the names in `options` are handed on.
    given : str or Optimizer
        A name in `mlfund.optimizers.OPTIMIZERS`, or an entry, which says everything itself.
    options : sequence of str
        Names of parameters of the estimator.
    """
    if isinstance(given, Optimizer):
        return given
    return get_optimizer(given, **{option: getattr(estimator, option) for option in options})


def with_decay(entry: Optimizer, weight_decay: float | None) -> tuple[Optimizer, list[StepRule]]:
    """Return the optimizer without decoupled decay of its own, and the rule that decays."""
    entry, strength = split_decay(entry, weight_decay)
    return entry, [decoupled_decay(strength)] if strength else []


def split_decay(entry: Optimizer, weight_decay: float | None) -> tuple[Optimizer, float]:
    """Return the optimizer without decoupled decay of its own, and the strength of all decay."""
    if entry.decoupled:
        # torch would shrink the biases too; here decay, like alpha, is for weights only.
        own = getattr(entry, "weight_decay", 0.0)
        weight_decay = own if weight_decay is None else weight_decay
        entry = entry.with_options(weight_decay=0.0)
    return entry, weight_decay or 0.0


def schedule_of(estimator: Any) -> Schedule | None:
    """Return the schedule that `schedule` names, or None."""
    return None if estimator.schedule is None else get_schedule(estimator.schedule)


def compute_dtype(precision: str | None, X_dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of the weights for a `precision` and the dtype of X."""
    check_choice("precision", precision, (None, *PRECISIONS))
    if precision in (None, "input"):
        return np.dtype(X_dtype)
    return np.dtype(np.float64 if precision == "float64" else np.float32)


def autocast_dtype(
    precision: str | None, device: torch.device, step_flop: float, *, own_pass: bool = False
) -> torch.dtype | None:
    """Return bfloat16 where products should run in it, else None.

    Parameters
    ----------
    precision : str or None
        One of `PRECISIONS`.
    device : torch.device
        Where the training runs.
    step_flop : float
        Work of a step, by which "auto" decides.
    own_pass : bool, default=False
        Whether the module has a forward and backward pass without autograd.
    """
    if precision == "bf16":
        return torch.bfloat16
    if precision == "mixed":
        return torch.bfloat16 if has_bf16_units(device) else None
    if precision == "auto" and step_flop >= (OWN_PASS_FLOP if own_pass else AUTOCAST_FLOP):
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
