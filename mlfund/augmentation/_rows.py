"""Augmentations of rows of any shape: mixing, noise, smoother targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from mlfund._check import check_positive
from mlfund.augmentation._base import Augmentation, Rows, place_of


@dataclass(frozen=True)
class GaussianNoise(Augmentation):
    """Adds independent normal noise to every feature.

    For small noise it acts as a penalty on the slope of the prediction (Bishop 1995).

    Parameters
    ----------
    std : float, default=0.1
        Standard deviation >= 0, in units of the features: standardise them first.

    References
    ----------
    Bishop (1995), Training with noise is equivalent to Tikhonov regularization, Neural
    Computation 7.
    """

    name: ClassVar[str] = "gaussian_noise"
    std: float = 0.1

    def __post_init__(self) -> None:
        check_positive("std", self.std, zero=True)

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return rows with noise; see `Augmentation.apply`."""
        X = rows.X
        place = place_of(X, generator)
        noise = torch.randn(X.shape, generator=generator, dtype=X.dtype, device=place)
        return rows._replace(X=noise.to(X.device).mul_(self.std).add_(X))


@dataclass(frozen=True)
class LabelSmoothing(Augmentation):
    """Moves the targets of classes towards all classes being equally likely.

    Parameters
    ----------
    amount : float, default=0.1
        Share of the uniform distribution, in [0, 1); of 1/2 for each label of a binary or
        multilabel target.

    References
    ----------
    Szegedy, Vanhoucke, Ioffe, Shlens, Wojna (2016), Rethinking the Inception architecture
    for computer vision, CVPR, arXiv 1512.00567.
    """

    name: ClassVar[str] = "label_smoothing"
    softens: ClassVar[bool] = True
    changes_X: ClassVar[bool] = False
    amount: float = 0.1

    def __post_init__(self) -> None:
        if check_positive("amount", self.amount, zero=True) >= 1:
            raise ValueError(f"amount must be at least 0 and less than 1; got {self.amount!r}.")

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return rows with smoother targets; see `Augmentation.apply`."""
        if target not in ("binary", "multiclass", "multilabel"):
            raise ValueError(
                f"label smoothing is for targets that are classes, and these are {target}; "
                "leave it out."
            )
        n_classes = rows.y.shape[-1] if target == "multiclass" else 2
        uniform = self.amount / n_classes
        return rows._replace(y=rows.y.mul(1 - self.amount).add_(uniform))
