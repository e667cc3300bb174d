"""Gains: the factors that restore the size of a signal behind an activation."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import ClassVar, Protocol

import numpy as np

from mlfund._check import check_choice


class ActivationLike(Protocol):
    """What an initializer asks of an activation; entries of `mlfund.nets.activations` have it."""

    name: ClassVar[str]

    @property
    def gain(self) -> float:
        """Factor that restores the size of a standard normal signal."""


AnyActivation = str | ActivationLike


def gain_of_function(function_: Callable[[np.ndarray], object]) -> float:
    """Return ``1 / sqrt(E f(z)**2)`` of a function for standard normal z.

    Parameters
    ----------
    function_ : callable
        Overwrites a float64 array with f of it; f may have a kink at zero.

    Examples
    --------
    >>> round(gain_of_function(lambda z: np.maximum(z, 0, out=z)), 4)
    1.4142
    """
    z, probability = _normal_quadrature()
    z = z.copy()
    function_(z)
    return float(1.0 / math.sqrt(probability @ z**2))


@functools.cache
def _normal_quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Return points and weights of standard normal expectations, exact with a kink at 0."""
    # Gauss-Legendre on either side of zero; 10 standard deviations hold all but 1e-22.
    nodes, weights = np.polynomial.legendre.leggauss(100)
    z = np.concatenate([5.0 * nodes - 5.0, 5.0 * nodes + 5.0])
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return z, 5.0 * np.tile(weights, 2) * density


def gain_of(activation: AnyActivation) -> float:
    """Return the gain of an activation, given by name or as an entry.

    Raises
    ------
    ValueError
        If no activation of `GAINS` has that name.
    """
    if isinstance(activation, str):
        return GAINS[check_choice("activation", activation, GAINS)]
    return activation.gain


# Gains of the activations with their default options; a test holds them against
# `gain_of_function` of each entry in `mlfund.nets.activations`.
GAINS: dict[str, float] = {
    "identity": 1.0,
    "logistic": 1.846228545339,
    "tanh": 1.592537419723,
    "relu": math.sqrt(2.0),
    "leaky_relu": math.sqrt(2.0 / (1.0 + 0.01**2)),
    "prelu": math.sqrt(2.0 / (1.0 + 0.25**2)),
    "elu": 1.245198300701,
    "selu": 1.0,
    "gelu": 1.533530441196,
    "silu": 1.676532470331,
    "mish": 1.486847581273,
}
