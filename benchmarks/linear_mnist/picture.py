"""Draw the loss curves that `python -m benchmarks.run linear_mnist` stored.

``python -m benchmarks.linear_mnist.picture [RESULT.json] [PICTURE.png]``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator, ScalarFormatter

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "benchmarks" / "results" / "linear_mnist.json"
PICTURE = ROOT / "docs" / "assets" / "gradient_descent_mnist.png"
# Okabe and Ito's colours, told apart by colour-blind readers too, and line styles for the rest.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--")


def draw(result: dict, path: Path) -> None:
    """Draw optimizers on the left and schedules on the right, on one scale."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 6.5), sharey=True, layout="constrained")
    rates = result["learning_rates"]
    names = {name: f"{name} ({rates[name]:g})" for name in result["optimizers"]}
    _panel(left, result["optimizers"], names, "Optimizers, constant rate (in brackets)")
    title = f"Schedules, Nesterov momentum, rate {rates['nesterov']:g}"
    _panel(right, result["schedules"], {name: name for name in result["schedules"]}, title)
    left.set_ylabel("objective: mean loss + penalty, 60,000 images (log scale)")
    figure.savefig(path, dpi=110)


def _panel(axes, curves: dict, names: dict, title: str) -> None:
    for i, (name, values) in enumerate(sorted(curves.items(), key=lambda item: item[1][-1])):
        axes.plot(
            range(1, len(values)),
            values[1:],
            color=COLOURS[i % len(COLOURS)],
            linestyle=STYLES[i // len(COLOURS)],
            label=f"{values[-1]:.3f}  {names[name]}",
        )
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(ScalarFormatter())
    axes.set_title(title)
    axes.set_xlabel("epochs")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3, which="both")
    axes.legend(
        title="objective after the last epoch, lowest first",
        loc="upper center",
        bbox_to_anchor=(0.5, -0.12),
        ncols=2,
        frameon=False,
        fontsize=9,
    )


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    source, target = (given + [RESULT, PICTURE][len(given) :])[:2]
    draw(json.loads(source.read_text())["result"], target)
    print(f"drawn to {target}")
