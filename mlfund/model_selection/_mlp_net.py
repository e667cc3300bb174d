"""The nets of both kinds of estimators as layers: MLPs, and modules that are such nets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mlfund.estimators._mlp_base import BaseMLP
from mlfund.estimators._mlp_spec import StepNumbers, dropout_rates
from mlfund.estimators._neural_spec import optimizer_from, split_decay
from mlfund.model_selection._mlp_chain import chain_of
from mlfund.nets.activations import Activation
from mlfund.nets.mlp import MLP


@dataclass(frozen=True, eq=False)
class Net:
    """The layers of a module.

    Attributes
    ----------
    coefs, intercepts : list of ndarray
        Weights (fan_in, fan_out) and biases.
    activation : Activation
        Behind each layer but the last.
    dropout : tuple of float or None
        Rates of a module of one's own.
    generator : torch.Generator or None
        What dropout draws from; None without dropout.
    """

    coefs: list[np.ndarray]
    intercepts: list[np.ndarray]
    activation: Activation
    dropout: tuple[float, ...] | None = None
    generator: torch.Generator | None = None

    @classmethod
    def of(cls, module: Any) -> Net:
        """Return the layers of what an estimator trains.

        Raises
        ------
        NotAChainError
            If a module of one's own is something else.
        """
        if isinstance(module, MLP):
            return cls(
                module.coefs(),
                module.intercepts(),
                module.activation,
                generator=module.generator,
            )
        chain = chain_of(module.module)
        coefs = [_array(layer.weight.t()) for layer in chain.layers]
        intercepts = [_array(layer.bias) for layer in chain.layers]
        generator = None
        if any(chain.dropout):
            # As a fit seeds torch, whose own stream dropout draws from.
            generator = torch.Generator().manual_seed(module.recipe.seed)
        return cls(coefs, intercepts, chain.activation, chain.dropout, generator)


def rates_of(estimator: Any, net: Net) -> tuple[float, ...]:
    """Return the dropout behind each hidden layer."""
    if net.dropout is not None:
        return net.dropout
    return tuple(dropout_rates(estimator.dropout, len(net.coefs) - 1))


def steps_of(estimator: Any) -> StepNumbers:
    """Return what makes the steps of an estimator."""
    if isinstance(estimator, BaseMLP):
        return StepNumbers.of(estimator)
    given = "adam" if estimator.optimizer is None else estimator.optimizer
    entry, decay = split_decay(optimizer_from(estimator, given, ()), estimator.weight_decay)
    return StepNumbers(entry, decay, None)


def layers_of(estimator: Any) -> tuple[Sequence[np.ndarray], Sequence[np.ndarray]]:
    """Return weights and biases of a fitted estimator."""
    if isinstance(estimator, BaseMLP):
        return estimator.coefs_, estimator.intercepts_
    layers = chain_of(estimator.module_).layers
    return [_array(one.weight.t()) for one in layers], [_array(one.bias) for one in layers]


def publish_net(
    estimator: Any,
    module: Any,
    coefs: Sequence[np.ndarray],
    intercepts: Sequence[np.ndarray],
) -> None:
    """Set what a fit sets of its module; one of one's own is written to and copied."""
    if isinstance(estimator, BaseMLP):
        estimator.coefs_, estimator.intercepts_ = list(coefs), list(intercepts)
        estimator.layer_state_ = [{} for _ in coefs[1:]]
        estimator.n_layers_ = len(coefs) + 1
        return
    with torch.no_grad():
        for layer, coef, intercept in zip(
            chain_of(module.module).layers, coefs, intercepts, strict=True
        ):
            layer.weight.copy_(torch.from_numpy(coef).t())
            layer.bias.copy_(torch.from_numpy(intercept))
    estimator._publish_module(module)


def _array(values: torch.Tensor) -> np.ndarray:
    return np.array(values.detach().cpu().numpy(), order="C")
