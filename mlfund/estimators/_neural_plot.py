"""The picture of a training: losses, scores, learning rate and norms by epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlfund._check import require

TRAIN, VALID = "tab:blue", "tab:orange"
# Epochs up to which single ones are worth a dot.
FEW = 30
# Factor between largest and smallest value from which a logarithmic axis shows more.
WIDE = 20.0


@dataclass(frozen=True)
class Panel:
    """One chart of a training: its title and its lines, columns of the history.

    `falls` says that values may come down by orders of magnitude, and so may its axis.
    """

    title: str
    lines: tuple[tuple[str, str, str], ...]
    falls: bool = False

    def present(self, history: pd.DataFrame) -> list[tuple[str, str, str]]:
        """Return column, label and colour of the lines that a history has."""
        return [line for line in self.lines if line[0] in history]


def panels_of(history: pd.DataFrame, score_name: str) -> list[Panel]:
    """Return the charts that a history has something for."""
    panels = [
        Panel(
            "loss",
            (("train_loss", "training", TRAIN), ("valid_loss", "validation", VALID)),
            falls=True,
        ),
        Panel(score_name, (("valid_score", "validation", VALID),)),
        Panel("learning rate", (("lr", "learning rate", TRAIN),)),
        Panel(
            "norms",
            (("gradient_norm", "gradient", TRAIN), ("update_norm", "update", "tab:green")),
            falls=True,
        ),
    ]
    return [panel for panel in panels if panel.present(history)]


def draw(history: pd.DataFrame, *, score_name: str, kept_epoch: int | None, axes: Any) -> Any:
    """Draw a history, one chart an axis, and return the axes.

    Parameters
    ----------
    history : pandas.DataFrame
        As `history_` of a neural estimator.
    score_name : str
        What the validation score is.
    kept_epoch : int or None
        The epoch whose weights were kept, where it need not be the last.
    axes : array-like of matplotlib axes, or None
        Where to draw; None makes a figure.
    """
    pyplot = require("matplotlib.pyplot", "plot")
    panels = panels_of(history, score_name)
    axes = _figure(pyplot.subplots, len(panels)) if axes is None else np.ravel(axes)
    if len(axes) != len(panels):
        titles = ", ".join(panel.title for panel in panels)
        raise ValueError(f"axes must hold {len(panels)} axes ({titles}); got {len(axes)}.")
    for panel, axis in zip(panels, axes, strict=True):
        _draw_panel(panel, history, kept_epoch, axis)
    return axes


def _figure(subplots: Callable[..., Any], n: int) -> Any:
    rows, columns = (1, n) if n < 4 else (2, 2)
    size = (1.0 + 4.2 * columns, 0.4 + 3.0 * rows)
    _, axes = subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    return axes.ravel()


def _draw_panel(panel: Panel, history: pd.DataFrame, kept_epoch: int | None, axis: Any) -> None:
    ticker = require("matplotlib.ticker", "plot")
    lines = panel.present(history)
    epochs = history["epoch"].to_numpy()
    marker = "o" if len(epochs) <= FEW else None
    # Epochs that diverged have no place on an axis.
    shown = history[[column for column, _, _ in lines]].astype(float)
    shown = shown.where(np.isfinite(shown))
    for column, label, colour in lines:
        axis.plot(
            epochs, shown[column], color=colour, label=label, marker=marker, markersize=3, lw=1.5
        )
    if panel.falls:
        _scale(axis, shown.to_numpy(), ticker)
    if kept_epoch is not None:
        axis.axvline(kept_epoch, color="0.55", lw=1, ls="--", zorder=1, label="weights kept")
    axis.set(title=panel.title, xlabel="epoch")
    axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axis.grid(alpha=0.25, lw=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    if len(lines) > 1:
        axis.legend(frameon=False, fontsize="small")


def _scale(axis: Any, values: np.ndarray, ticker: Any) -> None:
    """Make the axis logarithmic, with readable ticks, where values spread far."""
    known = values[np.isfinite(values)]
    if known.size == 0 or known.min() <= 0 or known.max() <= WIDE * known.min():
        return
    axis.set_yscale("log")
    if known.max() < 300 * known.min():
        axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(ticker.NullFormatter())
