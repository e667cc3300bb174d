"""Losses: what a raw score costs, given the target.

A loss maps raw scores, before any link, to one number a row. Raw scores are always
of shape (n, k): k = 1 for a binary target or a single regression output. The loss
declares the kind of target it takes, its inverse link (raw score to mean or
probabilities) and whether it accepts soft targets; whoever trains relies on the
declarations, and ``tests/laws/test_losses.py`` holds every entry to them.

Examples
--------
>>> import torch
>>> from mlfund.losses import get_loss
>>> loss = get_loss("huber", delta=2.0)
>>> loss.value(torch.tensor([[0.0], [5.0]]), torch.tensor([[1.0], [1.0]]))
tensor([0.5000, 6.0000])
"""

from __future__ import annotations

from typing import Any

from mlfund._entries import publish, resolve
from mlfund.losses._base import Link, Loss, Target
from mlfund.losses._classification import (
    BinaryLogLoss,
    Hinge,
    MultilabelLogLoss,
    MultinomialLogLoss,
)
from mlfund.losses._regression import AbsoluteError, Huber, Poisson, Quantile, SquaredError

__all__ = [
    "LOSSES",
    "AbsoluteError",
    "BinaryLogLoss",
    "Hinge",
    "Huber",
    "Link",
    "Loss",
    "MultilabelLogLoss",
    "MultinomialLogLoss",
    "Poisson",
    "Quantile",
    "SquaredError",
    "Target",
    "get_loss",
]


def get_loss(loss: str | Loss, **options: Any) -> Loss:
    """Return the loss of that name, or the instance given, with `options` set.

    Parameters
    ----------
    loss : str or Loss
        A name of `LOSSES` or an instance.
    **options : object
        Fields of the loss to set, such as ``delta`` of "huber".

    Raises
    ------
    ValueError
        If the name or an option is not known, or an option is out of range.

    Examples
    --------
    >>> get_loss("quantile", quantile=0.9)
    Quantile(quantile=0.9)
    """
    return resolve("loss", loss, LOSSES, options)


LOSSES: dict[str, Loss] = {
    "log_loss_binary": BinaryLogLoss(),
    "log_loss_multinomial": MultinomialLogLoss(),
    "log_loss_multilabel": MultilabelLogLoss(),
    "hinge": Hinge(),
    "squared_error": SquaredError(),
    "absolute_error": AbsoluteError(),
    "huber": Huber(),
    "quantile": Quantile(),
    "poisson": Poisson(),
}

publish(__name__, globals(), __all__)
