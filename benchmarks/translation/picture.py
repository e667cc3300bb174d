"""Draw the accuracies that `python -m benchmarks.run translation` stored.

``python -m benchmarks.translation.picture [RESULT.json] [PICTURE.png]``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "benchmarks" / "results" / "translation.json"
PICTURE = ROOT / "docs" / "assets" / "translation.png"
COLOURS = {"CNN": "#0072B2", "MLP": "#D55E00"}


def draw(result: dict, path: Path) -> None:
    """Draw shifts on the left and rotations on the right, every seed and their mean."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    _panel(left, result, "shift", result["shifts"])
    _panel(right, result, "rotation", result["degrees"])
    left.set(xlabel="shift of the test digits in pixels", ylabel="accuracy", ylim=(0, 1))
    right.set_xlabel("rotation of the test digits in degrees")
    right.legend(frameon=False, loc="lower left")
    figure.savefig(path, dpi=90)


def _panel(axis, result: dict, kind: str, steps: list) -> None:
    for name, model in result["models"].items():
        scores = np.array(model[kind])
        weights, work = model["n_parameters"] / 1000, model["flop"] / 1e6
        label = f"{name}: {weights:.0f} k weights, {work:.1f} MFLOP an image"
        axis.plot(steps, scores.mean(axis=0), "o-", ms=4, color=COLOURS[name], label=label)
        axis.fill_between(
            steps, scores.min(axis=0), scores.max(axis=0), color=COLOURS[name], alpha=0.2, lw=0
        )
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    source, target = (given + [RESULT, PICTURE][len(given) :])[:2]
    draw(json.loads(source.read_text())["result"], target)
    print(f"drawn to {target}")
