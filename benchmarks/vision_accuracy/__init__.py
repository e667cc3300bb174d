"""Claim: the presets of CNNClassifier reach published accuracies within minutes on two cores.

Seconds of `fit` and accuracy on the 10,000 test images of MNIST, Fashion-MNIST and CIFAR-10, the
median of three seeds; every seed is reported. Nothing was chosen on the test images. Of `fit` all
is counted: reading, standardising, whatever the first steps set up. The images of CIFAR-10 are
JPEG copies, which lost detail: nets that score 92 to 94 percent on the originals score 81 to 85 on
them, so that a figure compares only with figures on the same copies.
``python -m benchmarks.vision_accuracy --preset default --data mnist --seeds 1`` fits less.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks._harness import Unavailable, shared_data, table
from benchmarks.self_supervised.images import load as load_photographs

PRESETS = ("fast", "default", "accurate", "best")
DATA = ("mnist", "fashion_mnist", "cifar10")
SEEDS = (0, 1, 2)
QUICK_ROWS = 400


def load(name: str) -> dict[str, np.ndarray]:
    """Return x_train, y_train, x_test and y_test, the images as bytes (n, height, width[, 3])."""
    if name == "cifar10":
        found = load_photographs(name)
        return {
            "x_train": found.X,
            "y_train": found.y,
            "x_test": found.X_test,
            "y_test": found.y_test,
        }
    path = shared_data() / "images" / f"{name}.npz"
    if not path.is_file():
        raise Unavailable(f"no {path.name} among the benchmark data")
    with np.load(path) as file:
        return {part: file[part] for part in ("x_train", "y_train", "x_test", "y_test")}


def run(
    quick: bool = False,
    presets: Sequence[str] = PRESETS,
    data: Sequence[str] = DATA,
    seeds: Sequence[int] = SEEDS,
) -> dict[str, Any]:
    """Fit every preset with every seed (one epoch on 400 images and one seed when quick)."""
    if quick:
        seeds, data = seeds[:1], data[:1]
    rows = []
    for name in data:
        parts = load(name)
        if quick:
            parts = {part: array[:QUICK_ROWS] for part, array in parts.items()}
        for preset in presets:
            fits = [fit_once(preset, seed, parts, quick=quick) for seed in seeds]
            rows.append({"data": name, "preset": preset, "fits": fits})
    return {"repeats": len(seeds), "rows": rows}


def fit_once(
    preset: str, seed: int, parts: dict[str, np.ndarray], *, quick: bool = False
) -> dict[str, Any]:
    """Fit once; return accuracy on the test images, seconds, and what the preset stood for."""
    from mlfund import CNNClassifier

    options = {"max_iter": 1} if quick else {}
    net = CNNClassifier(preset=preset, random_state=seed, **options)
    start = perf_counter()
    net.fit(parts["x_train"], parts["y_train"].ravel())
    seconds = perf_counter() - start
    return {
        "seed": seed,
        "accuracy": net.score(parts["x_test"], parts["y_test"].ravel()),
        "seconds": seconds,
        "epochs": net.n_iter_,
        "settings": {key: str(value) for key, value in net.settings_.items()},
    }


def report(result: dict[str, Any]) -> str:
    """Format one line a preset and data set."""
    rows = []
    for row in result["rows"]:
        fits = row["fits"]
        rows.append(
            {
                "data": row["data"],
                "preset": row["preset"],
                "epochs": fits[0]["epochs"],
                "median_seconds": statistics.median(fit["seconds"] for fit in fits),
                "median_accuracy": 100 * statistics.median(fit["accuracy"] for fit in fits),
                **{f"seed {fit['seed']}": f"{100 * fit['accuracy']:.2f}" for fit in fits},
            }
        )
    return "Accuracies on the test images in percent, seconds of `fit`.\n\n" + table(rows)
