"""A layer that is a torch module of the user's own."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mlfund._check import preserved_torch_state
from mlfund.nets.layers._base import Layer, Shape

_PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True, repr=False)
class FromTorch(Layer):
    """A torch module as a layer: what it makes of one image says the shape of its output.

    Parameters
    ----------
    net : torch.nn.Module
        Called with standardised images (n, channels, height, width), or with what the layer
        before it gives; returns features (n, units) or (n, channels, height, width). It is
        copied, and trained from the weights it has.

    Examples
    --------
    >>> from torch import nn
    >>> from mlfund.nets.layers import FromTorch
    >>> FromTorch(nn.Conv2d(1, 4, 3)).output((1, 8, 8))
    (4, 6, 6)
    """

    has_window: ClassVar[bool] = False
    net: nn.Module

    def __post_init__(self) -> None:
        if not isinstance(self.net, nn.Module):
            raise ValueError(
                f"FromTorch takes an instance of torch.nn.Module; got {self.net!r}."
                + (" Call the class first." if isinstance(self.net, type) else "")
            )

    def output(self, shape: Shape) -> Shape:
        """Return the shape of the output; see `Layer`."""
        return tuple(self._tried(self._copied(), shape).shape[1:])

    def module(self, shape: Shape) -> nn.Module:
        """Return a copy of the module; layers that were lazy have their sizes."""
        copied = self._copied()
        self._tried(copied, shape)
        return copied

    def multiply_adds(self, shape: Shape) -> int:
        """Return the multiplications of one image, those of products only."""
        with FlopCounterMode(display=False) as counter:
            self._tried(self._copied(), shape)
        # It counts the additions, too.
        return int(counter.get_total_flops()) // 2

    def _copied(self) -> nn.Module:
        copied = copy.deepcopy(self.net)
        # Images run over the channels of a pixel first, which `view` in a forward refuses.
        of_torch = type(copied).__module__.startswith("torch.nn.")
        return copied if of_torch else _Contiguous(copied)

    def _tried(self, module: nn.Module, shape: Shape) -> Tensor:
        """Return what a module makes of one row of zeros; it is left in training mode."""
        dtype = next((p.dtype for p in self.net.parameters() if p.is_floating_point()), None)
        device = next((p.device for p in self.net.parameters()), torch.device("cpu"))
        try:
            # Where others want shapes only, on the meta device, it runs where it is.
            with preserved_torch_state(), torch.no_grad(), device:
                found = module.eval()(torch.zeros(1, *shape, dtype=dtype))
        except Exception as error:
            raise ValueError(
                f"{self} failed on one row of shape {(1, *shape)}: {error}. It is given images (n, "
                "channels, height, width), or what the layer before it returns."
            ) from error
        module.train()
        good = isinstance(found, Tensor) and found.is_floating_point() and found.ndim in (2, 4)
        if not good or len(found) != 1:
            got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found)
            raise ValueError(
                f"{self} returned {got} for one row of shape {(1, *shape)}; it must return one "
                "floating-point tensor of features, (n, units) or (n, channels, height, width)."
            )
        return found

    def __str__(self) -> str:
        """Return the class of the module, which may be too long to show."""
        return f"{type(self).__name__}({type(self.net).__name__})"

    __repr__ = __str__


class _Contiguous(nn.Module):
    """A module that sees its input with the pixels of a channel side by side."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, X: Tensor) -> Tensor:
        """Return what the module returns."""
        found: Tensor = self.net(X.contiguous())
        return found


def own_layers(given: nn.Module | Sequence[Any]) -> list[Any]:
    """Return layers, with torch modules among them, or one in their place, as `FromTorch`.

    A plain `torch.nn.Sequential` that is given by itself becomes its parts, unless these share
    weights.
    """
    if isinstance(given, nn.Module):
        shares = len(list(given.named_parameters(remove_duplicate=False))) > len(
            list(given.parameters())
        )
        given = [given] if shares or type(given) is not nn.Sequential else list(given)
    return [FromTorch(one) if isinstance(one, nn.Module) else one for one in given]


def contents(layers: Sequence[Layer]) -> tuple[Any, ...]:
    """Return what says which layers these are, as `mlfund._files.fingerprint` takes it.

    Of a torch module these are the classes of its parts and their plain attributes, without
    weights.
    """
    return tuple(
        [(type(part), _plain(part)) for part in layer.net.modules()]
        if isinstance(layer, FromTorch)
        else layer
        for layer in layers
    )


def _plain(module: nn.Module) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(module).items()
        if name != "training" and all(isinstance(one, _PLAIN) for one in _listed(value))
    }


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, tuple | list) else [value]
