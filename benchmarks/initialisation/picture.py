"""Draw the variances that `python -m benchmarks.run initialisation` stored.

``python -m benchmarks.initialisation.picture [RESULT.json] [PICTURE.png]``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "benchmarks" / "results" / "initialisation.json"
PICTURE = ROOT / "docs" / "assets" / "activation_variance.png"
# Okabe and Ito's colours, told apart by colour-blind readers too. Rules of one variance lie on
# one line, so each has a mark through which the others are seen.
RING = {"linestyle": "", "marker": "o", "markersize": 9, "fillstyle": "none"}
STYLES = {
    "he_uniform": {"color": "#0072B2"},
    "he_normal": {"color": "#0072B2", **RING},
    "orthogonal": {"color": "#000000", "linestyle": "", "marker": "x", "markersize": 6},
    "xavier_uniform": {"color": "#D55E00"},
    "xavier_normal": {"color": "#D55E00", **RING},
    "glorot_sklearn": {"color": "#000000", "linestyle": "", "marker": "+", "markersize": 8},
    "small_random": {"color": "#009E73", "linestyle": "--"},
}


def draw(result: dict, path: Path) -> None:
    """Draw a panel for each activation, on one logarithmic scale."""
    figure, panels = plt.subplots(1, 2, figsize=(10, 5.5), sharey=True, layout="constrained")
    for axes, (activation, curves) in zip(panels, result["variance"].items(), strict=True):
        for rule, style in STYLES.items():
            axes.plot(range(1, len(curves[rule]) + 1), curves[rule], label=rule, **style)
        axes.set_yscale("log")
        axes.set_title(activation)
        axes.set_xlabel("hidden layer")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(f"variance of activations, width {result['width']} (log scale)")
    panels[1].legend(loc="lower left", frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    source, target = (given + [RESULT, PICTURE][len(given) :])[:2]
    draw(json.loads(source.read_text())["result"], target)
    print(f"drawn to {target}")
