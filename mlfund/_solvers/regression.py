"""From data and a regression loss to weights in the columns of X.

Targets are centred and scaled before the fit and the weights scaled back, so that
tolerances mean the same for targets of any size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mlfund._solvers import kernels
from mlfund._solvers.choice import (
    COORDINATE,
    COORDINATE_COLUMNS,
    NEWTON,
    PROXIMAL,
    PROXIMAL_NEWTON,
    choose,
)
from mlfund._solvers.descent import minimise
from mlfund._solvers.linear import Penalty, make_problem, solve
from mlfund._solvers.regression_direct import CholeskyHessian, DualHessian
from mlfund._solvers.regression_homotopy import Homotopy, Path
from mlfund._solvers.regression_interior import InteriorPoint
from mlfund._solvers.regression_kinks import KinkedProblem
from mlfund._solvers.regression_losses import ClippedLoss, PoissonLoss, SquaredLoss
from mlfund._solvers.regression_targets import RegressionTask, Units, scale_targets
from mlfund._solvers.stopping import Outcome, Stopping

CHOLESKY = "cholesky"
HOMOTOPY = "homotopy"
INTERIOR = "interior-point"

# Columns, or rows where they are fewer, up to which one matrix is factorised.
LARGEST_FACTOR = 4000
# The same for losses with kinks, which have no other way: 2 GB a matrix.
LARGEST_KINKED = 16_000
# Up to so many columns the whole matrix costs less than the iterations of L-BFGS.
DIRECT_COLUMNS = 300
DIRECT_FLOP = 2e10
# Rows a column from which the path of the homotopy is short.
HOMOTOPY_ROWS = 60
# Huber's delta, relative to the median residual of the constant, from which few rows are
# curved at the start, but nearly all at the optimum where the columns explain something.
NARROW = 0.5
# Of the largest weight, below which weights with an l1 penalty may be zero.
ZERO_SHARES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8)
# Of the tolerance, what zeros may cost.
ZERO_PART = 0.1
_WORST = ("stopped", "max_iter", "rounding", "converged")


@dataclasses.dataclass(frozen=True)
class Options:
    """How to solve: the arguments of `linear.solve` of these names."""

    intercept: bool
    tol: float
    max_iter: int
    rng: np.random.RandomState
    solver: str | None = None


@dataclasses.dataclass(frozen=True)
class RegressionFit:
    """Weights in the columns of X, and how they were found.

    Attributes
    ----------
    W : ndarray of shape (k, d)
    b : ndarray of shape (k,)
    solver : str
        The algorithm that ran.
    status : {"converged", "rounding", "max_iter", "stopped"}
    n_iter : int
    gradient : float
        What is compared with `tol`: the largest entry of the gradient in units of the
        targets' spread, or for "kinked" the bound on the relative excess of the objective.
    loss_curve : list of float
        Objective at the start and after each iteration, summed over the targets.
    """

    W: NDArray
    b: NDArray
    solver: str
    status: str
    n_iter: int
    gradient: float
    loss_curve: list[float]


def solve_regression(
    X,
    y: NDArray,
    task: RegressionTask,
    weights,
    options: Options,
    *,
    start: tuple[NDArray, NDArray] | None = None,
    after_iteration: Callable[[NDArray, NDArray], bool] | None = None,
) -> RegressionFit:
    """Fit a linear regression to one target or several, each by itself.

    Parameters
    ----------
    X : ndarray or CSR of shape (n, d), float32 or float64
    y : ndarray of shape (k, n)
        In float64.
    task : RegressionTask
    weights : float or ndarray of shape (n,)
        Row weights with sum 1, above 0.
    options : Options
    start : tuple of ndarray, optional
        Weights (k, d) and intercepts (k,) to start from.
    after_iteration : callable, optional
        Is given weights (k, d) and intercepts (k,) after each iteration; returning true ends
        the fit. Targets not yet fitted have zeros.

    Returns
    -------
    RegressionFit
    """
    direct = is_direct(X, task, options)
    if direct or len(y) == 1:
        return _fit_scaled(X, y, task, weights, options, start, after_iteration)
    k, d = len(y), X.shape[1]
    W, b = (np.zeros((k, d)), np.zeros(k)) if start is None else map(np.copy, start)
    fits: list[RegressionFit] = []
    for j in range(k):
        begin = None if start is None else (start[0][j : j + 1], start[1][j : j + 1])

        def told(of_one, intercept, j=j):
            W[j], b[j] = of_one[0], intercept[0]
            return after_iteration(W, b)

        watched = None if after_iteration is None else told
        fits.append(_fit_scaled(X, y[j : j + 1], task, weights, options, begin, watched))
        W[j], b[j] = fits[-1].W[0], fits[-1].b[0]
        if fits[-1].status == "stopped":
            break
    return _joined(fits, W, b)


def _joined(fits: list[RegressionFit], W: NDArray, b: NDArray) -> RegressionFit:
    longest = max(len(fit.loss_curve) for fit in fits)
    curves = [
        fit.loss_curve + fit.loss_curve[-1:] * (longest - len(fit.loss_curve)) for fit in fits
    ]
    return dataclasses.replace(
        fits[0],
        W=W,
        b=b,
        status=min((fit.status for fit in fits), key=_WORST.index),
        n_iter=max(fit.n_iter for fit in fits),
        gradient=max(fit.gradient for fit in fits),
        loss_curve=list(np.sum(curves, axis=0)),
    )


def _fit_scaled(X, y, task, weights, options: Options, start, after_iteration) -> RegressionFit:
    """Fit targets in units of their own: one target, or several by one factorisation."""
    scaled, inner, units = scale_targets(y, task, weights, options.intercept)
    told = None
    if after_iteration is not None:

        def told(W, b):
            return after_iteration(*units.outward(W, b))

    if start is not None:
        start = units.inward(*start)
    if _has_kinks(X, inner, options):
        fit = _fit_kinked(X, scaled, inner, weights, options, units, start, told)
    elif is_direct(X, task, options):
        fit = _fit_direct(X, scaled, inner, weights, options, units, start, told)
    else:
        fit = _fit_smooth(X, scaled, inner, weights, options, units, start, told)
    W, b = units.outward(fit.W, fit.b)
    return dataclasses.replace(fit, W=W, b=b)


def _has_kinks(X, task: RegressionTask, options: Options) -> bool:
    """Whether the loss, for targets of unit spread, is solved as one with kinks.

    Huber's loss is when its curvature vanishes in many rows, where Newton's and quasi-Newton
    methods lose their way; and when the columns are few, since it costs no more then. With an
    l1 penalty it is whenever one matrix of the columns can be factorised.
    """
    if task.loss != "huber":
        return task.loss == "kinked"
    if options.solver is not None:
        return options.solver in (HOMOTOPY, INTERIOR)
    n, p = X.shape[0], X.shape[1] + options.intercept
    if task.l1:
        return p <= LARGEST_FACTOR
    newton = choose(n, p, 1, l1=False) == NEWTON
    return newton or (task.high < NARROW and p <= LARGEST_FACTOR)


def is_direct(X, task: RegressionTask, options: Options) -> bool:
    """Return whether squared error is minimised by one factorisation."""
    if task.loss != "squared_error" or task.l1 or options.solver not in (None, CHOLESKY):
        return False
    n, d = X.shape
    if min(n, d) > LARGEST_FACTOR or (d > n and not task.l2):
        return options.solver == CHOLESKY
    few = d <= DIRECT_COLUMNS or min(n, d) * float(n) * d <= DIRECT_FLOP
    return options.solver == CHOLESKY or few


def _fit_direct(X, y, task, weights, options, units: Units, start, told) -> RegressionFit:
    loss = SquaredLoss(y.astype(X.dtype), _cast(weights, X.dtype))
    problem = make_problem(X, loss, Penalty(task.l2), intercept=options.intercept)
    if X.shape[1] > X.shape[0] and task.l2 > 0:
        direction, V = DualHessian(problem), np.zeros(problem.shape)
    else:
        direction = CholeskyHessian(problem)
        V, objectives, rounding = direction.solution()
        size = max(float(problem.design.scale.max()), 1.0)
        if size * rounding <= options.tol and told is None and start is None:
            W, b = problem.design.to_original(V)
            curve = [float(value) for value in objectives @ units.factor]
            return RegressionFit(W, b, CHOLESKY, "converged", 1, size * rounding, curve)
        V = np.zeros(problem.shape)
    if start is not None:
        V = problem.design.from_original(*start)
    curve: list[float] = []

    def note(point):
        rows = 0.5 * np.asarray((point.Z - problem.loss.target) ** 2, dtype=np.float64)
        of_rows = rows @ np.broadcast_to(weights, rows.shape[1])
        curve.append(float(units.factor @ (of_rows + 0.5 * point.V**2 @ problem.l2)))

    def watched(point):
        note(point)
        return told is not None and told(*problem.design.to_original(point.V))

    note(problem.point(V))
    outcome = _refined(problem, X, V, direction, options, watched)
    W, b = problem.design.to_original(outcome.V)
    return RegressionFit(W, b, CHOLESKY, outcome.status, outcome.n_iter, outcome.gradient, curve)


def _refined(problem, X, V, direction, options, watched) -> Outcome:
    """Take steps by one factorisation, in the dtype of X and, where that is too coarse, float64."""
    outcome = None
    for data in (X, X.astype(np.float64)) if X.dtype == np.float32 else (X,):
        problem = problem if data is X else problem.with_data(data)
        stopping = Stopping(problem, options.tol, options.max_iter)
        done = 0 if outcome is None else outcome.n_iter
        outcome = minimise(problem, V, direction, stopping, after_iteration=watched, n_iter=done)
        V = outcome.V
        if outcome.status != "rounding":
            break
    return outcome


def _fit_kinked(X, y, task, weights, options, units: Units, start, told) -> RegressionFit:
    if options.solver is None and min(X.shape) > LARGEST_KINKED:
        raise ValueError(
            f"this loss is solved by a matrix of the columns or the rows, and X has {X.shape[0]} "
            f"rows and {X.shape[1]} columns, more than {LARGEST_KINKED} of both: set "
            "solver='sgd', or take loss='huber' with a small delta."
        )
    # Ratios of residuals to the width need all the digits there are.
    X = X.astype(np.float64, copy=False)
    loss = ClippedLoss(y, weights, low=task.low, high=task.high)
    problem = make_problem(X, loss, Penalty(task.l2, task.l1), intercept=options.intercept)
    design = problem.design
    kinked = KinkedProblem(design, y[0], task.low, task.high, problem.l2, problem.l1)
    v = np.zeros(design.p) if start is None else design.from_original(*start)[0]
    watched = None
    if told is not None:

        def watched(v):
            return told(*design.to_original(v[None]))

    last_width = 1.0 if task.loss == "huber" else 0.0
    name, path = _follow(kinked, v, options, last_width, watched)
    path = _with_zeros(kinked, path, last_width, ZERO_PART * options.tol)
    W, b = design.to_original(path.v[None])
    curve = [float(units.factor[0]) * value for value in path.loss_curve]
    return RegressionFit(W, b, name, path.status, path.n_iter, path.gap, curve)


def _with_zeros(problem: KinkedProblem, path: Path, width: float, part: float) -> Path:
    """Set weights to zero where that costs less than the bound on the error, or than `part`."""
    if not problem.l1.any():
        return path
    least = path.loss_curve[-1]
    slack = max(max(path.gap, part) * problem.size(least), np.finfo(float).eps * least)
    size = np.abs(path.v)
    for share in ZERO_SHARES:
        v = np.where((problem.l1 > 0) & (size <= share * size.max()), 0.0, path.v)
        value = problem.value(problem.design.margins(v[None])[0] - problem.y, v, width)
        if value <= least + slack:
            return dataclasses.replace(path, v=v, loss_curve=[*path.loss_curve[:-1], value])
    return path


def _follow(problem: KinkedProblem, v, options, last_width, watched) -> tuple[str, Path]:
    """Choose between homotopy and interior points, which ends what the other could not."""
    common = {
        "tol": options.tol,
        "max_iter": options.max_iter,
        "last_width": last_width,
        "after_iteration": watched,
    }
    # The width of the loss and that of the kinks of the penalty would have to differ.
    huber_l1 = last_width and problem.l1.any()
    many_rows = problem.design.n >= HOMOTOPY_ROWS * problem.design.p or problem.l2.any()
    if options.solver == HOMOTOPY or (options.solver is None and many_rows and not huber_l1):
        path = Homotopy(problem, **common).follow(v)
        if path.status != "unsolved":
            return HOMOTOPY, path
        v = path.v
    return INTERIOR, InteriorPoint(problem, **common).follow(v)


def _fit_smooth(X, y, task, weights, options, units: Units, start, told) -> RegressionFit:
    weights = _cast(weights, X.dtype)
    y = y.astype(X.dtype)
    if task.loss == "huber":
        loss = ClippedLoss(y, weights, low=task.low, high=task.high)
    elif task.loss == "poisson":
        loss = PoissonLoss(y, weights, offset=units.offset)
    else:
        loss = SquaredLoss(y, weights)
    fit = solve(
        X,
        loss,
        Penalty(task.l2, task.l1),
        intercept=options.intercept,
        tol=options.tol,
        max_iter=options.max_iter,
        rng=options.rng,
        solver=options.solver or _algorithm(X, task, options),
        start=start,
        after_iteration=told,
    )
    curve = [float(units.factor[0]) * value for value in getattr(fit, "loss_curve", [])]
    return RegressionFit(fit.W, fit.b, fit.solver, fit.status, fit.n_iter, fit.gradient, curve)


def _algorithm(X, task: RegressionTask, options: Options) -> str | None:
    """Return the solver for a smooth loss, None to leave it to the data."""
    if task.loss == "huber" and task.l1:
        # Where its curvature vanishes, a model of second order says nothing.
        return PROXIMAL
    if task.loss == "poisson" and task.l1:
        # Accelerated proximal steps need a bound on the curvature, and exp has none.
        few = X.shape[1] <= COORDINATE_COLUMNS
        compiled = kernels.available() and kernels.suits(X)
        return COORDINATE if compiled and not few else PROXIMAL_NEWTON
    return None


def _cast(weights, dtype):
    return weights.astype(dtype) if isinstance(weights, np.ndarray) else weights
