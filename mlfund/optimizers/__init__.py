"""Optimizers: how a gradient becomes a step.

Each entry builds the torch optimizer of that name, in the implementation that is
fastest for the device, from scikit-learn's parameter names (``momentum``, ``beta_1``,
``beta_2``, ``epsilon``). Lion and Muon, which torch does not have or has for matrices
only, are built in; any other class of torch optimizers is a `TorchOptimizer`.

Examples
--------
>>> import torch
>>> from mlfund.optimizers import get_optimizer
>>> w = torch.nn.Parameter(torch.zeros(3))
>>> optimizer = get_optimizer("adam", beta_1=0.8).build([w], learning_rate=0.01)
>>> optimizer.param_groups[0]["betas"]
(0.8, 0.999)
"""

from __future__ import annotations

from typing import Any

import torch

from mlfund._entries import publish, resolve
from mlfund.optimizers._base import Optimizer, learning_rate_of, set_learning_rate
from mlfund.optimizers._classic import SGD, Adagrad, Adam, AdamW, Momentum, Nesterov, RMSProp
from mlfund.optimizers._lion import Lion
from mlfund.optimizers._muon import Muon
from mlfund.optimizers._torch import TorchOptimizer

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Lion",
    "Momentum",
    "Muon",
    "Nesterov",
    "Optimizer",
    "RMSProp",
    "TorchOptimizer",
    "get_optimizer",
    "learning_rate_of",
    "set_learning_rate",
]


def get_optimizer(
    optimizer: str | Optimizer | type[torch.optim.Optimizer], **options: Any
) -> Optimizer:
    """Return the optimizer of that name, or the instance given, with `options` set.

    Parameters
    ----------
    optimizer : str, Optimizer or type
        A name of `OPTIMIZERS`, an instance, or a subclass of torch.optim.Optimizer.
    **options : object
        Fields to set, such as ``momentum`` or ``beta_1``; for a class of torch its own.

    Raises
    ------
    ValueError
        If the name or an option is not known, or an option is out of range.

    Examples
    --------
    >>> get_optimizer("momentum", momentum=0.8)
    Momentum(weight_decay=0.0, momentum=0.8)
    """
    if isinstance(optimizer, Optimizer):
        return optimizer.with_options(**options)
    if isinstance(optimizer, type) and issubclass(optimizer, torch.optim.Optimizer):
        return TorchOptimizer(optimizer, **options)
    return resolve("optimizer", optimizer, OPTIMIZERS, options)


OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": SGD(),
    "momentum": Momentum(),
    "nesterov": Nesterov(),
    "adagrad": Adagrad(),
    "rmsprop": RMSProp(),
    "adam": Adam(),
    "adamw": AdamW(),
    "lion": Lion(),
    "muon": Muon(),
}

publish(__name__, globals(), __all__)
