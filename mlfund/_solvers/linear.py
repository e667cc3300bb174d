"""From data and a solver's name to weights in the columns of X."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers import kernels
from mlfund._solvers.choice import (
    COORDINATE,
    NEWTON,
    PLAIN,
    PROXIMAL,
    PROXIMAL_NEWTON,
    choose,
)
from mlfund._solvers.coordinate import WorkingSetNewton
from mlfund._solvers.descent import minimise
from mlfund._solvers.design import Design
from mlfund._solvers.directions import LBFGS, NewtonCholesky
from mlfund._solvers.metrics import DiagonalHessian, SampledHessian
from mlfund._solvers.problem import Problem
from mlfund._solvers.proximal import ProximalSteps, minimise_nonsmooth
from mlfund._solvers.proximal_newton import ProximalNewton
from mlfund._solvers.stopping import Outcome, Stopping

# In standardised coordinates. Larger ones would overflow when multiplied by weights.
LARGEST_PENALTY = 1e150
# Iterations at which L-BFGS takes the curvature anew.
BINARY_REFRESH = (0, 3, 12, 22, 35, 60, 100, 200)
NONSMOOTH = {
    PROXIMAL: ProximalSteps,
    PROXIMAL_NEWTON: ProximalNewton,
    COORDINATE: WorkingSetNewton,
}
MULTINOMIAL_REFRESH = (0, 5, 15, 40, 80, 160)


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
    """

    W: NDArray
    b: NDArray
    solver: str
    status: str
    n_iter: int
    gradient: float
    separated: bool


def make_problem(X, loss, penalty: Penalty, *, intercept: bool) -> Problem:
    """Return the problem in standardised coordinates.

    The columns are centred when the intercept is free, which changes nothing but the
    coordinates; a penalised intercept must stay what it is.
    """
    centred = intercept and penalty.of_intercept is None
    design = Design(X, loss.weights, intercept=intercept, centred=centred)
    # A column in units so tiny that its penalty overflows has a weight of zero.
    strength = max(penalty.l2, penalty.l1)
    design.freeze(np.sqrt(strength / LARGEST_PENALTY) >= design.scale)
    l2, l1 = np.zeros(design.p), np.zeros(design.p)
    l2[: design.d] = np.where(design.dead, 1.0, penalty.l2 / design.scale**2)
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
    rng : numpy.random.RandomState
        Draws the rows of the sampled Hessian.
    solver : str, optional
        One of the names in `choice`; chosen by the data when None.
    start : tuple of ndarray, optional
        Weights (k, d) and intercepts (k,) to start from, else zeros.
    after_iteration : callable, optional
        Is given weights (k, d) and intercepts (k,) after each iteration; returning true
        ends the fit.
    """
    problem = make_problem(X, loss, penalty, intercept=intercept)
    solver = _solver_for(problem, solver, l1=penalty.l1 > 0)
    V = np.zeros(problem.shape) if start is None else problem.design.from_original(*start)
    told = None
    if after_iteration is not None:

        def told(point):
            return after_iteration(*problem.design.to_original(point.V))

    outcome = _run(problem, V, solver, tol, max_iter, rng, told)
    if X.dtype == np.float32 and outcome.status == "rounding":
        exact = problem.astype(np.float64)
        outcome = _run(exact, outcome.V, solver, tol, max_iter, rng, told, outcome.n_iter)
    V = _balanced(outcome.V, problem)
    W, b = problem.design.to_original(V)
    separated = loss.separated(outcome.Z)
    return Fit(W, b, solver, outcome.status, outcome.n_iter, outcome.gradient, separated)


def _solver_for(problem: Problem, solver: str | None, *, l1: bool) -> str:
    """Return the solver asked for, or the one that suits the data."""
    n, (k, p) = problem.design.n, problem.shape
    compiled = isinstance(problem.design.X, np.ndarray) or problem.design.sparse
    compiled = compiled and kernels.available() and kernels.suits(problem.design.X)
    if solver is None:
        return choose(n, p, k, l1=l1, kernels=compiled)
    if solver == COORDINATE:
        kernels.require(solver)
        # Several outputs share their columns; 64-bit indices are of sizes of their own.
        return solver if k == 1 and compiled else PROXIMAL
    return solver


def _run(problem, V, solver, tol, max_iter, rng, told, n_iter=0) -> Outcome:
    stopping = Stopping(problem, tol, max_iter)
    if solver in NONSMOOTH:
        loop, part = minimise_nonsmooth, NONSMOOTH[solver](problem)
    else:
        loop, part = minimise, _direction(problem, solver, rng)
    return loop(problem, V, part, stopping, after_iteration=told, n_iter=n_iter)


def _direction(problem: Problem, solver: str, rng):
    if solver == NEWTON:
        return NewtonCholesky(problem)
    refresh_at = BINARY_REFRESH if problem.shape[0] == 1 else MULTINOMIAL_REFRESH
    metric = DiagonalHessian(problem) if solver == PLAIN else SampledHessian(problem, rng)
    return LBFGS(metric, refresh_at=refresh_at)


def _balanced(V: NDArray, problem: Problem) -> NDArray:
    """Take the common part out of the classes' weights where the loss does not see it.

    Softmax is blind to a vector added to all classes; an l2 penalty wants it zero, and
    without penalty zero is the natural choice. An l1 penalty may want another one.
    """
    if len(V) == 1:
        return V
    return np.where(problem.l1 > 0, V, V - V.mean(axis=0))
