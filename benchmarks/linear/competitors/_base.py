"""What a competitor is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.linear.problems import Problem

# Four steps a decade, loose to tight.
TOLERANCES = tuple(float(f"{10.0**-e:.3g}") for e in np.arange(0.0, 12.01, 0.25))


@dataclass(frozen=True)
class Competitor:
    """A solver that runs until a tolerance.

    Attributes
    ----------
    name : str
        "package solver".
    module : str
        What must be importable.
    fit : callable (Problem, setting) -> weights (k, d)
        A whole fit from float64 input: its checks, conversions and stopping test count.
    applies : callable (Problem) -> bool
        Whether the solver has this objective, and memory for it.
    settings : tuple of float
        From loose to tight: tolerances, or numbers of iterations.
    """

    name: str
    module: str
    fit: Callable[[Problem, float], NDArray]
    applies: Callable[[Problem], bool]
    settings: tuple[float, ...] = TOLERANCES


def binary(problem: Problem) -> bool:
    """Whether there are two classes."""
    return problem.n_classes == 2
