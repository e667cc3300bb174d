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
# The first radius, in lengths of the start: a longer step lands on plateaus.
_FIRST_RADIUS = 3.0
# A step this much shorter than the parameters does not change them.
_LEAST_STEP = 1e-17
# Share of the foretold decrease that a step must bring.
_LEAST_GAIN = 1e-4
# Above this offset a loss that no step lowers is not at a minimum.
_PLATEAU = 1e-6
STOPPED = "a callback stopped it"
# A loss with a kink: widths of its smooth versions, as shares of the median residual, and how
# well all but the last are minimised.
_WIDTHS = (1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8)
_ROUGHLY = 1e-2
_PATIENCE = 50


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
        # Every smooth loss but the last only has to lead to the next. Rows within the width
        # weigh more the narrower it is, which makes the offset small by itself.
        goal = max(tol, _ROUGHLY * width**0.5) if width > _WIDTHS[-1] else tol
        left = max_iter - len(curve) + 1
        if width > _WIDTHS[-1]:
            left = min(left, _PATIENCE)
        found = _minimise(problem, found.theta, low, high, goal, left, after_iteration)
        curve += found.curve[1:]
        problem.smoothing = 0.0
        corner, loss, optimal = _corner(problem, found.theta, low, high)
        if optimal or found.reason == STOPPED:
            reason = "the gradient vanished at a corner" if optimal else STOPPED
            return Descent(corner, loss, True, reason, [*curve, loss])
    return Descent(corner, loss, found.converged, found.reason, [*curve, loss])


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
    """Where the linearised problem is trusted: a radius, in the scale of each parameter.

    A scale is the largest norm that the column of the Jacobian has had (Moré 1978), which keeps
    a parameter whose derivative fades from running away.

    Parameters
    ----------
    problem : Problem
    low, high : ndarray of shape (p,)
    """

    def __init__(self, problem: Problem, low: np.ndarray, high: np.ndarray):
        self.problem, self.low, self.high = problem, low, high
        self.scale = np.zeros_like(low)
        self.radius = np.inf

    def enter(self, around: Linearised, found: Descent) -> None:
        """Take up the linearisation at a new point."""
        self.around = around
        norms = np.linalg.norm(around.R, axis=0)
        first = not self.scale.any()
        self.scale = np.maximum(self.scale, norms)
        if first:
            self.radius = _FIRST_RADIUS * (self._length(found.theta) or 1.0)
        free = _free(found.theta, around.gradient, self.low, self.high)
        self.free = np.flatnonzero(free & (norms > 0))
        self.norms = norms[self.free]
        self.left, self.singular, self.right = np.linalg.svd(
            around.R[:, self.free] / self.norms, full_matrices=False
        )
        self.kept = self.singular > _RANK_TOLERANCE * self.singular.max(initial=_TINIEST)

    def advance(self, found: Descent) -> Linearised | None:
        """Move `found` to a better point; None if there is none, with the reason in `found`."""
        while True:
            trial = np.clip(found.theta + self._step(), self.low, self.high)
            length = self._length(trial - found.theta)
            expected = _decrease(self.around, trial - found.theta)
            loss = self.problem.value(trial)
            gain = found.loss - loss
            if expected > 0 and gain > _LEAST_GAIN * expected:
                ahead = self.problem.linearise(trial)
                if ahead is not None:
                    self._trust(gain / expected, length)
                    found.theta, found.loss = trial, loss
                    found.curve.append(loss)
                    return ahead
            if 0 <= expected <= 4 * _EPS * found.loss or found.loss == 0:
                found.converged = self.problem.kinked or self.offset() <= _PLATEAU
                found.reason = (
                    "no step lowers the loss by more than its rounding error"
                    if found.converged
                    else "the loss is flat here, on a plateau away from a minimum"
                )
                return None
            if length <= _LEAST_STEP * self._length(found.theta):
                found.reason = "no step lowers the loss"
                return None
            self.radius = 0.25 * min(self.radius, length)

    def offset(self) -> float:
        """Return the share of the residuals that a Gauss-Newton step would still remove."""
        removable = float(np.linalg.norm((self.left.T @ self.around.q)[self.kept]))
        # Of data that lie on the curve nothing but rounding errors is left.
        return removable / max(self.around.residual_norm, 1e-7 * self.problem.spread)

    def _length(self, step: np.ndarray) -> float:
        return float(np.linalg.norm(self.scale * step))

    def _step(self) -> np.ndarray:
        """Return the Gauss-Newton step, damped if it is too long."""
        step = np.zeros_like(self.scale)
        inverse = np.where(self.kept, 1 / np.maximum(self.singular, _TINIEST), 0.0)
        step[self.free] = -self.right.T @ (inverse * (self.left.T @ self.around.q)) / self.norms
        if self._length(step) > self.radius:
            step[self.free] = self._damped() / self.scale[self.free]
        return step

    def _damped(self) -> np.ndarray:
        """Return the scaled step of Levenberg and Marquardt as long as the radius."""
        left, singular, right = np.linalg.svd(
            self.around.R[:, self.free] / self.scale[self.free], full_matrices=False
        )
        pull = -singular * (left.T @ self.around.q)
        # The length falls with the damping, and is below |pull| / damping.
        damping = np.array([_TINIEST**0.5, np.linalg.norm(pull) / self.radius])
        for _ in range(60):
            middle = np.sqrt(damping.prod())
            too_long = np.linalg.norm(pull / (singular**2 + middle)) > self.radius
            damping[0 if too_long else 1] = middle
            if damping[1] < 1.01 * damping[0]:
                break
        return right.T @ (pull / (singular**2 + damping[1]))

    def _trust(self, agreement: float, length: float) -> None:
        """Trust farther where the linearised problem foretold the loss, else nearer."""
        if agreement < 0.25:
            self.radius = 0.5 * min(self.radius, length)
        elif agreement > 0.75:
            self.radius = max(self.radius, 2 * length)


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
) -> tuple[np.ndarray, float, bool]:
    """Move to the corner nearby, where p residuals vanish, if that lowers the loss.

    Returns
    -------
    theta : ndarray of shape (p,)
    loss : float
    optimal : bool
        Whether the corner is a minimum of the loss.
    """
    best, loss, moved = theta, problem.value(theta), False
    free = (theta > low) & (theta < high)
    rows = _independent_rows(problem, theta, free)
    if len(rows) < max(int(free.sum()), 1):
        return best, loss, False
    trial = theta.copy()
    for _ in range(5):
        slopes = problem.jacobian(trial)[rows].cpu().numpy()[:, free]
        residual = (problem.predict(trial) - problem.y)[rows].cpu().numpy()
        scale = np.linalg.norm(slopes, axis=0)
        scale[scale == 0] = 1.0
        trial[free] -= np.linalg.lstsq(slopes / scale, residual, rcond=None)[0] / scale
        trial = np.clip(trial, low, high)
        trial_loss = problem.value(trial) if np.isfinite(trial).all() else np.inf
        if trial_loss == np.inf:
            break
        if trial_loss <= loss:
            best, loss, moved = trial.copy(), trial_loss, True
    return best, loss, moved and _is_optimal(problem, best, rows, free)


def _is_optimal(problem: Problem, theta: np.ndarray, rows: list[int], free: np.ndarray) -> bool:
    """Tell whether the rows at the corner can hold the pull of all others, each by its slope."""
    raw = problem.predict(theta)
    weight = problem.weight.cpu().numpy()
    slopes = problem.jacobian(theta).cpu().numpy()[:, free]
    scale = np.linalg.norm(slopes, axis=0)
    slopes = slopes / np.where(scale > 0, scale, 1.0)
    pull = weight * problem.slopes(raw).cpu().numpy()
    pull[rows] = 0.0
    held = np.linalg.lstsq(slopes[rows].T, -slopes.T @ pull, rcond=None)[0] / weight[rows]
    least, most = (
        problem.slopes(problem.y + side).cpu().numpy()[rows]
        for side in (-problem.tiny, problem.tiny)
    )
    return bool(((held >= least - 1e-9) & (held <= most + 1e-9)).all())


def _independent_rows(problem: Problem, theta: np.ndarray, free: np.ndarray) -> list[int]:
    """Return the rows of smallest residual whose derivatives are independent."""
    size = int(free.sum())
    nearest = (problem.predict(theta) - problem.y).abs().argsort()[: 20 + 10 * size]
    slopes = problem.jacobian(theta)[nearest].cpu().numpy().astype(np.float64)[:, free]
    scale = np.linalg.norm(slopes, axis=0)
    slopes = slopes / np.where(scale > 0, scale, 1.0)
    basis: list[np.ndarray] = []
    rows = []
    for row, slope in zip(nearest.tolist(), slopes, strict=True):
        rest = slope - sum((slope @ axis) * axis for axis in basis)
        length = float(np.linalg.norm(rest))
        if length > 1e-6 * float(np.linalg.norm(slope)):
            basis.append(rest / length)
            rows.append(row)
        if len(rows) == size:
            break
    return rows
