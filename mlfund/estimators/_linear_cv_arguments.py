"""Arguments of `LogisticRegressionCV`: ranges, deprecations, and the grid they ask for."""

from __future__ import annotations

import dataclasses
import warnings
from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray

from mlfund._check import check_choice
from mlfund.estimators._linear_arguments import (
    OWN_SOLVERS,
    SKLEARN_SOLVERS,
    _check_combination,
    check_shared_ranges,
)

SOLVERS = (*SKLEARN_SOLVERS, "auto", *OWN_SOLVERS)
# What `np.logspace` spans when Cs is a number.
LOG_CS = (-4, 4)


@dataclasses.dataclass(frozen=True)
class GridArguments:
    """What a fit searches, and how its results are to be shown.

    Attributes
    ----------
    Cs : ndarray of shape (K,)
    ratios : ndarray of shape (R,)
        The l1 ratios that are fitted.
    shown_ratios : list or None
        What `l1_ratios_` shows; None when the dimension is not shown at all.
    penalty : {"l2", "l1", "elasticnet"}
    scoring : str, callable or None
    legacy : bool
        Whether attributes have their shapes of before scikit-learn 1.10.
    algorithm : str or None
        A solver asked for by a name of its own.
    of_intercept : float or None
        Value of the constant column whose weight is penalised (liblinear).
    """

    Cs: NDArray
    ratios: NDArray
    shown_ratios: list | None
    penalty: str
    scoring: object
    legacy: bool
    algorithm: str | None
    of_intercept: float | None


def check_grid_arguments(estimator) -> GridArguments:
    """Return the grid that the estimator's parameters ask for.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or two do not go together.
    """
    _check_ranges(estimator)
    given = _given_ratios(estimator)
    penalty = _penalty(estimator, given)
    scoring = _scoring(estimator)
    legacy = _legacy(estimator)
    _check_combination(estimator.solver, penalty, estimator.dual)
    ratios = _ratios(estimator, given, penalty)
    penalised = estimator.solver == "liblinear" and estimator.fit_intercept
    return GridArguments(
        Cs=_strengths(estimator.Cs),
        ratios=ratios,
        shown_ratios=None if given is None else list(given),
        penalty=penalty,
        scoring=scoring,
        legacy=legacy,
        algorithm=estimator.solver if estimator.solver in OWN_SOLVERS else None,
        of_intercept=float(estimator.intercept_scaling) if penalised else None,
    )


def _check_ranges(estimator) -> None:
    check_choice("solver", estimator.solver, SOLVERS)
    if estimator.penalty != "deprecated":
        check_choice("penalty", estimator.penalty, ("l1", "l2", "elasticnet"))
    check_shared_ranges(estimator, flags=("dual", "fit_intercept", "refit"))


def _strengths(Cs) -> NDArray:
    """Return the values of C that Cs stands for."""
    if isinstance(Cs, Integral) and not isinstance(Cs, bool):
        if Cs < 1:
            raise ValueError(f"Cs must be an integer of at least 1, or a list of Cs; got {Cs!r}.")
        return np.logspace(*LOG_CS, int(Cs))
    values = None if isinstance(Cs, (str, bool)) else np.asarray(Cs)
    if values is None or values.ndim != 1 or not len(values) or values.dtype.kind not in "uif":
        raise ValueError(f"Cs must be an integer, or a list of numbers above 0; got {Cs!r}.")
    if not (values > 0).all():
        raise ValueError(f"Cs must be greater than 0 (np.inf is no penalty); got {Cs!r}.")
    return values


def _given_ratios(estimator):
    ratios = estimator.l1_ratios
    if isinstance(ratios, str) and ratios == "warn":
        _deprecated(
            "The default value for l1_ratios will change from None to (0.0,) in scikit-learn "
            "1.10. From version 1.10 onwards, only array-like with values in [0, 1] will be "
            "allowed, None will be forbidden. To avoid this warning, explicitly set a value, "
            "e.g. l1_ratios=(0,)."
        )
        return None
    if ratios is not None and (isinstance(ratios, str) or np.ndim(ratios) != 1):
        raise ValueError(
            "l1_ratios must be an array-like of numbers between 0 and 1; got "
            f"(l1_ratios={ratios!r})"
        )
    return ratios


def _penalty(estimator, given) -> str:
    if estimator.penalty != "deprecated":
        _deprecated(
            "'penalty' was deprecated in scikit-learn 1.8 and will be removed in 1.10. To avoid "
            "this warning, leave 'penalty' set to its default value and use 'l1_ratios' and 'Cs' "
            "instead. Use l1_ratios=(0,) instead of penalty='l2', l1_ratios=(1,) instead of "
            "penalty='l1', l1_ratios set to floats between 0 and 1 instead of "
            "penalty='elasticnet', and Cs=(np.inf,) instead of penalty=None."
        )
        return estimator.penalty
    if estimator.l1_ratios is None:
        _deprecated(
            "'l1_ratios=None' was deprecated in scikit-learn 1.8 and will trigger an error in "
            "1.10. Use an array-like with values in [0, 1] instead."
        )
    if given is None or all(ratio == 0 for ratio in given):
        return "l2" if given is None or len(given) else "elasticnet"
    return "l1" if all(ratio == 1 for ratio in given) else "elasticnet"


def _ratios(estimator, given, penalty: str) -> NDArray:
    """Return the l1 ratios to fit, one for each that was given."""
    if penalty == "elasticnet":
        if given is None or not len(given) or not all(map(_is_ratio, given)):
            raise ValueError(
                "l1_ratios must be an array-like of numbers between 0 and 1; got "
                f"(l1_ratios={given!r})"
            )
        return np.array([float(ratio) for ratio in given])
    if given is not None and estimator.penalty != "deprecated":
        warnings.warn(
            "l1_ratios parameter is only used when penalty is 'elasticnet'. "
            f"Got (penalty={penalty})",
            UserWarning,
            stacklevel=4,
        )
    return np.full(1 if given is None else len(given), 1.0 if penalty == "l1" else 0.0)


def _is_ratio(value) -> bool:
    return isinstance(value, Real) and 0 <= value <= 1


def _scoring(estimator):
    if not (isinstance(estimator.scoring, str) and estimator.scoring == "warn"):
        return estimator.scoring
    _deprecated(
        "The default value of the parameter 'scoring' will change from None, i.e. accuracy, to "
        "'neg_log_loss' in scikit-learn 1.11. To silence this warning, explicitly set the "
        "scoring parameter: scoring='neg_log_loss' for the new, scoring='accuracy' or "
        "scoring=None for the old default."
    )
    return None


def _legacy(estimator) -> bool:
    legacy = estimator.use_legacy_attributes
    if isinstance(legacy, (bool, np.bool_)):
        return bool(legacy)
    if legacy != "warn":
        raise ValueError(f"use_legacy_attributes must be True or False; got {legacy!r}.")
    name = type(estimator).__name__
    _deprecated(
        f"The fitted attributes of {name} will be simplified in scikit-learn 1.10 to remove "
        "redundancy. Set `use_legacy_attributes=False` to enable the new behavior now, or set "
        "it to `True` to silence this warning during the transition period while keeping the "
        "deprecated behavior for the time being. The default value of use_legacy_attributes "
        "will change from True to False in scikit-learn 1.10. See the docstring of "
        f"{name} for more details."
    )
    return True


def _deprecated(message: str) -> None:
    warnings.warn(message, FutureWarning, stacklevel=5)
