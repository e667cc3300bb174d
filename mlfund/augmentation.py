"""Augmentation: training rows changed at random, a whole batch at once.

An entry turns the rows of a batch into others of the same shape and draws all that is
random from the generator it is given, so that a seed gives the same rows again. Nothing
is changed in place, and nothing of it happens when a model predicts.

Examples
--------
>>> import torch
>>> from mlfund.augmentation import LabelSmoothing, Rows
>>> rows = Rows(torch.zeros(2, 3), torch.tensor([[1.0], [0.0]]))
>>> LabelSmoothing(0.1).apply(rows, None, "binary").y
tensor([[0.9500],
        [0.0500]])
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from mlfund._check import check_positive
from mlfund._entries import Entry, resolve

# ``transform(batch, generator) -> batch``, for batches of the engine.
Transform = Callable[[Any, torch.Generator | None], Any]


class Rows(NamedTuple):
    """The rows of a batch.

    Attributes
    ----------
    X : Tensor of shape (n, ...)
        Features.
    y : Tensor of shape (n, k)
        Targets, floating point; for more than two classes their probabilities.
    weight : Tensor of shape (n,) or None
        Weights >= 0; None counts every row once.
    """

    X: Tensor
    y: Tensor
    weight: Tensor | None = None


@dataclass(frozen=True)
class Augmentation(Entry, ABC):
    """A random change of the rows of a batch; subclasses say which.

    Attributes
    ----------
    name : str
        The name in `AUGMENTATIONS`.
    softens : bool
        Whether targets of classes become probabilities between 0 and 1.
    changes_X : bool
        Whether features change; they must be floating point then.
    """

    softens: ClassVar[bool] = False
    changes_X: ClassVar[bool] = True

    @abstractmethod
    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return new rows of the same shapes.

        Parameters
        ----------
        rows : Rows
            They are left as they are.
        generator : torch.Generator or None
            What is drawn from, on its own device; torch's global one when None.
        target : str
            The kind of target, as `mlfund.losses.Loss` declares it.
        """


def _place(X: Tensor, generator: torch.Generator | None) -> torch.device:
    return X.device if generator is None else generator.device


@dataclass(frozen=True)
class Mixup(Augmentation):
    """Mixes each row, features and target, with another one of its batch.

    The share of the row itself is drawn from Beta(alpha, alpha) for each row. A pair
    weighs what it would if rows were repeated according to their weights: rows of weight
    0 leave no trace.

    Parameters
    ----------
    alpha : float, default=0.2
        Above 0. Small values leave most rows close to one of the two; at 1 all shares are
        equally likely.

    References
    ----------
    Zhang, Cisse, Dauphin, Lopez-Paz (2018), mixup: beyond empirical risk minimization,
    ICLR, arXiv 1710.09412.
    """

    name: ClassVar[str] = "mixup"
    softens: ClassVar[bool] = True
    alpha: float = 0.2

    def __post_init__(self) -> None:
        check_positive("alpha", self.alpha)

    def apply(self, rows: Rows, generator: torch.Generator | None, target: str) -> Rows:
        """Return mixed rows; see `Augmentation.apply`."""
        X, y, weight = rows
        place = _place(X, generator)
        partner = torch.randperm(len(X), generator=generator, device=place).to(X.device)
        # Beta of torch.distributions takes no generator; what it calls does.
        concentration = torch.full((len(X), 2), self.alpha, device=place)
        share = torch._sample_dirichlet(concentration, generator=generator)[:, 0]
        share = share.to(X.device, X.dtype)
        mixed_X = X[partner].lerp(X, share.view(-1, *[1] * (X.ndim - 1)))
        mixed_y = y[partner].lerp(y, share[:, None].to(y.dtype))
        if weight is not None:
            mean = weight.mean().clamp_min(torch.finfo(weight.dtype).tiny)
            weight = weight * (weight[partner] / mean)
        return Rows(mixed_X, mixed_y, weight)


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
        place = _place(X, generator)
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


class _Loss(Protocol):
    """What an augmentation has to know of the loss; `mlfund.losses.Loss` fits."""

    @property
    def name(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def soft_targets(self) -> bool: ...


def transforms_of(
    augmentations: Iterable[Augmentation], loss: _Loss, n_classes: int
) -> list[Transform]:
    """Return the augmentations as functions of a batch and a generator.

    Parameters
    ----------
    augmentations : iterable of Augmentation
        In the order in which they are applied.
    loss : Loss
        The loss in training; says which kind of target the batches have.
    n_classes : int
        Number of classes; unused unless the targets are class codes.

    Returns
    -------
    list of callable
        ``transform(batch, generator) -> batch``. A batch is a pair (X, y) with the
        attributes `weight` and `total`, made by ``type(batch).of(X, y, weight, total)``.

    Raises
    ------
    ValueError
        If an augmentation makes soft targets that the loss does not take.
    """
    listed = list(augmentations)
    of_classes = loss.target in ("binary", "multiclass", "multilabel")
    for one in listed:
        if one.softens and of_classes and not loss.soft_targets:
            raise ValueError(
                f"{one.name} makes probabilities of the targets, which the loss {loss.name!r} "
                "does not take; use loss='log_loss' or 'focal', or leave it out."
            )
    return [_transform(one, loss.target, n_classes) for one in listed]


def _transform(augmentation: Augmentation, target: str, n_classes: int) -> Transform:
    def transform(batch: Any, generator: torch.Generator | None) -> Any:
        X, y = batch
        if augmentation.changes_X and not X.is_floating_point():
            raise ValueError(
                f"{augmentation.name} needs floating-point features, and X is {X.dtype}; "
                "convert X, or leave it out."
            )
        if augmentation.softens and not y.is_floating_point():
            y = F.one_hot(y, n_classes).to(X.dtype if X.is_floating_point() else torch.float32)
        rows = augmentation.apply(Rows(X, y, batch.weight), generator, target)
        return type(batch).of(rows.X, rows.y, rows.weight, batch.total)

    return transform


def get_augmentation(augmentation: str | Augmentation, **options: Any) -> Augmentation:
    """Return the augmentation of that name, or the instance given, with `options` set.

    Parameters
    ----------
    augmentation : str or Augmentation
        A name of `AUGMENTATIONS` or an instance.
    **options : object
        Fields to set, such as ``alpha`` of "mixup".

    Raises
    ------
    ValueError
        If the name or an option is not known, or an option is out of range.

    Examples
    --------
    >>> get_augmentation("mixup", alpha=1.0)
    Mixup(alpha=1.0)
    """
    return resolve("augmentation", augmentation, AUGMENTATIONS, options)


AUGMENTATIONS: dict[str, Augmentation] = {
    "mixup": Mixup(),
    "gaussian_noise": GaussianNoise(),
    "label_smoothing": LabelSmoothing(),
}
