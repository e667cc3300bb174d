"""Covariance of fitted parameters from the curvature of the loss, and its intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from mlfund.estimators._parametric_problem import Problem, outside
from mlfund.losses import SquaredError

# Singular values of the scaled Jacobian below this share of the largest are rounding.
_RANK_TOLERANCE = 1e-11
# A parameter whose whole size moves the curve by less than this share of the spread of y has
# run onto a plateau.
_DEAD = 1e-10
# A parameter with more than this share in a direction without curvature is not identified.
_SHARE = 1e-3


@dataclass(frozen=True)
class Uncertainty:
    """What the rows tell about the precision of the parameters.

    Attributes
    ----------
    covariance : ndarray of shape (p, p)
        NaN in rows and columns of parameters that are at a bound or not identified.
    residual_std : float
        Root of the weighted residual sum of squares over the degrees of freedom.
    degrees_of_freedom : float
        Weight sum less the number of free parameters.
    unidentified : list of int
        Positions of free parameters that the rows do not determine.
    """

    covariance: np.ndarray
    residual_std: float
    degrees_of_freedom: float
    unidentified: list[int]


def measure(problem: Problem, theta: np.ndarray, free: np.ndarray) -> Uncertainty:
    """Return the uncertainty of the fitted parameters, with those not free held fixed.

    Least squares take the inverse of J'WJ times the residual variance; other losses the
    sandwich of their curvature and the spread of their slopes, which holds without the
    noise being of the form that the loss supposes. A parameter on a plateau counts as not
    identified.
    """
    size = len(theta)
    covariance = np.full((size, size), np.nan)
    raw = problem.predict(theta)
    residual = raw - problem.y
    weight = problem.weight * problem.weight_sum
    dof = problem.weight_sum - int(free.sum())
    variance = float((weight * residual**2).sum()) / dof if dof > 0 else np.nan
    positions = np.flatnonzero(free)
    blind: list[int] = []
    if positions.size:
        columns = problem.jacobian(theta)[:, positions]
        reach = columns.norm(dim=0) * problem.tensor(np.maximum(np.abs(theta), 1)[positions])
        dead = reach < _DEAD * problem.spread * len(columns) ** 0.5
        columns = torch.where(dead, 0.0, columns)
        block, blind = _free_block(problem, raw, columns, weight, variance, dof)
        covariance[np.ix_(free, free)] = block
    return Uncertainty(
        covariance, float(np.sqrt(variance)), dof, [int(positions[j]) for j in blind]
    )


def _free_block(
    problem: Problem, raw: Tensor, columns: Tensor, weight: Tensor, variance: float, dof: float
) -> tuple[np.ndarray, list[int]]:
    scale = columns.norm(dim=0)
    scale = torch.where(scale > 0, scale, 1.0)
    scaled = columns / scale
    if not bool(torch.isfinite(scaled).all()):
        size = scaled.shape[1]
        return np.full((size, size), np.nan), list(range(size))
    bread, outer = _curvatures(problem, raw, weight)
    root = bread.sqrt()[:, None] * scaled
    _, singular, axes = np.linalg.svd(
        torch.linalg.qr(root).R.cpu().numpy().astype(np.float64), full_matrices=True
    )
    kept = np.zeros(len(axes), dtype=bool)
    kept[: len(singular)] = singular > _RANK_TOLERANCE * max(singular.max(), 1e-300)
    blind = np.flatnonzero((np.abs(axes[~kept]) > _SHARE).any(axis=0))
    inverse = axes[kept].T / singular[kept[: len(singular)]]
    if outer is None:
        block = variance * inverse @ inverse.T
    else:
        meat = (scaled * outer[:, None]).T @ scaled
        middle = inverse @ inverse.T
        correction = problem.weight_sum / dof if dof > 0 else np.nan
        block = correction * middle @ meat.cpu().numpy().astype(np.float64) @ middle
    sizes = scale.cpu().numpy().astype(np.float64)
    block = block / np.outer(sizes, sizes)
    block[blind, :] = block[:, blind] = np.nan
    return block, [int(j) for j in blind]


def _curvatures(problem: Problem, raw: Tensor, weight: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the weights of the bread and of the meat; no meat for least squares."""
    if isinstance(problem.loss, SquaredError):
        return weight, None
    if problem.kinked:
        # Rows that the fit meets exactly have a slope of their own, not the 0 of the corner.
        slope = problem.slopes(problem.y + outside(raw - problem.y, problem.tiny))
        jump = _density_times_jump(problem, raw - problem.y, weight)
        return weight * jump, weight * slope**2
    outer = weight * problem.slopes(raw) ** 2
    # The second derivative, by a central difference that a corner of the loss cannot upset.
    step = 10 * problem.tiny
    curvature = (problem.slopes(raw + step) - problem.slopes(raw - step)) / (2 * step)
    return weight * curvature.clamp_min(0), outer


def _density_times_jump(problem: Problem, residual: Tensor, weight: Tensor) -> Tensor:
    """Return the expected curvature of a loss with a kink: jump times density at zero."""
    jump = problem.slopes(problem.y + problem.tiny) - problem.slopes(problem.y - problem.tiny)
    values, share = residual.cpu().numpy(), (weight / weight.sum()).cpu().numpy()
    low, high = np.quantile(values, [0.25, 0.75])
    width = min(float(values.std()), (high - low) / 1.34) or float(values.std()) or problem.tiny
    bandwidth = 1.06 * width * len(values) ** -0.2
    density = float(share @ stats.norm.pdf(values / bandwidth)) / bandwidth
    return jump * density


def quantile_of_t(level: float, dof: float) -> float:
    """Return how many standard errors a two-sided interval of this level reaches."""
    return float(stats.t.ppf(0.5 + level / 2, dof)) if dof > 0 else np.nan
