"""The two configurations of `MLPClassifier`, and what is claimed of each."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from mlfund import MLPClassifier


@dataclass(frozen=True)
class Setting:
    """Parameters of `MLPClassifier`; the least test accuracy and the most seconds claimed.

    `most_seconds` is of one `fit` on two cores. None claims nothing.
    """

    name: str
    parameters: dict[str, Any]
    least_accuracy: float | None = None
    most_seconds: float | None = None

    def build(self, seed: int) -> MLPClassifier:
        """Return the unfitted estimator."""
        return MLPClassifier(**self.parameters, n_iter_no_change=math.inf, random_state=seed)

    def shortened(self, epochs: int) -> Setting:
        """Return the setting with so few epochs."""
        return replace(self, parameters={**self.parameters, "max_iter": epochs})


SMALL = Setting(
    "784-128-10",
    {
        "hidden_layer_sizes": (128,),
        "batch_size": 128,
        "max_iter": 20,
        "optimizer": "adamw",
        "learning_rate_init": 0.004,
        "weight_decay": 0.05,
        "schedule": "one_cycle",
        "alpha": 0.0,
        "input_noise": 0.15,
    },
    least_accuracy=0.98,
)
LARGE = Setting(
    "784-1024-1024-10",
    {
        "hidden_layer_sizes": (1024, 1024),
        "batch_size": 256,
        "max_iter": 24,
        "optimizer": "adamw",
        "learning_rate_init": 0.003,
        "weight_decay": 0.1,
        "schedule": "one_cycle",
        "alpha": 0.0,
        "normalization": "batch",
        "mixup": 0.5,
        "label_smoothing": 0.05,
        "input_noise": 0.2,
    },
    least_accuracy=0.988,
    most_seconds=180.0,
)
SETTINGS = [SMALL, LARGE]
