"""Levenberg-Marquardt steps within bounds: gradient descent in the metric of the curvature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mlfund.estimators._parametric_problem import Linearised, Problem

# Called with the parameters and the mean loss after each iteration; True stops the fit.
AfterIteration = Callable[[np.ndarray, float], bool]
_EPS = np.finfo(np.float64).eps
_TINIEST = 1e-300
_RANK_TOLERANCE = 1e-12
_FIRST_DAMPING = 1e-3
_LEAST_DAMPING = 1e-15
_LARGEST_DAMPING = 1e12
# Share of the foretold decrease that a step must bring.
_LEAST_GAIN = 1e-4
# Above this offset a loss that no step lowers is not at a minimum.
_PLATEAU = 1e-6
STOPPED = "a callback stopped it"
# Steps of a loss with a kink: smoothing widths, as shares of the median residual.
_WIDTHS = 10.0 ** -np.arange(0, 8)


@dataclass
class Descent:
    """Where a descent ended.

    Attributes
    ----------
    theta : ndarray of shape (p,)
    loss : float
        Mean loss there, as the loss of the vocabulary counts it.
    converged : bool
    reason : str
        Why it ended, in words.
    curve : list of float
        Mean loss at the start and after each iteration.
    diverged : bool
        Whether first-order steps exploded; `theta` is the best point before.
    """

    theta: np.ndarray
    loss: float
    converged: bool = False
    reason: str = ""
    curve: list[float] = field(default_factory=list)
    diverged: bool = False

    @property
    def n_iter(self) -> int:
        """Iterations done."""
        return len(self.curve) - 1


def levenberg_marquardt(
    problem: Problem,
    theta: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    *,
    tol: float,
    max_iter: int,
    after_iteration: AfterIteration | None = None,
) -> Descent:
    """Minimise the mean loss of a problem from `theta`, within bounds.

    A loss with a kink at zero is minimised through ever sharper smooth losses, and
    then at the corner where as many residuals vanish as there are free parameters.

    Parameters
    ----------
    problem : Problem
    theta, low, high : ndarray of shape (p,)
    tol : float
        The descent ends when the residuals' part along the columns of the Jacobian
        is this share of the residuals (Bates and Watts' relative offset).
    max_iter : int
    after_iteration : callable, optional
    """
    if not problem.kinked:
        return _minimise(problem, theta, low, high, tol, max_iter, after_iteration)
    curve = [problem.value(theta)]
    residual = float((problem.predict(theta) - problem.y).abs().median()) or problem.spread
    found = Descent(theta, curve[0])
    for width in _WIDTHS:
        problem.smoothing = max(width * residual, 1e-3 * problem.tiny)
        # every smooth loss but the last only has to lead to the next
        goal = max(tol, 1e-4) if width > _WIDTHS[-1] else tol
        left = max_iter - len(curve) + 1
        found = _minimise(problem, found.theta, low, high, goal, left, after_iteration)
        curve += found.curve[1:]
    problem.smoothing = 0.0
    theta, loss = _corner(problem, found.theta, low, high)
    return Descent(theta, loss, found.converged, found.reason, [*curve, loss])


def _minimise(
    problem: Problem,
    theta: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    tol: float,
    max_iter: int,
    after_iteration: AfterIteration | None,
) -> Descent:
    loss = problem.value(theta)
    found = Descent(theta, loss, curve=[loss])
    around = problem.linearise(theta)
    if around is None:
        found.reason = "a derivative of the function is not finite at the start"
        return found
    region = _Region(problem, low, high)
    while True:
        region.enter(around, found)
        if region.offset() <= tol:
            found.converged, found.reason = True, "the gradient vanished to tol"
        elif found.n_iter >= max_iter:
            found.reason = f"max_iter={max_iter} was reached"
        else:
            around = region.advance(found)
            if around is None:
                return found
            if after_iteration is None or not after_iteration(found.theta, found.loss):
                continue
            found.converged, found.reason = True, STOPPED
        return found


class _Region:
    """Where the linearised problem is trusted: the damping, and the scale of each parameter.

    Parameters
    ----------
    problem : Problem
    low, high : ndarray of shape (p,)
    """

    def __init__(self, problem: Problem, low: np.ndarray, high: np.ndarray):
        self.problem, self.low, self.high = problem, low, high
        self.damping, self.growth = _FIRST_DAMPING, 2.0
        self.largest = np.zeros_like(low)

    def enter(self, around: Linearised, found: Descent) -> None:
        """Take up the linearisation at a new point."""
        self.around = around
        self.largest = np.maximum(self.largest, np.linalg.norm(around.R, axis=0))
        self.scale = np.where(self.largest > 0, self.largest, 1.0)
        self.free = _free(found.theta, around.gradient, self.low, self.high)
        self.columns = (around.R / self.scale)[:, self.free]

    def advance(self, found: Descent) -> Linearised | None:
        """Move `found` to a better point; None if there is none, with the reason in `found`."""
        while True:
            trial = np.clip(found.theta + self._step(), self.low, self.high)
            expected = _decrease(self.around, trial - found.theta)
            loss = self.problem.value(trial)
            gain = found.loss - loss
            if expected > 0 and gain > _LEAST_GAIN * expected:
                ahead = self.problem.linearise(trial)
                if ahead is not None:
                    self._trust(gain / expected)
                    found.theta, found.loss = trial, loss
                    found.curve.append(loss)
                    return ahead
            if 0 <= expected <= 4 * _EPS * found.loss or found.loss == 0:
                found.converged = self.offset() <= _PLATEAU
                found.reason = (
                    "no step lowers the loss by more than its rounding error"
                    if found.converged
                    else "the loss is flat here, on a plateau away from a minimum"
                )
                return None
            if self.damping > _LARGEST_DAMPING:
                found.reason = "no step lowers the loss"
                return None
            self.damping, self.growth = self.damping * self.growth, 2 * self.growth

    def offset(self) -> float:
        """Return the share of the residuals that a Gauss-Newton step would still remove."""
        if not self.columns.size:
            return 0.0
        left, singular, _ = np.linalg.svd(self.columns, full_matrices=False)
        kept = singular > _RANK_TOLERANCE * max(singular.max(), _TINIEST)
        removable = float(np.linalg.norm((left.T @ self.around.q)[kept]))
        # Of data that lie on the curve nothing but rounding errors is left.
        return removable / max(self.around.residual_norm, 1e-7 * self.problem.spread)

    def _step(self) -> np.ndarray:
        """Return the damped Gauss-Newton step, zero for parameters that are not free."""
        size = self.columns.shape[1]
        system = np.vstack([self.columns, np.sqrt(self.damping) * np.eye(size)])
        target = np.concatenate([-self.around.q, np.zeros(size)])
        step = np.zeros_like(self.scale)
        step[self.free] = np.linalg.lstsq(system, target, rcond=None)[0] / self.scale[self.free]
        return step

    def _trust(self, agreement: float) -> None:
        """Damp less where the linearised problem foretold the loss (Nielsen 1999)."""
        factor = max(1 / 3, 1 - (2 * min(agreement, 1.5) - 1) ** 3)
        self.damping, self.growth = max(self.damping * factor, _LEAST_DAMPING), 2.0


def _free(theta: np.ndarray, gradient: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return which parameters may move: not those that the gradient presses on a bound."""
    pressed = ((theta <= low) & (gradient >= 0)) | ((theta >= high) & (gradient <= 0))
    return ~pressed & (low < high)


def _decrease(around: Linearised, step: np.ndarray) -> float:
    """Return how much the linearised problem falls along a step."""
    moved = around.R @ step
    return float(-moved @ around.q - 0.5 * moved @ moved)


def _corner(
    problem: Problem, theta: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, float]:
    """Move to the corner nearby, where p residuals vanish, if that lowers the loss."""
    best, loss = theta, problem.value(theta)
    free = (theta > low) & (theta < high)
    size = int(free.sum())
    if not 0 < size <= len(problem.y):
        return best, loss
    trial = theta.copy()
    nearest = (problem.predict(theta) - problem.y).abs().argsort()[:size]
    for _ in range(5):
        rows = problem.jacobian(trial)[nearest].cpu().numpy()[:, free]
        residual = (problem.predict(trial) - problem.y)[nearest].cpu().numpy()
        scale = np.linalg.norm(rows, axis=0)
        scale[scale == 0] = 1.0
        trial[free] -= np.linalg.lstsq(rows / scale, residual, rcond=None)[0] / scale
        trial = np.clip(trial, low, high)
        if not np.isfinite(trial).all():
            break
        trial_loss = problem.value(trial)
        if trial_loss < loss:
            best, loss = trial.copy(), trial_loss
    return best, loss
