"""What a parametric fit minimises: a loss of predictions, its slopes, its linearisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlfund._check import check_choice
from mlfund.estimators._parametric_function import ParametricFunction
from mlfund.losses import LOSSES, AbsoluteError, Loss, SquaredError, get_loss

# The loss that is minimised, and what is reported from its mean. Half the squared error
# has unit curvature, which keeps the formulas below those of least squares.
_NAMES: dict[str, tuple[Loss, Callable[[Any], Any]]] = {
    "mse": (SquaredError(), lambda mean: 2 * mean),
    "rmse": (SquaredError(), lambda mean: (2 * mean) ** 0.5),
    "mae": (AbsoluteError(), lambda mean: mean),
}
# Residuals below this share of the spread of y count as zero where the loss has a kink.
_KINK = 1e-6


def read_loss(loss: str | Loss) -> tuple[Loss, Callable[[Any], Any]]:
    """Return the loss that is minimised, and the map from its mean to what is reported.

    Raises
    ------
    ValueError
        If the name is unknown or the loss is not one of real targets.
    """
    if isinstance(loss, str) and loss in _NAMES:
        return _NAMES[loss]
    if not isinstance(loss, Loss):
        known = [name for name, entry in LOSSES.items() if _is_of_predictions(entry)]
        check_choice("loss", loss, [*_NAMES, *known])
    entry = get_loss(loss)
    if not _is_of_predictions(entry):
        raise ValueError(
            f"the loss {entry.name!r} is for {entry.target} targets; a parametric function needs "
            "a pointwise loss of real targets and one raw score, such as 'mse' or 'huber'."
        )
    return entry, lambda mean: mean


def _is_of_predictions(loss: Loss) -> bool:
    """Whether a loss compares one number a row, the prediction, to a real target."""
    return loss.target == "real" and loss.reduction == "pointwise" and loss.raw_width(1) == 1


@dataclass
class Linearised:
    """The problem around one point: half the squared norm of ``R d + q``, and a constant.

    Attributes
    ----------
    R : ndarray of shape (min(n, p), p)
        Triangular factor of the Jacobian, its rows scaled by the root of the curvature.
    q : ndarray of shape (min(n, p),)
        The scaled residuals in the same basis; ``R.T @ q`` is the gradient.
    residual_norm : float
        Norm of all scaled residuals.
    """

    R: np.ndarray
    q: np.ndarray
    residual_norm: float

    @property
    def gradient(self) -> np.ndarray:
        """Gradient of the mean loss, shape (p,)."""
        return self.R.T @ self.q


class Problem:
    """Mean loss of a function's predictions over weighted rows.

    Parameters
    ----------
    function : ParametricFunction
    loss : Loss
        Pointwise, on real targets.
    x : Tensor of shape (n,) or (n, d)
    y, weight : Tensor of shape (n,)
        The weights are positive.

    Attributes
    ----------
    smoothing : float
        Below this residual a loss with a kink at zero is replaced by a parabola.
    """

    def __init__(
        self, function: ParametricFunction, loss: Loss, x: Tensor, y: Tensor, weight: Tensor
    ):
        self.function, self.loss, self.x, self.y = function, loss, x, y
        self.weight_sum = float(weight.sum())
        self.weight = weight / self.weight_sum
        mean = (self.weight * y).sum()
        self.spread = float((self.weight * (y - mean) ** 2).sum().sqrt()) or float(mean.abs()) or 1
        if not np.isfinite(self.spread):
            raise ValueError(
                f"y is too large for {str(y.dtype).removeprefix('torch.')}, its squares overflow: "
                "divide it by a constant."
            )
        self.tiny = _KINK * self.spread
        self.kinked = self._has_kink()
        self.smoothing = 0.0

    def tensor(self, theta: np.ndarray) -> Tensor:
        """Return flat parameters as a tensor beside the data."""
        return torch.as_tensor(theta, dtype=self.y.dtype, device=self.y.device)

    def predict(self, theta: np.ndarray) -> Tensor:
        """Return the predictions, shape (n,)."""
        with torch.no_grad():
            return self.function(self.x, self.tensor(theta))

    def losses(self, raw: Tensor) -> Tensor:
        """Return the loss of each row, shape (n,), as it is minimised at present."""
        losses = self._rows(raw)
        if not self.smoothing:
            return losses
        residual = raw - self.y
        edge = outside(residual, self.smoothing)
        slope = self.slopes(self.y + edge)
        # a parabola that meets value and slope at the edge
        inner = self._rows(self.y + edge) + slope * (residual**2 - edge**2) / (2 * edge)
        return torch.where(residual.abs() < self.smoothing, inner, losses)

    def value(self, theta: np.ndarray) -> float:
        """Return the mean loss; infinite where the function is not finite."""
        mean = float((self.weight * self.losses(self.predict(theta))).sum())
        return mean if np.isfinite(mean) else np.inf

    def slopes(self, raw: Tensor) -> Tensor:
        """Return the derivative of each row's loss by its prediction, shape (n,)."""
        if self.loss.canonical:
            return raw - self.y
        raw = raw.detach().requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(self._rows(raw).sum(), raw)
        return slope

    def jacobian(self, theta: np.ndarray) -> Tensor:
        """Return the derivatives of the predictions by the parameters, shape (n, p)."""
        return self.function.jacobian(self.x, self.tensor(theta))

    def curvature(self, raw: Tensor) -> Tensor:
        """Return slope over residual of each row: the parabola that lies above the loss."""
        edge = outside(raw - self.y, max(self.smoothing, self.tiny))
        return (self.slopes(self.y + edge) / edge).clamp_min(0)

    def linearise(self, theta: np.ndarray) -> Linearised | None:
        """Return the problem around `theta`; None where a derivative is not finite."""
        raw, slopes = self.function.linearise(self.x, self.tensor(theta))
        scale = (self.weight * self.curvature(raw)).sqrt()
        rows = scale[:, None] * slopes
        residual = scale * (raw - self.y)
        if not bool(torch.isfinite(rows).all()):
            return None
        basis, factor = torch.linalg.qr(rows)
        return Linearised(
            R=factor.cpu().numpy().astype(np.float64),
            q=(basis.T @ residual).cpu().numpy().astype(np.float64),
            residual_norm=float(residual.norm()),
        )

    def _rows(self, raw: Tensor) -> Tensor:
        return self.loss.value(raw[:, None], self.y[:, None])

    def _has_kink(self) -> bool:
        """Whether the slope jumps at zero, seen from its size at a tiny and a small residual."""
        near, far = (self.slopes(self.y + share * self.tiny)[0].abs() for share in (1, 1000))
        return bool(near > 0.5 * far)


def outside(residual: Tensor, least: float) -> Tensor:
    """Return residuals, those nearer to zero than `least` moved out to it."""
    edge = torch.where(residual < 0, -least, least)
    return torch.where(residual.abs() < least, edge, residual)
