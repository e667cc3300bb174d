"""The page for those who come from skorch names every parameter that skorch has."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import skorch

from mlfund import NeuralClassifier, NeuralRegressor

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "own_modules.md").read_text()
ROWS = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]


TOLD = (
    "loss", "label_smoothing", "class_weight", "learning_rate_init", "max_iter",
    "n_iter_no_change", "validation_split", "scoring", "checkpoint_dir", "clip_norm",
    "clip_value", "schedule",
)  # fmt: skip


@pytest.mark.parametrize("net", [skorch.NeuralNetClassifier, skorch.NeuralNetRegressor])
def test_every_parameter_of_skorch_has_a_row(net):
    skorchs = " ".join(first for first, *_ in ROWS)
    for kind in (skorch.NeuralNet, net):
        for name, p in inspect.signature(kind).parameters.items():
            collects = p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
            assert collects or f"`{name}`" in skorchs, name


@pytest.mark.parametrize("name", TOLD)
def test_what_skorchs_parameters_become_exists(name):
    assert any(f"`{name}`" in row[1] for row in ROWS if len(row) > 1)
    assert name in inspect.signature(NeuralClassifier).parameters
    for_classes = name in ("label_smoothing", "class_weight")
    assert for_classes or name in inspect.signature(NeuralRegressor).parameters
