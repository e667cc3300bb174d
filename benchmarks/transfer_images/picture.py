"""Draw the accuracies that `python -m benchmarks.transfer_images --collect` stored.

``python -m benchmarks.transfer_images.picture [RESULT.json] [PICTURE.png]``
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "benchmarks" / "results" / "transfer_images.json"
PICTURE = ROOT / "docs" / "assets" / "transfer_images.png"
N_CLASSES = 5
# Colours that people of any colour vision tell apart; dashes for what starts from nothing.
STYLES = {
    "feature_extraction": ("#0072B2", "o-"),
    "fine_tune_top": ("#56B4E9", "s-"),
    "linear_probe_then_fine_tune": ("#009E73", "^-"),
    "full": ("#D55E00", "v-"),
    "gradual": ("#CC79A7", "D-"),
    "CNN from scratch": ("#444444", "o--"),
    "MLP": ("#777777", "s--"),
    "XGBoost": ("#AAAAAA", "^--"),
}


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Draw mean accuracy by photographs of a class, and the range of the draws, for each method."""
    figure, axis = plt.subplots(figsize=(8, 4.6), layout="constrained")
    counts: dict[float, str] = {}
    for method, (colour, style) in STYLES.items():
        points = list(_points(result["rows"], method))
        if not points:
            continue
        photographs, labels, accuracies = zip(*points, strict=True)
        counts.update(zip(photographs, labels, strict=True))
        means = [np.mean(some) for some in accuracies]
        axis.plot(photographs, means, style, ms=4, color=colour, label=method.replace("_", " "))
        low, high = ([end(some) for some in accuracies] for end in (min, max))
        axis.fill_between(photographs, low, high, color=colour, alpha=0.12, lw=0)
    axis.set_xscale("log")
    axis.set_xticks(sorted(counts), [counts[count] for count in sorted(counts)])
    axis.minorticks_off()
    axis.set(xlabel="training photographs of each class", ylabel="test accuracy in percent")
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=90)


def _points(rows: list[dict[str, Any]], method: str) -> Iterator[tuple[float, str, list[float]]]:
    """Yield photographs of a class, what the axis calls them, and the accuracies of the draws."""
    of_method = [row for row in rows if row["method"] == method]
    for count in dict.fromkeys(row["per_class"] for row in of_method):
        some = [row for row in of_method if row["per_class"] == count]
        photographs = some[0]["n_train"] / N_CLASSES
        label = str(count) if count != "all" else f"all\n(about {photographs:.0f})"
        yield photographs, label, [100 * row["accuracy"] for row in some]


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    source, target = (given + [RESULT, PICTURE][len(given) :])[:2]
    draw(json.loads(source.read_text(encoding="utf-8"))["result"], target)
    print(f"drawn to {target}")
