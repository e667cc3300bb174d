"""What every initializer is: weights and biases filled in place."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from mlfund._entries import Entry
from mlfund.initializers._gains import AnyActivation


@dataclass(frozen=True)
class Initializer(Entry, ABC):
    """A rule for the first weights and biases of a layer; subclasses say which.

    Attributes
    ----------
    name : str
        The name in `INITIALIZERS`.
    """

    @torch.no_grad()
    def init_(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        generator: torch.Generator | None = None,
        activation: AnyActivation = "relu",
    ) -> None:
        """Fill `weight` and `bias` in place.

        Parameters
        ----------
        weight : Tensor of shape (out, in) or (out, in, *kernel)
            Weights of a linear layer or of a convolution.
        bias : Tensor of shape (out,), optional
            Set to 0, but by "glorot_sklearn".
        generator : torch.Generator, optional
            Source of chance, on the device of `weight`; None uses torch's global one.
        activation : str or Activation, default="relu"
            Activation of the net, by its name in `GAINS` or an entry of
            `mlfund.nets.activations`; "he_*", "orthogonal" and "glorot_sklearn" heed it.

        Raises
        ------
        ValueError
            If `weight` has fewer than two dimensions or the activation is not known.
        """
        if weight.dim() < 2:
            raise ValueError(
                f"Weights must have at least 2 dimensions (out, in); got shape "
                f"{tuple(weight.shape)}. Initialise biases and scales on their own."
            )
        if weight.numel():
            self._fill(weight, generator, activation)
        if bias is not None:
            self._fill_bias(bias, weight, generator, activation)

    @abstractmethod
    def _fill(
        self, weight: Tensor, generator: torch.Generator | None, activation: AnyActivation
    ) -> None:
        """Fill the weights."""

    def _fill_bias(
        self,
        bias: Tensor,
        weight: Tensor,
        generator: torch.Generator | None,
        activation: AnyActivation,
    ) -> None:
        bias.zero_()


def fans(weight: Tensor) -> tuple[int, int]:
    """Return fan_in and fan_out: inputs an output sees, outputs an input reaches.

    Parameters
    ----------
    weight : Tensor of shape (out, in) or (out, in, *kernel)

    Examples
    --------
    >>> fans(torch.empty(8, 3, 5, 5))
    (75, 200)
    """
    kernel = math.prod(weight.shape[2:])
    return weight.shape[1] * kernel, weight.shape[0] * kernel
