"""What every augmentation is, and how the engine calls it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from mlfund._entries import Entry

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
    number : Tensor of shape (n,) or None
        Which of the training rows they are, int64, where that is known.
    epoch : int
        Epochs that ended before.
    """

    X: Tensor
    y: Tensor
    weight: Tensor | None = None
    number: Tensor | None = None
    epoch: int = 0


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
    of_images : bool
        Whether rows must be images, (n, channels, height, width).
    """

    softens: ClassVar[bool] = False
    changes_X: ClassVar[bool] = True
    of_images: ClassVar[bool] = False

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


def place_of(X: Tensor, generator: torch.Generator | None) -> torch.device:
    """Return the device on which random numbers are drawn."""
    return X.device if generator is None else generator.device


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
        attributes `weight`, `total`, `number` and `epoch`, made by
        ``type(batch).of(X, y, weight, total, number, epoch)``.

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
        given = Rows(X, y, batch.weight, batch.number, batch.epoch)
        rows = augmentation.apply(given, generator, target)
        return type(batch).of(rows.X, rows.y, rows.weight, batch.total, batch.number, batch.epoch)

    return transform
