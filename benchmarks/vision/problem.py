"""What is raced: nets, batches and precisions, and images to train them on."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import nn

SIDE = 28
CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Case:
    """One race.

    Attributes
    ----------
    net : str
        A name of `mlfund.nets.architectures`.
    batch_size : int
        Images of a step.
    precision : {"float32", "bf16"}
        Of the products of forward and backward pass.
    n_images : int
        Images of an epoch.
    n_threads : int
        Threads of torch.
    """

    net: str
    batch_size: int
    precision: str
    n_images: int
    n_threads: int

    @property
    def name(self) -> str:
        """Return the case in words."""
        return f"{self.net}, batches of {self.batch_size}, {self.precision}"

    @property
    def autocast(self) -> torch.autocast:
        """Return what forward passes run in."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16")

    def make_net(self) -> nn.Module:
        """Return the net over standardised images, with torch's initial weights."""
        from mlfund.nets.architectures import layers_for
        from mlfund.nets.layers import Dense, build

        shape = (1, SIDE, SIDE)
        return build([*layers_for(self.net, shape), Dense(CLASSES)], shape)


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """Bytes, (n, side, side), and classes, (n,): what they show does not change the speed."""

    X: np.ndarray
    y: np.ndarray

    @property
    def mean(self) -> float:
        """Mean of all pixels."""
        return float(self.X.mean())

    @property
    def std(self) -> float:
        """Standard deviation of all pixels."""
        return float(self.X.std())


def make_images(n: int) -> Images:
    """Draw images whose classes differ in brightness."""
    rng = np.random.default_rng(0)
    y = rng.integers(CLASSES, size=n)
    noise = rng.integers(0, 100, (n, SIDE, SIDE))
    return Images((noise + 15 * y[:, None, None]).astype(np.uint8), y)
