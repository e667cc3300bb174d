"""From data and a solver's name to weights in the columns of X."""

from __future__ import annotations

import contextlib
import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from mlfund._solvers import dense_pass, kernels
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
    choose,
)
from mlfund._solvers.coordinate import WorkingSetNewton
from mlfund._solvers.descent import Direction, minimise
from mlfund._solvers.design import Design
from mlfund._solvers.directions import LBFGS, NewtonCholesky
from mlfund._solvers.dual import dual_pays, minimise_with_dual
from mlfund._solvers.gradient import SteepestDescent
from mlfund._solvers.losses import BinaryLoss
from mlfund._solvers.metrics import DiagonalHessian, SampledHessian
from mlfund._solvers.moments import SAMPLE_ROWS
from mlfund._solvers.nesterov import NesterovSteps
from mlfund._solvers.problem import Problem
from mlfund._solvers.proximal import ProximalSteps, minimise_nonsmooth
from mlfund._solvers.proximal_newton import ProximalNewton
from mlfund._solvers.rotated import LARGEST_INVERSES, RotatedHessian
from mlfund._solvers.single import single_precision
from mlfund._solvers.stopping import PATIENCE, Outcome, Stopping
from mlfund._solvers.threads import quiet_blas, threads_for

# In standardised coordinates. Larger ones would overflow when multiplied by weights.
LARGEST_PENALTY = 1e150
# Iterations at which L-BFGS takes the curvature anew.
BINARY_REFRESH = (0, 3, 12, 22, 35, 60, 100, 200)
BY_STEPS = {
    NESTEROV: NesterovSteps,
    PROXIMAL: ProximalSteps,
    PROXIMAL_NEWTON: ProximalNewton,
    COORDINATE: WorkingSetNewton,
}
MULTINOMIAL_REFRESH = (0, 5, 15, 40, 80, 160)


# Solvers that start on a float32 copy, and how soon they give it up for rounding.
IN_SINGLE = (PRECONDITIONED, PLAIN, DUAL_COORDINATE, GRADIENT_DESCENT, NESTEROV)
SINGLE_PATIENCE = 3
# A gradient, or part of the objective, that rounding does not explain.
STEEP = 1e-3
# Pairs of L-BFGS beside a Hessian of each contrast, which costs more than they do.
CONTRAST_MEMORY = 30


@dataclasses.dataclass(frozen=True)
class Limits:
    """When to end: the tolerance of the gradient and the number of iterations."""

    tol: float
    max_iter: int

    def stopping(self, problem: Problem, patience: int = PATIENCE) -> Stopping:
        """Return the stopping rule for a problem."""
        return Stopping(problem, self.tol, self.max_iter, patience)


@dataclasses.dataclass(frozen=True)
class Penalty:
    """The penalty of a linear model, for the mean loss.

    Attributes
    ----------
    l2, l1 : float
        0.5 * l2 * |w|^2 + l1 * |w|_1 in the columns of X.
    of_intercept : float or None
        When given, the intercept is penalised too, as the weight of a column with this
        constant value; None leaves it free.
    """

    l2: float
    l1: float = 0.0
    of_intercept: float | None = None


@dataclasses.dataclass(frozen=True)
class Fit:
    """Weights in the columns of X, and how they were found.

    Attributes
    ----------
    W : ndarray of shape (k, d)
    b : ndarray of shape (k,)
    solver : str
        The algorithm that ran.
    status, n_iter, gradient
        As in `Outcome`.
    separated : bool
        Whether the fit puts every row on the side of its class.
    loss_curve : list of float
        The mean loss plus the penalty at the start and after each iteration, the last one
        at the weights returned.
    n_passes : int
        Products with X or its transpose.
    """

    W: NDArray
    b: NDArray
    solver: str
    status: str
    n_iter: int
    gradient: float
    separated: bool
    loss_curve: list[float] = dataclasses.field(default_factory=list)
    n_passes: int = 0


def make_problem(X, loss, penalty: Penalty, *, intercept: bool, every_row: bool = False) -> Problem:
    """Return the problem in standardised coordinates.

    The columns are centred when the intercept is free, which changes nothing but the
    coordinates; a penalised intercept must stay what it is. `every_row` is as for `Design`.
    """
    centred = intercept and penalty.of_intercept is None
    design = Design(X, loss.weights, intercept=intercept, centred=centred, every_row=every_row)
    # A column in units so tiny that its penalty overflows has a weight of zero.
    strength = max(penalty.l2, penalty.l1)
    design.freeze(np.sqrt(strength / LARGEST_PENALTY) >= design.scale)
    l2, l1 = np.zeros(design.p), np.zeros(design.p)
    l2[: design.d] = np.where(design.dead, 1.0, (np.sqrt(penalty.l2) / design.scale) ** 2)
    l1[: design.d] = np.where(design.dead, 0.0, penalty.l1 / design.scale)
    if intercept and not centred:
        l2[design.d] = penalty.l2 / penalty.of_intercept**2
        l1[design.d] = penalty.l1 / penalty.of_intercept
    return Problem(design, loss, l2, l1)


def solve(
    X,
    loss,
    penalty: Penalty,
    *,
    intercept: bool,
    tol: float,
    max_iter: int,
    rng,
    solver: str | None = None,
    start: tuple[NDArray, NDArray] | None = None,
    after_iteration=None,
    device=None,
) -> Fit:
    """Fit a linear model.

    Parameters
    ----------
    X : ndarray or CSR of shape (n, d), float32 or float64
    loss : BinaryLoss or MultinomialLoss
        In the dtype of X.
    penalty : Penalty
    intercept : bool
    tol : float
        See `Stopping`. What float32 cannot reach is finished in float64.
    max_iter : int
    rng : numpy.random.RandomState or int
        Draws the rows of the sampled Hessian; a seed is used only where rows are drawn.
    solver : str, optional
        One of the names in `choice`; chosen by the data when None.
    start : tuple of ndarray, optional
        Weights (k, d) and intercepts (k,) to start from, else zeros.
    after_iteration : callable, optional
        Is given weights (k, d) and intercepts (k,) after each iteration; returning true
        ends the fit.
    device : torch.device, optional
        Where the rows are kept and multiplied; None is numpy on the CPU.
    """
    way = (Limits(tol, max_iter), rng, solver, start, after_iteration, device)
    problem = make_problem(X, loss, penalty, intercept=intercept)
    sampled = not problem.design.sparse and len(X) > SAMPLE_ROWS
    try:
        fit = _fit(problem, *way)
        if not sampled or _is_plausible(fit, tol):
            return fit
    except FloatingPointError:
        if not sampled:
            raise
    # A row far outside of the sample from which the columns got their scales.
    problem = make_problem(X, loss, penalty, intercept=intercept, every_row=True)
    return _fit(problem, *way)


def _is_plausible(fit: Fit, tol: float) -> bool:
    """Whether a fit ended where rounding may end it, and not above its start."""
    first, last = fit.loss_curve[0], fit.loss_curve[-1]
    if last > first + STEEP * abs(first):
        return False
    return fit.status != "rounding" or fit.gradient <= max(tol, STEEP)


def _fit(
    problem: Problem, limits: Limits, rng, solver: str | None, start, after_iteration, device
) -> Fit:
    V = np.zeros(problem.shape) if start is None else problem.design.from_original(*start)
    told = None
    if after_iteration is not None:

        def told(point):
            return after_iteration(*problem.design.to_original(point.V))

    def run(problem, solver) -> tuple[Outcome, bool]:
        outcome = _run(problem, V, solver, limits, rng, told)
        return outcome, problem.loss.separated(outcome.Z)

    if device is None:
        solver = _solver_for(problem, solver, l1=bool(problem.l1.any()))
        with _threads_of(problem):
            outcome, separated = run(problem, solver)
    else:
        # Importing torch takes a second, which a fit on the CPU does without.
        from mlfund._solvers.torch_solve import run_on

        solver, (outcome, separated) = run_on(device, problem, solver, run)
    W, b = problem.design.to_original(_balanced(outcome.V, problem))
    return Fit(
        W,
        b,
        solver,
        outcome.status,
        outcome.n_iter,
        outcome.gradient,
        separated,
        outcome.loss_curve,
        problem.design.passes.n,
    )


def _threads_of(problem: Problem) -> contextlib.AbstractContextManager[None]:
    if dense_pass.suits(problem.design.X, problem.loss):
        return quiet_blas()
    return threads_for(2.0 * problem.shape[0] * problem.design.X.size)


def _solver_for(problem: Problem, solver: str | None, *, l1: bool) -> str:
    """Return the solver asked for, or the one that suits the data."""
    n, (k, p) = problem.design.n, problem.shape
    compiled = isinstance(problem.design.X, np.ndarray) or problem.design.sparse
    compiled = compiled and kernels.available() and kernels.suits(problem.design.X)
    if solver is None:
        chosen = choose(n, p, k, l1=l1, kernels=compiled)
        return DUAL_COORDINATE if chosen == PLAIN and compiled and dual_pays(problem) else chosen
    if solver == COORDINATE:
        kernels.require(solver)
        # Several outputs share their columns; 64-bit indices are of sizes of their own.
        return solver if k == 1 and compiled else PROXIMAL
    if solver == DUAL_COORDINATE:
        kernels.require(solver)
        return solver if isinstance(problem.loss, BinaryLoss) and compiled else PLAIN
    return solver


def _run(problem: Problem, V: NDArray, solver: str, limits: Limits, rng, told) -> Outcome:
    """Solve in float32 as far as that goes, then in float64.

    float64 data are solved on a float32 copy where one pays. What is found there is only a
    start: the gradient is measured again in float64, and the descent goes on from there.
    """
    single = problem
    if problem.design.dtype == np.float64:
        single = single_precision(problem) if solver in IN_SINGLE else None
    if single is None:
        loop, part = _parts(problem, solver, rng)
        return loop(problem, V, part, limits.stopping(problem), after_iteration=told)
    loop, part = _parts(single, solver, rng)
    copied = single is not problem
    stopping = limits.stopping(single, SINGLE_PATIENCE if copied else PATIENCE)
    first = loop(single, V, part, stopping, after_iteration=told)
    if first.status in ("max_iter", "stopped") or (first.status == "converged" and not copied):
        return first
    exact = single.astype(np.float64)
    if copied:
        part.rebind(exact)
    else:
        loop, part = _parts(exact, solver, rng)
    last = loop(
        exact, first.V, part, limits.stopping(exact), after_iteration=told, n_iter=first.n_iter
    )
    curve = first.loss_curve[:-1] + last.loss_curve
    return dataclasses.replace(last, loss_curve=curve)


def _parts(problem: Problem, solver: str, rng):
    """Return the loop of a solver, and what goes its steps."""
    if solver in BY_STEPS:
        return minimise_nonsmooth, BY_STEPS[solver](problem)
    if solver == DUAL_COORDINATE:
        seed = int(check_random_state(rng).randint(2**31))
        loop = functools.partial(minimise_with_dual, seed=seed)
        return loop, _direction(problem, PLAIN, rng)
    return minimise, _direction(problem, solver, rng)


def _direction(problem: Problem, solver: str, rng) -> Direction:
    if solver == NEWTON:
        return NewtonCholesky(problem)
    if solver == GRADIENT_DESCENT:
        return SteepestDescent(problem)
    k, p = problem.shape
    refresh_at = BINARY_REFRESH if k == 1 else MULTINOMIAL_REFRESH
    if solver == PLAIN:
        return LBFGS(DiagonalHessian(problem), refresh_at=refresh_at)
    rng = check_random_state(rng)
    if k == 1 or k * p * p > LARGEST_INVERSES or problem.design.sparse:
        return LBFGS(SampledHessian(problem, rng), refresh_at=refresh_at)
    metric = RotatedHessian(problem, rng)
    return LBFGS(metric, memory=CONTRAST_MEMORY, refresh_at=metric.refresh_at)


def _balanced(V: NDArray, problem: Problem) -> NDArray:
    """Take the common part out of the classes' weights where the loss does not see it.

    Softmax is blind to a vector added to all classes; an l2 penalty wants it zero, and
    without penalty zero is the natural choice. An l1 penalty may want another one.
    """
    if len(V) == 1:
        return V
    return np.where(problem.l1 > 0, V, V - V.mean(axis=0))
