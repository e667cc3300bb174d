"""Low-rank adapters: a few trained weights beside the frozen ones of a text encoder."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from torch import nn

from mlfund._check import check_positive, require
from mlfund.backbones._text_encoder import TransformerEncoder

EXTRA = "lora"


def with_lora(
    encoder: TransformerEncoder,
    *,
    rank: int = 8,
    alpha: float | None = None,
    dropout: float = 0.0,
    seed: int = 0,
) -> TransformerEncoder:
    """Put adapters beside all linear layers of a transformer's stack, and freeze the rest.

    A layer ``W x + b`` becomes ``W x + b + (alpha / rank) B A x`` with `rank` rows in `A` and
    columns in `B`; `B` starts at 0, so that embeddings are unchanged at first.

    Parameters
    ----------
    encoder : TransformerEncoder
        A fresh one, as `BackboneSource.load` returns it; it is changed.
    rank : int, default=8
        The smaller side of the two trained matrices.
    alpha : float or None, default=None
        Scale of what is added; None is twice the rank.
    dropout : float, default=0.0
        Share of the inputs of the adapters that is dropped in training.
    seed : int, default=0
        Of the random matrices `A`.

    Returns
    -------
    encoder : TransformerEncoder
        The same object. Its groups are the same too; of their parameters only those of adapters
        require a gradient.

    Raises
    ------
    ImportError
        If peft is not installed.
    ValueError
        If the rank is not positive, or the model has no stack of layers with linear ones.

    References
    ----------
    E. Hu et al. (2022). LoRA: Low-Rank Adaptation of Large Language Models. ICLR.
    https://arxiv.org/abs/2106.09685

    Examples
    --------
    >>> from mlfund.backbones import get_backbone
    >>> from mlfund.backbones._lora import with_lora
    >>> encoder = with_lora(get_backbone("all-MiniLM-L6-v2").load(), rank=4)
    >>> sum(p.numel() for p in encoder.parameters() if p.requires_grad)
    165888
    """
    check_positive("rank", rank, integer=True)
    peft = require("peft", EXTRA)
    targets = _targets(encoder)
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=2 * rank if alpha is None else alpha,
        lora_dropout=dropout,
        target_modules=targets,
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(config, encoder.body)
    encoder.after.requires_grad_(False)
    return encoder


def merged_lora(net: nn.Module) -> nn.Module:
    """Return a net whose adapters are added to the weights beside them, where they cost nothing.

    Parameters
    ----------
    net : Module
        A net with adapters, as of `with_lora`; it is left as it is.

    Returns
    -------
    merged : Module
        For predictions. It has plain linear layers in place of those with adapters, and shares
        all other weights with `net`.
    """
    shared: dict[int, Any] = {id(t): t for t in chain(net.parameters(), net.buffers())}
    for module in net.modules():
        if isinstance(module, TransformerEncoder):
            shared[id(module.tokenizer)] = module.tokenizer
    return copy.deepcopy(net, shared | {id(layer): _merged(layer) for layer in _adapted(net)})


@torch.no_grad()
def _merged(layer: Any) -> nn.Module:
    """Return a layer with adapters as the linear layer that it amounts to."""
    base = layer.get_base_layer()
    weight = base.weight
    for name in layer.active_adapters:
        weight = weight + layer.get_delta_weight(name)
    same = {id(base.weight): nn.Parameter(weight, requires_grad=False), id(base.bias): base.bias}
    merged: nn.Module = copy.deepcopy(base, same)
    return merged


def _targets(encoder: TransformerEncoder) -> list[str]:
    """Return the names of linear layers in the groups of layers, first and last ones apart."""
    grouped = {module for group in encoder.layers() for module in group.modules()}
    found = [
        name
        for name, module in encoder.body.named_modules()
        if isinstance(module, nn.Linear) and module in grouped
    ]
    if not found:
        raise ValueError(
            f"A {type(encoder.body).__name__} has no linear layers for adapters to stand beside; "
            "use strategy='fine_tune_top' or 'full'."
        )
    return found


def _adapted(net: nn.Module) -> Iterator[Any]:
    """Yield layers that have adapters."""
    lora: Any = require("peft.tuners.lora", EXTRA)
    for module in net.modules():
        if isinstance(module, lora.LoraLayer):
            yield module
