"""Arguments of `LinearRegressor`: their ranges, and the loss and algorithm they mean."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np

from mlfund._check import check_choice, check_fraction, check_positive
from mlfund._solvers.choice import (
    COORDINATE,
    NEWTON,
    PLAIN,
    PRECONDITIONED,
    PROXIMAL,
    PROXIMAL_NEWTON,
)
from mlfund._solvers.regression import CHOLESKY, HOMOTOPY, INTERIOR
from mlfund._solvers.regression_targets import RegressionTask
from mlfund.estimators._linear_arguments import SGD, accelerator, check_descent

LOSSES = ("squared_error", "absolute_error", "huber", "quantile", "poisson")
_SMOOTH = (NEWTON, PRECONDITIONED, PLAIN)
_OF_SQUARED = (CHOLESKY, *_SMOOTH)
_KINKED = (HOMOTOPY, INTERIOR)
# Algorithms for each loss, without and with an l1 penalty.
SOLVERS = {
    "squared_error": (_OF_SQUARED, (COORDINATE, PROXIMAL, PROXIMAL_NEWTON)),
    # Newton's method alone loses its way where Huber's loss is linear.
    "huber": ((PRECONDITIONED, PLAIN, *_KINKED), (INTERIOR, PROXIMAL)),
    "poisson": (_SMOOTH, (COORDINATE, PROXIMAL_NEWTON)),
    "absolute_error": (_KINKED, _KINKED),
    "quantile": (_KINKED, _KINKED),
}
ALL_SOLVERS = ("auto", CHOLESKY, *_SMOOTH, COORDINATE, PROXIMAL, PROXIMAL_NEWTON, *_KINKED, SGD)


def check_arguments(estimator) -> None:
    """Raise a ValueError if a parameter is out of its range, or contradicts another."""
    check_descent(estimator)
    check_choice("solver", estimator.solver, ALL_SOLVERS)
    check_fraction("quantile", estimator.quantile)
    for name, zero in (("delta", False), ("alpha", True), ("tol", True)):
        check_positive(name, getattr(estimator, name), zero=zero)
    ratio = estimator.l1_ratio
    if not isinstance(ratio, Real) or isinstance(ratio, bool) or not 0 <= ratio <= 1:
        raise ValueError(f"l1_ratio must be a number from 0 to 1; got {ratio!r}.")
    most = estimator.max_iter
    if not isinstance(most, Integral) or isinstance(most, bool) or most < 1:
        raise ValueError(f"max_iter must be an integer of at least 1; got {most!r}.")
    for name in ("fit_intercept", "warm_start"):
        value = getattr(estimator, name)
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(f"{name} must be True or False; got {value!r}.")


def loss_of(estimator) -> tuple[str, dict[str, float]]:
    """Return the name of the loss and its options.

    Raises
    ------
    ValueError
        If the loss is not known, or an instance of a class without a solver of its own.
    """
    loss = estimator.loss
    if isinstance(loss, str):
        check_choice("loss", loss, LOSSES)
        options = {
            "huber": {"delta": estimator.delta},
            "quantile": {"quantile": estimator.quantile},
        }
        return loss, options.get(loss, {})
    # Importing the vocabulary imports torch, which a name does not need.
    from mlfund import losses

    known = (losses.SquaredError, losses.AbsoluteError, losses.Huber, losses.Quantile)
    if type(loss) in (*known, losses.Poisson):
        return loss.name, {
            name: getattr(loss, name) for name in ("delta", "quantile") if hasattr(loss, name)
        }
    of_numbers = isinstance(loss, losses.Loss) and loss.target in ("real", "nonnegative")
    if of_numbers and loss.reduction == "pointwise" and loss.raw_width(1) == 1:
        if estimator.solver == SGD:
            return loss.name, {}
        raise ValueError(
            f"loss={loss!r} is a loss of your own, which solver={estimator.solver!r} does not "
            "know how to curve; set solver='sgd'."
        )
    raise ValueError(
        f"loss={loss!r} is not a regression loss; allowed are {', '.join(map(repr, LOSSES))} "
        "and instances of mlfund.losses.Loss for real targets, one raw score each."
    )


def task_of(estimator) -> RegressionTask:
    """Return what is minimised."""
    name, options = loss_of(estimator)
    alpha, ratio = float(estimator.alpha), float(estimator.l1_ratio)
    l2, l1 = alpha * (1.0 - ratio), alpha * ratio
    if name == "absolute_error":
        return RegressionTask("kinked", l2, l1)
    if name == "quantile":
        level = float(options["quantile"])
        return RegressionTask("kinked", l2, l1, low=-level, high=1.0 - level)
    if name == "huber":
        delta = float(options["delta"])
        return RegressionTask("huber", l2, l1, low=-delta, high=delta)
    return RegressionTask(name, l2, l1)


def algorithm_of(estimator, loss: str) -> str | None:
    """Return the solver asked for by name, None when the data decide.

    Raises
    ------
    ValueError
        If it does not minimise this loss with this penalty.
    """
    solver = estimator.solver
    if solver in ("auto", SGD):
        return None
    l1 = bool(estimator.alpha * estimator.l1_ratio)
    allowed = SOLVERS[loss][l1]
    if solver not in allowed:
        penalty = "an l1 penalty" if l1 else "no l1 penalty"
        names = ", ".join(map(repr, ("auto", *allowed, SGD)))
        raise ValueError(
            f"solver={solver!r} does not minimise loss={loss!r} with {penalty}; "
            f"allowed are {names}."
        )
    return solver


def device_of(estimator, X, k: int):
    """Return the torch device to train on, or None for numpy on the CPU.

    Raises
    ------
    ValueError
        If an accelerator is named for a solver that runs on the CPU.
    """
    automatic = isinstance(estimator.device, str) and estimator.device == "auto"
    if estimator.solver != SGD and automatic:
        return None
    device = accelerator(estimator.device, X, k, estimator.solver)
    if device is not None and estimator.solver != SGD:
        raise ValueError(
            f"device={estimator.device!r} needs solver='sgd': solver={estimator.solver!r} of "
            "LinearRegressor runs on the CPU. Leave device at None, or set solver='sgd'."
        )
    return device
