"""Arguments of `LogisticRegression`: their ranges, deprecations and what they mean together."""

from __future__ import annotations

import dataclasses
import warnings
from numbers import Integral, Real

import numpy as np
import scipy.sparse as sp

from mlfund._check import check_choice, resolve_device
from mlfund._solvers.choice import (
    COORDINATE,
    DUAL_COORDINATE,
    GRADIENT_DESCENT,
    NESTEROV,
    NEWTON,
    PLAIN,
    PRECONDITIONED,
    PROXIMAL,
    PROXIMAL_NEWTON,
)
from mlfund._solvers.device_choice import device_pays

# scikit-learn's names: they fix the objective and the penalties, not the algorithm.
SKLEARN_SOLVERS = ("lbfgs", "liblinear", "newton-cg", "newton-cholesky", "sag", "saga")
OWN_SOLVERS = (
    NEWTON,
    PRECONDITIONED,
    PLAIN,
    PROXIMAL,
    PROXIMAL_NEWTON,
    COORDINATE,
    GRADIENT_DESCENT,
    NESTEROV,
    DUAL_COORDINATE,
)
# Descends by mini-batches: `_linear_sgd`.
SGD = "sgd"
SOLVERS = (*SKLEARN_SOLVERS, "auto", *OWN_SOLVERS, SGD)
TAKES_L1 = ("liblinear", "saga", "auto", SGD, PROXIMAL, PROXIMAL_NEWTON, COORDINATE)
TAKES_ELASTIC_NET = ("saga", "auto", SGD, PROXIMAL, PROXIMAL_NEWTON, COORDINATE)
# Parameters that only it has. `n_iter_no_change` is another, and has no effect on the other
# solvers: scikit-learn's checks set it wherever they find it.
DESCENT = (
    "optimizer",
    "schedule",
    "learning_rate_init",
    "batch_size",
    "shuffle",
    "early_stopping",
    "validation_fraction",
)
PENALTIES = ("l1", "l2", "elasticnet", None)


@dataclasses.dataclass(frozen=True)
class Objective:
    """What is minimised: C * sum of weighted losses + penalty.

    Attributes
    ----------
    C : float
        `np.inf` without penalty.
    l1_ratio : float
        Part of the penalty that is l1.
    algorithm : str or None
        The solver asked for by a name of its own, None when the data decide.
    of_intercept : float or None
        Value of the constant column whose weight is penalised (liblinear), or None.
    """

    C: float
    l1_ratio: float
    algorithm: str | None
    of_intercept: float | None

    def strengths(self, weight_sum: float) -> tuple[float, float]:
        """Return (l2, l1) for the mean loss over rows of this sum of weights."""
        if np.isinf(self.C):
            return 0.0, 0.0
        strength = 1.0 / self.C / weight_sum
        return strength * (1.0 - self.l1_ratio), strength * self.l1_ratio


def check_arguments(estimator) -> Objective:
    """Return the objective that the estimator's parameters ask for.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or two do not go together.
    """
    _check_ranges(estimator)
    check_descent(estimator)
    penalty = _penalty(estimator)
    _check_combination(estimator.solver, penalty, estimator.dual)
    _warn_of_unused(estimator, penalty)
    ratio = {"l1": 1.0, "elasticnet": estimator.l1_ratio}.get(penalty, 0.0)
    liblinear = estimator.solver == "liblinear"
    penalised = liblinear and estimator.fit_intercept
    return Objective(
        C=np.inf if penalty is None else float(estimator.C),
        l1_ratio=float(ratio),
        algorithm=estimator.solver if estimator.solver in OWN_SOLVERS else None,
        of_intercept=float(estimator.intercept_scaling) if penalised else None,
    )


def accelerator(device, X, k: int, solver: str | None = None):
    """Return the torch device to fit on, or None for numpy on the CPU, without torch.

    "auto" takes an accelerator where a fit of k outputs by this solver pays.

    Raises
    ------
    ValueError
        If there is no such device, or it lacks the arithmetic that the solver needs.
    """
    named = device if isinstance(device, str) else None
    if device is None or named == "cpu":
        return None
    if named == "auto" and not device_pays(*X.shape, k, sparse=sp.issparse(X), solver=solver):
        return None
    resolved = resolve_device(device)
    if resolved.type == "mps" and solver == SGD and X.dtype == np.float64:
        raise ValueError(
            "device='mps' computes in float32 only, and solver='sgd' computes in the dtype of X, "
            "float64; give X in float32, or leave device unset."
        )
    return None if resolved.type == "cpu" else resolved


def _check_ranges(estimator) -> None:
    check_choice("solver", estimator.solver, SOLVERS)
    if estimator.penalty != "deprecated":
        check_choice("penalty", estimator.penalty, PENALTIES)
    _check_number("C", estimator.C, "a number greater than 0, or np.inf", lambda v: v > 0)
    check_shared_ranges(estimator, flags=("dual", "fit_intercept", "warm_start"))
    if estimator.l1_ratio is not None:
        _check_number("l1_ratio", estimator.l1_ratio, "a number from 0 to 1", lambda v: 0 <= v <= 1)


def check_shared_ranges(estimator, *, flags: tuple[str, ...]) -> None:
    """Check what `LogisticRegression` and `LogisticRegressionCV` have in common.

    Parameters
    ----------
    estimator : estimator
    flags : tuple of str
        Parameters that are True or False.

    Raises
    ------
    ValueError
        If one is out of its range.
    """
    _check_number("tol", estimator.tol, "a number of at least 0", lambda v: v >= 0)
    _check_number(
        "max_iter", estimator.max_iter, "an integer of at least 0", lambda v: v >= 0, Integral
    )
    _check_number(
        "intercept_scaling",
        estimator.intercept_scaling,
        "a finite number greater than 0",
        lambda v: 0 < v < np.inf,
    )
    for name in flags:
        value = getattr(estimator, name)
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(f"{name} must be True or False; got {value!r}.")
    weight = estimator.class_weight
    if weight is not None and not isinstance(weight, dict) and weight != "balanced":
        raise ValueError(f"class_weight must be a dict, 'balanced' or None; got {weight!r}.")


def check_descent(estimator) -> None:
    """Refuse a parameter of gradient descent beside a deterministic solver."""
    if estimator.solver == SGD:
        return
    for name in DESCENT:
        value = getattr(estimator, name, None)
        if value is not None:
            raise ValueError(
                f"solver={estimator.solver!r} and {name}={value!r} contradict each other: only "
                f"stochastic gradient descent has {name}. Set solver='sgd', or leave {name} at "
                "None."
            )


def _check_number(name, value, allowed, holds, kind=Real) -> None:
    if not isinstance(value, kind) or isinstance(value, bool) or not holds(value):
        raise ValueError(f"{name} must be {allowed}; got {value!r}.")


def _penalty(estimator) -> str | None:
    """Return the penalty's name, from the deprecated parameter or from C and l1_ratio."""
    if estimator.penalty == "deprecated":
        if estimator.l1_ratio is None:
            warnings.warn(
                "'l1_ratio=None' was deprecated in scikit-learn 1.8 and will trigger an error "
                "in 1.10. Use 0<=l1_ratio<=1 instead.",
                FutureWarning,
                stacklevel=4,
            )
        if np.isinf(estimator.C):
            return None
        ratio = estimator.l1_ratio or 0
        return {0: "l2", 1: "l1"}.get(ratio, "elasticnet")
    warnings.warn(
        "'penalty' was deprecated in scikit-learn 1.8 and will be removed in 1.10. To avoid "
        "this warning, leave 'penalty' set to its default value and use 'l1_ratio' or 'C' "
        "instead. Use l1_ratio=0 instead of penalty='l2', l1_ratio=1 instead of penalty='l1', "
        "l1_ratio set to a float between 0 and 1 instead of penalty='elasticnet', and C=np.inf "
        "instead of penalty=None.",
        FutureWarning,
        stacklevel=4,
    )
    if estimator.penalty == "elasticnet" and estimator.l1_ratio is None:
        raise ValueError("l1_ratio must be specified when penalty is elasticnet.")
    return None if np.isinf(estimator.C) else estimator.penalty


def _check_combination(solver: str, penalty: str | None, dual: bool) -> None:
    """Refuse what scikit-learn refuses, in its words."""
    if solver not in TAKES_L1 and penalty not in ("l2", None):
        raise ValueError(
            f"Solver {solver} supports only 'l2' or None penalties, got {penalty} penalty."
        )
    if solver != "liblinear" and dual:
        raise ValueError(f"Solver {solver} supports only dual=False, got dual={dual}")
    if penalty == "elasticnet" and solver not in TAKES_ELASTIC_NET:
        raise ValueError(
            f"Only 'saga' solver supports elasticnet penalty, got solver={solver}. "
            "So does solver='auto'."
        )
    if solver == "liblinear" and penalty == "l1" and dual:
        raise ValueError("Solver liblinear supports dual=True with the l2 penalty only.")
    if solver == "liblinear" and penalty is None:
        raise ValueError(
            "C=np.inf as well as penalty=None is not supported for the liblinear solver"
        )


def _warn_of_unused(estimator, penalty: str | None) -> None:
    given, ratio = estimator.penalty, estimator.l1_ratio
    if given != "deprecated" and penalty != "elasticnet" and ratio and 0 < ratio < 1:
        _warn(
            f"l1_ratio parameter is only used when penalty is 'elasticnet'. Got (penalty={penalty})"
        )
    if (given == "l2" and ratio != 0) or (given == "l1" and ratio != 1):
        _warn(
            f"Inconsistent values: penalty={given} with l1_ratio={ratio}. "
            "penalty is deprecated. Please use l1_ratio only."
        )
    if given is None and estimator.C != 1.0:
        _warn("Setting penalty=None will ignore the C and l1_ratio parameters")
    if estimator.n_jobs is not None:
        warnings.warn(
            "'n_jobs' has no effect since scikit-learn 1.8 and will be removed in 1.10. "
            f"You provided 'n_jobs={estimator.n_jobs}', please leave it unspecified.",
            FutureWarning,
            stacklevel=4,
        )


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=5)
