"""One parametric fit: its arguments, its starts, its descents, the best of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from mlfund._check import check_choice, check_positive, resolve_device
from mlfund.estimators._parametric_function import ParametricFunction
from mlfund.estimators._parametric_newton import (
    STOPPED,
    AfterIteration,
    Descent,
    levenberg_marquardt,
)
from mlfund.estimators._parametric_problem import Problem
from mlfund.estimators._parametric_start import inside
from mlfund.estimators._parametric_steps import StepPlan, first_order
from mlfund.optimizers import OPTIMIZERS, Optimizer, get_optimizer
from mlfund.schedules import get_schedule

NEWTON = "levenberg-marquardt"
_DTYPES = {"float64": torch.float64, "float32": torch.float32}


@dataclass(frozen=True)
class Plan:
    """How the parameters are found.

    Attributes
    ----------
    steps : StepPlan or None
        First-order steps, if there are any.
    newton : bool
        Whether Levenberg-Marquardt steps follow, or do it alone.
    tol : float
    max_iter : int
    """

    steps: StepPlan | None
    newton: bool
    tol: float
    max_iter: int

    @property
    def solver(self) -> str:
        """Names of what runs."""
        first = [self.steps.optimizer.name] if self.steps else []
        return " + ".join(first + [NEWTON] * self.newton)


def read_plan(model: Any, report: Any) -> Plan:
    """Check the arguments of an estimator that say how to descend."""
    check_positive("max_iter", model.max_iter, integer=True)
    check_positive("tol", model.tol, zero=True)
    check_positive("n_restarts", model.n_restarts, zero=True, integer=True)
    check_positive("n_iter_no_change", model.n_iter_no_change, integer=True)
    check_choice("polish", model.polish, [None, True, False])
    check_choice("scale_parameters", model.scale_parameters, [None, True, False])
    if not isinstance(model.optimizer, Optimizer):
        check_choice("optimizer", model.optimizer, ["auto", *OPTIMIZERS])
    if isinstance(model.optimizer, str) and model.optimizer == "auto":
        _refuse_without_optimizer(model)
        return Plan(None, True, model.tol, model.max_iter)
    if model.learning_rate_init is not None:
        check_positive("learning_rate_init", model.learning_rate_init)
    if model.batch_size is not None:
        check_positive("batch_size", model.batch_size, integer=True)
    schedule = "constant" if model.schedule is None else model.schedule
    steps = StepPlan(
        optimizer=get_optimizer(model.optimizer),
        schedule=get_schedule(schedule),
        learning_rate=model.learning_rate_init,
        batch_size=model.batch_size,
        scale=model.scale_parameters is not False,
        report=report,
        max_iter=model.max_iter,
        n_iter_no_change=model.n_iter_no_change,
        tol=model.tol,
    )
    return Plan(steps, model.polish is not False, model.tol, model.max_iter)


def _refuse_without_optimizer(model: Any) -> None:
    names = ("schedule", "learning_rate_init", "batch_size", "scale_parameters")
    for name in names:
        if getattr(model, name) is not None:
            raise ValueError(
                f"{name}={getattr(model, name)!r} contradicts optimizer='auto', which takes "
                "Levenberg-Marquardt steps over all rows: give an optimizer such as 'adam', or "
                f"leave {name}=None."
            )
    if model.polish is False:
        raise ValueError(
            "polish=False contradicts optimizer='auto', which takes Levenberg-Marquardt steps "
            "only: give an optimizer such as 'adam', or leave polish=None."
        )


def place(model: Any) -> tuple[torch.device, torch.dtype]:
    """Return the device and the dtype to compute in.

    Raises
    ------
    ValueError
        If one is unknown, or the device has no such dtype.
    """
    precision = "float64" if model.precision is None else model.precision
    check_choice("precision", precision, _DTYPES)
    device = resolve_device(model.device)
    if device.type == "mps" and precision == "float64":
        if model.device == "auto":
            return torch.device("cpu"), torch.float64
        raise ValueError(
            f"device={model.device!r} has no float64: set precision='float32' or device='cpu'."
        )
    return device, _DTYPES[precision]


def draw_starts(
    function: ParametricFunction,
    start: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    n_restarts: int,
    rng: np.random.RandomState,
) -> list[np.ndarray]:
    """Return the start given and so many random ones.

    Between two bounds they are uniform, over decades where the bounds are positive and
    far apart; elsewhere they have heavy tails around the start, in units of its size.
    """
    starts = [inside(start, low, high)]
    size = np.where(start != 0, np.abs(start), 1.0)
    boxed = np.isfinite(low) & np.isfinite(high)
    decades = boxed & (low > 0) & (high > 1e3 * np.where(boxed, low, 1.0))
    for _ in range(n_restarts):
        share = rng.uniform(size=len(start))
        around = start + size * rng.standard_t(2, size=len(start))
        with np.errstate(all="ignore"):
            uniform = low + share * (high - low)
            by_ratio = low * (high / low) ** share
        drawn = np.where(decades, by_ratio, np.where(boxed, uniform, around))
        starts.append(inside(drawn, low, high))
    return starts


def descend(
    problem: Problem,
    start: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    plan: Plan,
    rng: np.random.RandomState,
    after_iteration: AfterIteration | None,
) -> Descent:
    """Run the plan from one start."""
    first = None
    if plan.steps is not None:
        first = first_order(
            problem, start, low, high, plan.steps, rng=rng, after_iteration=after_iteration
        )
        if not plan.newton or first.reason == STOPPED:
            return first
        start = first.theta
    found = levenberg_marquardt(
        problem,
        start,
        low,
        high,
        tol=plan.tol,
        max_iter=plan.max_iter,
        after_iteration=after_iteration,
    )
    if first is None:
        return found
    return replace(
        found,
        curve=first.curve + found.curve[1:],
        reason=f"{first.reason}, then {found.reason}",
        diverged=first.diverged,
    )


def best_descent(
    problem: Problem,
    starts: list[np.ndarray],
    low: np.ndarray,
    high: np.ndarray,
    plan: Plan,
    rng: np.random.RandomState,
    after_iteration: AfterIteration | None,
) -> tuple[int, list[Descent]]:
    """Run the plan from every start; return the number of the best, and all."""
    descents = []
    for start in starts:
        if math.isfinite(problem.value(start)):
            found = descend(problem, start, low, high, plan, rng, after_iteration)
        else:
            found = Descent(start, math.inf, reason="not finite at the start", curve=[math.inf])
        descents.append(found)
    return int(np.argmin([found.loss for found in descents])), descents
