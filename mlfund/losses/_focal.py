"""Focal losses: cross-entropies that pay less attention to what is already right.

The focal risk is not minimised by the class probabilities p but by scores that lie
between p and the uniform distribution. Its minimiser v still determines p, in closed
form (Charoenphakdee et al. 2021), and that is the inverse link here: probabilities are
calibrated as those of a cross-entropy are.

References
----------
Lin, Goyal, Girshick, He, Dollar (2017), Focal loss for dense object detection, ICCV,
arXiv 1708.02002.

Charoenphakdee, Vongkulbhisal, Chairatanakul, Sugiyama (2021), On focal loss for
class-posterior probability estimation, CVPR, arXiv 2011.09172.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mlfund._check import check_fraction, check_positive
from mlfund.losses._base import Link, Loss, Target


def _of_a_class(log_p: Tensor, log_q: Tensor, gamma: float) -> Tensor:
    """Return ``-(1 - p)^gamma log p`` from log p and log q = log(1 - p)."""
    return -log_p * (gamma * log_q).exp()


def _log_posterior(log_p: Tensor, log_q: Tensor, gamma: float) -> Tensor:
    """Return the log of a number proportional to the probability of the class.

    At the minimum the derivatives of ``eta (1 - v)^gamma log v`` by v are equal for all
    classes, so that eta is proportional to the inverse of the derivative at ``v = p``.
    """
    q = log_q.exp()
    # -log(p) / q goes to 1 as q goes to 0; the series is exact there to 1e-8.
    small = q < 1e-4
    ratio = torch.where(small, 1 + q / 2, -log_p / torch.where(small, 1, q))
    return log_p - gamma * log_q - (gamma * log_p.exp() * ratio).log1p()


@dataclass(frozen=True)
class BinaryFocal(Loss):
    """Cross-entropy of each row times (1 - p)^gamma, p the probability of its class.

    Parameters
    ----------
    gamma : float, default=2.0
        How fast rows that are classified well lose their say; 0 is the cross-entropy.
    alpha : float or None, default=None
        Weight of the positive class, in (0, 1); the negative one has 1 - alpha. It shifts
        the probabilities as `class_weight` does. None weighs both by 1.
    """

    name: ClassVar[str] = "focal_binary"
    family: ClassVar[str | None] = "focal"
    target: ClassVar[Target] = "binary"
    soft_targets: ClassVar[bool] = True
    over_outputs: ClassVar[Literal["mean", "sum"]] = "sum"
    gamma: float = 2.0
    alpha: float | None = None

    def __post_init__(self) -> None:
        check_positive("gamma", self.gamma, zero=True)
        if self.alpha is not None:
            check_fraction("alpha", self.alpha)

    @property
    def inverse_link(self) -> Link:
        """Return the map from raw scores to calibrated probabilities."""
        return self._proba

    def _proba(self, raw: Tensor) -> Tensor:
        log_p, log_q = F.logsigmoid(raw), F.logsigmoid(-raw)
        positive = _log_posterior(log_p, log_q, self.gamma)
        return torch.sigmoid(positive - _log_posterior(log_q, log_p, self.gamma))

    def elementwise(self, raw: Tensor, y: Tensor) -> Tensor:
        """Return -y (1 - p)^gamma log p - (1 - y) p^gamma log(1 - p), p = sigmoid(raw)."""
        log_p, log_q = F.logsigmoid(raw), F.logsigmoid(-raw)
        positive = y * _of_a_class(log_p, log_q, self.gamma)
        negative = (1 - y) * _of_a_class(log_q, log_p, self.gamma)
        if self.alpha is None:
            return positive + negative
        return self.alpha * positive + (1 - self.alpha) * negative


@dataclass(frozen=True)
class MultilabelFocal(BinaryFocal):
    """Sum over labels of the focal loss of each.

    Parameters
    ----------
    gamma : float, default=2.0
        How fast rows that are classified well lose their say; 0 is the cross-entropy.
    alpha : float or None, default=None
        Weight of the labels that are set, in (0, 1); those that are not have 1 - alpha.
    """

    name: ClassVar[str] = "focal_multilabel"
    target: ClassVar[Target] = "multilabel"


@dataclass(frozen=True)
class MulticlassFocal(Loss):
    """Cross-entropy of each row times (1 - p)^gamma, p the softmax of its class.

    Parameters
    ----------
    gamma : float, default=2.0
        How fast rows that are classified well lose their say; 0 is the cross-entropy.

    Notes
    -----
    There is no `alpha` of each class: that is what `class_weight` is.
    """

    name: ClassVar[str] = "focal_multiclass"
    family: ClassVar[str | None] = "focal"
    target: ClassVar[Target] = "multiclass"
    soft_targets: ClassVar[bool] = True
    over_outputs: ClassVar[Literal["mean", "sum"]] = "sum"
    gamma: float = 2.0

    def __post_init__(self) -> None:
        check_positive("gamma", self.gamma, zero=True)

    @property
    def inverse_link(self) -> Link:
        """Return the map from raw scores to calibrated probabilities."""
        return self._proba

    def _proba(self, raw: Tensor) -> Tensor:
        log_p, log_q = _log_softmax_and_rest(raw)
        return torch.softmax(_log_posterior(log_p, log_q, self.gamma), dim=-1)

    def value(self, raw: Tensor, y: Tensor) -> Tensor:
        """Return -(1 - p)^gamma log p with p = softmax(raw)[y]; see `Loss.value`."""
        by_class = _of_a_class(*_log_softmax_and_rest(raw), self.gamma)
        if y.is_floating_point():
            return (y * by_class).sum(-1)
        return by_class.gather(-1, y[:, None]).squeeze(-1)


def _log_softmax_and_rest(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Return log p and log(1 - p) of each class, without cancellation."""
    log_p = torch.log_softmax(raw, dim=-1)
    # 1 - p loses its digits for the largest p only, where the others are summed instead.
    top = raw.argmax(dim=-1, keepdim=True)
    others = log_p.scatter(-1, top, -torch.inf).logsumexp(-1, keepdim=True)
    log_q = torch.log1p(-log_p.scatter(-1, top, -torch.inf).exp())
    return log_p, log_q.scatter(-1, top, others)
