"""First-order steps of the vocabulary's optimizers and schedules on a parametric problem."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlfund.estimators._parametric_newton import STOPPED, AfterIteration, Descent
from mlfund.estimators._parametric_problem import Problem
from mlfund.optimizers import Optimizer, set_learning_rate
from mlfund.schedules import Adaptive, Schedule

# In scaled parameters, where a step of 1 changes the loss by about all of it.
_DEFAULT_RATES = {"sgd": 0.1, "momentum": 0.02, "nesterov": 0.02, "adagrad": 0.3}
_DEFAULT_RATE = 0.03
# A loss this many times the first one has diverged.
_EXPLODED = 1e6
# Tenths of the default learning rate that are tried when it diverges.
_RETRIES = 3


@dataclass(frozen=True)
class StepPlan:
    """How to step.

    Attributes
    ----------
    optimizer : Optimizer
    schedule : Schedule
    learning_rate : float or None
        None takes a rate that suits scaled parameters.
    batch_size : int or None
        Rows a step; None is all.
    scale : bool
        Whether parameters and loss are scaled by the curvature at the start.
    report : callable
        Map from the mean loss to what is descended.
    max_iter, n_iter_no_change : int
        Epochs, and those without improvement that are borne.
    tol : float
        Improvement that counts, as a share of the loss.
    """

    optimizer: Optimizer
    schedule: Schedule
    learning_rate: float | None
    batch_size: int | None
    scale: bool
    report: Callable[[Any], Any]
    max_iter: int
    n_iter_no_change: int
    tol: float

    @property
    def rate(self) -> float:
        """The base learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        return _DEFAULT_RATES.get(self.optimizer.name, _DEFAULT_RATE)


def first_order(
    problem: Problem,
    theta: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    plan: StepPlan,
    *,
    rng: np.random.RandomState,
    after_iteration: AfterIteration | None = None,
) -> Descent:
    """Descend by epochs and return the best point seen.

    Without a learning rate given, one that diverges is followed by a tenth of it.

    Parameters
    ----------
    problem : Problem
    theta, low, high : ndarray of shape (p,)
    plan : StepPlan
    rng : RandomState
        Draws the order of the rows where there are batches.
    after_iteration : callable, optional
    """
    found = _run(problem, theta, low, high, plan, rng, after_iteration)
    if plan.learning_rate is not None:
        return found
    for _ in range(_RETRIES):
        if not found.diverged:
            break
        plan = replace(plan, learning_rate=plan.rate / 10)
        found = _run(problem, theta, low, high, plan, rng, after_iteration)
    return found


def _run(
    problem: Problem,
    theta: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    plan: StepPlan,
    rng: np.random.RandomState,
    after_iteration: AfterIteration | None,
) -> Descent:
    run = _Run(problem, theta, low, high, plan)
    loss = problem.value(theta)
    found = Descent(theta, loss, curve=[loss])
    best, stale = loss, 0
    for epoch in range(plan.max_iter):
        run.epoch(epoch, rng)
        now, loss = run.theta(), problem.value(run.theta())
        found.curve.append(loss)
        if loss < found.loss:
            found.theta, found.loss = now, loss
        if not math.isfinite(loss) or loss > _EXPLODED * max(found.curve[0], problem.spread**2):
            found.reason = (
                f"{plan.optimizer.name} diverged in epoch {epoch + 1}: lower "
                f"learning_rate_init={plan.rate:g}"
            )
            found.diverged = True
            return found
        run.follow(loss)
        stale = 0 if loss < best - plan.tol * abs(best) else stale + 1
        best = min(best, loss)
        stopped = after_iteration is not None and after_iteration(now, loss)
        if stopped or stale >= plan.n_iter_no_change or run.exhausted:
            found.converged = True
            found.reason = STOPPED if stopped else f"{plan.optimizer.name} stopped improving"
            return found
    found.reason = f"max_iter={plan.max_iter} epochs of {plan.optimizer.name} were done"
    return found


class _Run:
    """The scaled parameters, their optimizer and their schedule."""

    def __init__(
        self,
        problem: Problem,
        theta: np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
        plan: StepPlan,
    ):
        self.problem, self.plan = problem, plan
        loss = problem.value(theta)
        size = _scales(problem, theta, loss) if plan.scale else np.ones_like(theta)
        self.unit = float(plan.report(loss)) if plan.scale and loss > 0 else 1.0
        self.size = problem.tensor(size)
        self.bounds = low, high
        self.low, self.high = problem.tensor(low / size), problem.tensor(high / size)
        self.scaled = problem.tensor(theta / size).requires_grad_()
        self.optimizer = plan.optimizer.build([self.scaled], plan.rate)
        self.n = len(problem.y)
        self.batch = min(plan.batch_size or self.n, self.n)
        self.per_epoch = math.ceil(self.n / self.batch)
        adaptive = isinstance(plan.schedule, Adaptive)
        self.state = plan.schedule.start() if adaptive else None

    @property
    def exhausted(self) -> bool:
        """Whether an adaptive schedule has given up."""
        return self.state is not None and self.state.exhausted

    def theta(self) -> np.ndarray:
        """Return the parameters in the user's units."""
        low, high = self.bounds
        theta = (self.scaled * self.size).detach().cpu().numpy().astype(np.float64)
        # what lies at a bound in scaled parameters lies there exactly
        theta = np.where((self.scaled <= self.low).cpu().numpy(), low, theta)
        return np.where((self.scaled >= self.high).cpu().numpy(), high, theta)

    def epoch(self, epoch: int, rng: np.random.RandomState) -> None:
        """Take the steps of one pass over the rows."""
        whole = self.batch == self.n
        order = None if whole else torch.as_tensor(rng.permutation(self.n))
        for i in range(self.per_epoch):
            rows = None if order is None else order[i * self.batch : (i + 1) * self.batch]
            self._set_rate(epoch * self.per_epoch + i)
            self.optimizer.zero_grad()
            self._objective(rows).backward()
            self.optimizer.step()
            with torch.no_grad():
                self.scaled.clamp_(self.low, self.high)

    def follow(self, loss: float) -> None:
        """Tell an adaptive schedule the loss of the epoch, in units of the first one."""
        if self.state is not None:
            told = float(self.plan.report(loss)) / self.unit
            self.state = self.plan.schedule.advance(self.state, told, self.plan.rate)

    def _objective(self, rows: Tensor | None) -> Tensor:
        problem = self.problem
        x, y, weight = problem.x, problem.y, problem.weight
        if rows is not None:
            rows = rows.to(y.device)
            x, y, weight = x[rows], y[rows], weight[rows]
        raw = problem.function(x, self.scaled * self.size)
        mean = problem.loss.mean(raw[:, None], y[:, None], weight)
        return self.plan.report(mean) / self.unit

    def _set_rate(self, step: int) -> None:
        schedule = self.plan.schedule
        if self.state is not None:
            factor = self.state.factor
        else:
            total = self.plan.max_iter * self.per_epoch
            factor = schedule.factor(step, total, self.per_epoch, rows_per_epoch=self.n)
        set_learning_rate(self.optimizer, self.plan.rate * factor)


def _scales(problem: Problem, theta: np.ndarray, loss: float) -> np.ndarray:
    """Return the change of each parameter that changes the loss by about all of it."""
    around = problem.linearise(theta)
    curvature = np.zeros_like(theta) if around is None else (around.R**2).sum(axis=0)
    fallback = np.maximum(np.abs(theta), 1.0)
    known = (curvature > 0) & (loss > 0)
    sizes = np.sqrt(2 * loss / np.where(known, curvature, 1.0))
    # A parameter that hardly matters at the start may matter soon.
    limit = np.where(theta != 0, 10 * np.abs(theta), np.inf)
    return np.where(known, np.minimum(sizes, limit), fallback)
