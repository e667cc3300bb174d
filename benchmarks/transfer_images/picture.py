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
from matplotlib.axes import Axes

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "benchmarks" / "results" / "transfer_images.json"
PICTURE = ROOT / "docs" / "assets" / "transfer_images.png"
N_CLASSES = 5
FROZEN = "feature_extraction"
# Colours that people of any colour vision tell apart; dashes for what starts from nothing.
STRATEGIES = {
    FROZEN: ("#0072B2", "o-"),
    "fine_tune_top": ("#56B4E9", "s-"),
    "linear_probe_then_fine_tune": ("#009E73", "^-"),
    "full": ("#D55E00", "v-"),
    "gradual": ("#CC79A7", "D-"),
}
FROM_NOTHING = {
    "CNN from scratch": ("#444444", "o--"),
    "MLP": ("#777777", "s--"),
    "XGBoost": ("#AAAAAA", "^--"),
}
Rows = list[dict[str, Any]]


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Draw mean accuracy by photographs of a class, and the range of the draws, for each method.

    Strategies have a panel of their own with what they have in common, as some of them are
    measured on fewer draws: means over others would compare draws.
    """
    rows = result["rows"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
    _panel(left, rows, {FROZEN: STRATEGIES[FROZEN], **FROM_NOTHING})
    left.set(title="all draws, and their range", ylabel="test accuracy in percent", ylim=(0, 100))
    _panel(right, _common(rows), STRATEGIES)
    right.set(title="strategies, on draws that all of them have")
    figure.savefig(path, dpi=90)


def _panel(axis: Axes, rows: Rows, styles: Mapping[str, tuple[str, str]]) -> None:
    counts: dict[float, str] = {}
    for method, (colour, style) in styles.items():
        points = list(_points(rows, method))
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
    axis.set_xlabel("training photographs of each class")
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, loc="lower right")


def _common(rows: Rows) -> Rows:
    """Return the rows of strategies that were measured on draws that all of them have."""
    of_strategies = [row for row in rows if row["method"] in STRATEGIES]
    by_count: dict[Any, dict[str, set[int]]] = {}
    for row in of_strategies:
        draws = by_count.setdefault(row["per_class"], {})
        draws.setdefault(row["method"], set()).add(row["draw"])
    shared = {count: set.intersection(*draws.values()) for count, draws in by_count.items()}
    return [row for row in of_strategies if row["draw"] in shared[row["per_class"]]]


def _points(rows: Rows, method: str) -> Iterator[tuple[float, str, list[float]]]:
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
