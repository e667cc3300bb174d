"""Batch normalisation as part of the convolution before it, for inference."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# Embeddings with folded weights may differ by rounding; a norm that was not applied to what its
# convolution made shows as more than that.
TOLERANCE = 1e-3


def folded(module: nn.Module, example: Tensor) -> nn.Module:
    """Return a copy of a net for inference, batch normalisation folded into convolutions.

    Which norm acts on what a convolution returned is seen in a pass of the example. Where the
    folded net does not return the same, the copy keeps its norms.

    Parameters
    ----------
    module : Module
        It is left as it is.
    example : Tensor
        What it takes: `noise`, since zeros may pass an activation that other images do not.

    Returns
    -------
    net : Module
        Weights of convolutions have channels last in memory.
    """
    net = copy.deepcopy(module).eval().requires_grad_(False)
    with torch.no_grad():
        has_norms = any(type(part) is nn.BatchNorm2d for part in net.modules())
        pairs, expected = _pairs_of(net, example) if has_norms else ([], None)
        for conv_name, norm_name in pairs:
            conv, norm = net.get_submodule(conv_name), net.get_submodule(norm_name)
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            net.set_submodule(conv_name, fuse_conv_bn_eval(conv, norm))
            net.set_submodule(norm_name, nn.Identity())
        if pairs and not _same(net(example), expected):
            net = copy.deepcopy(module).eval().requires_grad_(False)
    for part in net.modules():
        if isinstance(part, nn.Conv2d):
            part.weight.data = part.weight.data.contiguous(memory_format=torch.channels_last)
    return net


def noise(*shape: int) -> Tensor:
    """Return an example, the same one every time, without a draw from torch's random state."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _same(found: Any, expected: Any) -> bool:
    if not isinstance(found, Tensor) or not isinstance(expected, Tensor):
        return False
    return bool((found - expected).abs().max() <= TOLERANCE * expected.abs().max())


def _pairs_of(module: nn.Module, example: Tensor) -> tuple[list[tuple[str, str]], Any]:
    """Return names of convolutions and of the norms that act on their results, and the output."""
    made: list[tuple[str, Any]] = []
    pairs: list[tuple[str, str]] = []
    calls: dict[str, int] = {}

    def watch(name: str, part: nn.Module) -> Any:
        def hook(part: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            calls[name] = calls.get(name, 0) + 1
            if type(part) is nn.BatchNorm2d:
                pairs.extend((conv, name) for conv, result in made if result is inputs[0])
            else:
                # Kept until the pass is over, so that no other tensor takes its identity.
                made.append((name, output))

        return part.register_forward_hook(hook)

    watched = [
        watch(name, part)
        for name, part in module.named_modules()
        if type(part) is nn.BatchNorm2d or isinstance(part, nn.Conv2d)
    ]
    try:
        output = module(example)
    finally:
        for handle in watched:
            handle.remove()
    once = [pair for pair in pairs if all(calls[name] == 1 for name in pair)]
    return once, output
