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

import dataclasses
from collections.abc import Callable
from typing import Any

from torch import Tensor

from mlfund._check import check_choice
from mlfund._entries import Entry, publish, refuse_class, resolve
from mlfund.losses._base import Link, Loss, Target
from mlfund.losses._callable import CallableLoss
from mlfund.losses._classification import (
    BinaryLogLoss,
    Hinge,
    MulticlassHinge,
    MultilabelHinge,
    MultilabelLogLoss,
    MultinomialLogLoss,
)
from mlfund.losses._focal import BinaryFocal, MulticlassFocal, MultilabelFocal
from mlfund.losses._overlap import (
    BinaryDice,
    BinaryJaccard,
    MulticlassDice,
    MulticlassJaccard,
    MultilabelDice,
    MultilabelJaccard,
)
from mlfund.losses._regression import (
    AbsoluteError,
    GaussianNLL,
    Huber,
    Poisson,
    Quantile,
    SquaredError,
)

__all__ = [
    "LOSSES",
    "AbsoluteError",
    "BinaryDice",
    "BinaryFocal",
    "BinaryJaccard",
    "BinaryLogLoss",
    "CallableLoss",
    "GaussianNLL",
    "Hinge",
    "Huber",
    "Link",
    "Loss",
    "MulticlassDice",
    "MulticlassFocal",
    "MulticlassHinge",
    "MulticlassJaccard",
    "MultilabelDice",
    "MultilabelFocal",
    "MultilabelHinge",
    "MultilabelJaccard",
    "MultilabelLogLoss",
    "MultinomialLogLoss",
    "Poisson",
    "Quantile",
    "SquaredError",
    "Target",
    "get_loss",
    "loss_for",
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


def loss_for(
    loss: str | Loss | Callable[[Tensor, Tensor], Tensor], target: Target, **options: Any
) -> Loss:
    """Return the loss for a kind of target, which need not be known when naming the loss.

    Parameters
    ----------
    loss : str, Loss or callable
        A name of `LOSSES`, or that of a family: "log_loss", "focal", "hinge", "dice",
        "jaccard"; an instance; or a function ``(raw, y) -> Tensor of shape (n,)``. A
        member of a family becomes the member for this kind of target, with its options.
    target : {"binary", "multiclass", "multilabel", "real"}
        The kind of target at hand; see `Loss`. Losses for nonnegative targets are for
        real ones too, as far as `Loss.check_target` admits them.
    **options : object
        Fields of the loss to set.

    Raises
    ------
    ValueError
        If the name or an option is not known, or the loss is for other targets.

    Examples
    --------
    >>> loss_for("focal", "multiclass", gamma=1.0)
    MulticlassFocal(gamma=1.0)
    >>> loss_for(BinaryDice(smoothing=0.01), "multilabel")
    MultilabelDice(smoothing=0.01)
    """
    refuse_class("loss", loss)
    if callable(loss):
        return get_loss(CallableLoss(loss, target=target), **options)
    fitting = {_general_name(one): one for one in LOSSES.values() if target in _fits(one)}
    if isinstance(loss, str) and loss not in LOSSES:
        members = {_general_name(one): one for one in LOSSES.values()} | fitting
        loss = members[check_choice("loss", loss, members)]
    entry = get_loss(loss, **options)
    if target in _fits(entry):
        return entry
    sibling = fitting.get(_general_name(entry))
    # A class of the user's own may inherit the family of the entry it departs from.
    is_own = type(entry) is not type(LOSSES.get(entry.name))
    if sibling is None or is_own:
        kin = [entry] if is_own else LOSSES.values()
        name = _general_name(entry)
        kinds = [kind for one in kin if _general_name(one) == name for kind in _fits(one)]
        raise ValueError(
            f"The loss {name!r} is for {' or '.join(kinds)} targets, and these are {target}; "
            f"use one of {', '.join(map(repr, fitting))}."
        )
    return get_loss(sibling, **_changed_options(entry))


def _fits(loss: Loss) -> tuple[Target, ...]:
    """Return the kinds of target a loss is for."""
    return ("real", "nonnegative") if loss.target == "nonnegative" else (loss.target,)


def _general_name(loss: Loss) -> str:
    """Return the name of a loss that says nothing of the kind of target."""
    return loss.family or loss.name


def _changed_options(entry: Entry) -> dict[str, Any]:
    """Return the options of an entry that are not at their defaults."""
    values = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)}
    defaults = {field.name: field.default for field in dataclasses.fields(entry)}
    return {name: value for name, value in values.items() if value != defaults[name]}


LOSSES: dict[str, Loss] = {
    "log_loss_binary": BinaryLogLoss(),
    "log_loss_multinomial": MultinomialLogLoss(),
    "log_loss_multilabel": MultilabelLogLoss(),
    "focal_binary": BinaryFocal(),
    "focal_multiclass": MulticlassFocal(),
    "focal_multilabel": MultilabelFocal(),
    "hinge": Hinge(),
    "hinge_multiclass": MulticlassHinge(),
    "hinge_multilabel": MultilabelHinge(),
    "dice_binary": BinaryDice(),
    "dice_multiclass": MulticlassDice(),
    "dice_multilabel": MultilabelDice(),
    "jaccard_binary": BinaryJaccard(),
    "jaccard_multiclass": MulticlassJaccard(),
    "jaccard_multilabel": MultilabelJaccard(),
    "squared_error": SquaredError(),
    "absolute_error": AbsoluteError(),
    "huber": Huber(),
    "quantile": Quantile(),
    "poisson": Poisson(),
    "gaussian_nll": GaussianNLL(),
}

publish(__name__, globals(), __all__)
