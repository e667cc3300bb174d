"""Initializers: the weights a layer starts from.

A layer with `fan_in` inputs and `fan_out` outputs keeps the size of its signal when
the variance of its weights is about 1 / fan_in; the rules differ in how they balance
that with the backward pass and with what the activation swallows. What an activation
swallows is its gain: ``1 / sqrt(E f(z)**2)`` for standard normal z, sqrt(2) for "relu".

Examples
--------
>>> import torch
>>> from mlfund.initializers import get_initializer
>>> layer = torch.nn.Linear(100, 50)
>>> generator = torch.Generator().manual_seed(0)
>>> get_initializer("xavier_uniform").init_(layer.weight, layer.bias, generator)
>>> bool(layer.weight.abs().max() <= (6 / 150) ** 0.5)
True
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlfund._entries import publish, resolve
from mlfund.initializers._base import Initializer, fans
from mlfund.initializers._function import FromFunction
from mlfund.initializers._gains import (
    GAINS,
    ActivationLike,
    AnyActivation,
    gain_of,
    gain_of_function,
)
from mlfund.initializers._rules import (
    Dirac,
    GlorotSklearn,
    HeNormal,
    HeUniform,
    Orthogonal,
    SmallRandom,
    XavierNormal,
    XavierUniform,
    Zeros,
)

__all__ = [
    "GAINS",
    "INITIALIZERS",
    "ActivationLike",
    "AnyActivation",
    "Dirac",
    "FromFunction",
    "GlorotSklearn",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "Orthogonal",
    "SmallRandom",
    "XavierNormal",
    "XavierUniform",
    "Zeros",
    "fans",
    "gain_of",
    "gain_of_function",
    "get_initializer",
]


def get_initializer(
    initializer: str | Initializer | Callable[..., object], **options: Any
) -> Initializer:
    """Return the initializer of that name, or the one given, with `options` set.

    Parameters
    ----------
    initializer : str, Initializer or callable
        A name of `INITIALIZERS`, an instance, or a function of your own that fills a
        tensor in place, see `FromFunction`.
    **options : object
        Fields to set, such as ``std`` of "small_random".

    Raises
    ------
    ValueError
        If the name or an option is not known, or an option is out of range.

    Examples
    --------
    >>> import torch
    >>> from mlfund.initializers import get_initializer
    >>> get_initializer("small_random", std=0.1)
    SmallRandom(std=0.1)
    >>> get_initializer(torch.nn.init.trunc_normal_).name
    'function'
    """
    if callable(initializer):
        initializer = FromFunction(initializer)
    return resolve("initializer", initializer, INITIALIZERS, options)


INITIALIZERS: dict[str, Initializer] = {
    "zeros": Zeros(),
    "small_random": SmallRandom(),
    "xavier_uniform": XavierUniform(),
    "xavier_normal": XavierNormal(),
    "he_uniform": HeUniform(),
    "he_normal": HeNormal(),
    "orthogonal": Orthogonal(),
    "glorot_sklearn": GlorotSklearn(),
    "dirac": Dirac(),
}

_ENTRIES = (type(entry) for entry in INITIALIZERS.values())
publish(__name__, globals(), ("Initializer", "FromFunction", *(kind.__name__ for kind in _ENTRIES)))
