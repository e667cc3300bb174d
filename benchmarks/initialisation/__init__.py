"""He and orthogonal weights keep a signal's size through six layers, small random ones lose it.

Standard normal rows go through tanh and ReLU nets of six hidden layers that are as wide as
the input; the variance of the activations is taken layer by layer, before any training.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks._harness import table
from mlfund.initializers import INITIALIZERS, get_initializer
from mlfund.nets.mlp import MLP

ACTIVATIONS = ("tanh", "relu")
N_LAYERS = 6
# Zeros are for last layers: every activation behind them is zero.
RULES = [name for name in INITIALIZERS if name != "zeros"]


def run(quick: bool = False) -> dict[str, Any]:
    """Return the variance of the activations by activation, rule and layer."""
    width, repeats = (64, 2) if quick else (256, 10)
    curves = {
        activation: {
            rule: np.mean([variances(rule, activation, width, seed) for seed in range(repeats)], 0)
            for rule in RULES
        }
        for activation in ACTIVATIONS
    }
    return {"repeats": repeats, "width": width, "variance": curves}


def variances(rule: str, activation: str, width: int, seed: int) -> np.ndarray:
    """Return the variance of each hidden layer's activations over rows and units."""
    generator = torch.Generator().manual_seed(seed)
    coefs, intercepts = [], []
    for _ in range(N_LAYERS + 1):
        weight, bias = torch.empty(width, width), torch.empty(width)
        get_initializer(rule).init_(weight, bias, generator, activation)
        coefs.append(np.ascontiguousarray(weight.numpy().T))
        intercepts.append(bias.numpy())
    net = MLP(coefs, intercepts, activation=activation)
    X = torch.randn(1000, width, generator=generator)
    with torch.no_grad():
        return np.array([float(hidden.var()) for hidden in net.hidden(X)])


def report(result: dict[str, Any]) -> str:
    """Return a table for each activation."""
    parts = [f"Variance of activations, width {result['width']}, mean of {result['repeats']} seeds"]
    for activation, curves in result["variance"].items():
        rows = [
            {"initializer": rule, **{f"layer {i}": v for i, v in enumerate(curve, 1)}}
            for rule, curve in curves.items()
        ]
        parts.append(f"{activation}\n\n{table(rows)}")
    return "\n\n".join(parts)
