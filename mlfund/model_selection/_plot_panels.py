"""The charts of a search: a curve by one parameter, cells or points by two."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlfund._check import require

TRAIN, TEST, OTHERS, BEST = "tab:blue", "tab:orange", "0.65", "crimson"
COLOURS = "viridis"
# Factor between largest and smallest value from which an axis is logarithmic.
WIDE = 10.0
# Values that a category axis can name, and letters of one.
MAX_NAMES, MAX_LETTERS = 24, 18
# Cells that have room for their numbers.
MAX_NUMBERED = 70
# Values that a logarithmic axis can name, in place of powers of ten.
FEW = 8


def draw_profile(axis: Any, parameter: Any, scores: Any, n_others: int, *, connected: bool) -> None:
    """Draw the scores by one parameter: of the best candidate at each of its values.

    Parameters
    ----------
    axis : matplotlib axes
    parameter : Parameter
    scores : Scores
    n_others : int
        Parameters that vary too.
    connected : bool
        Whether values come again and again, so that the best at each is a curve; else each
        candidate is a point.
    """
    places = _places(axis, "x", parameter)
    x = np.where(parameter.level_of >= 0, places[parameter.level_of], np.nan)
    means = _mean(scores.test)
    top = _best_of_levels(parameter, means) if connected else np.flatnonzero(np.isfinite(x))
    rest = np.setdiff1d(np.flatnonzero(np.isfinite(x)), top)
    if len(rest):
        axis.plot(x[rest], means[rest], "o", ms=3, color=OTHERS, label="other candidates")
    for values, colour, label in (
        (scores.train, TRAIN, "training rows"),
        (scores.test, TEST, "held-out rows"),
    ):
        if values is None:
            continue
        middle, spread = _mean(values)[top], _std(values)[top]
        if connected and parameter.numeric:
            axis.plot(x[top], middle, "o-", ms=4, lw=1.5, color=colour, label=label)
            band = {"color": colour, "alpha": 0.2, "linewidth": 0}
            axis.fill_between(x[top], middle - spread, middle + spread, **band)
        else:
            bars = {"fmt": "o", "ms": 4, "capsize": 2, "ecolor": (colour, 0.4), "elinewidth": 1}
            axis.errorbar(x[top], middle, spread, color=colour, label=label, **bars)
    if scores.best is not None:
        _mark_best(axis, x[scores.best], means[scores.best])
    axis.set(xlabel=parameter.label, ylabel=scores.label)
    axis.set_title(_title(scores.test.shape[1], n_others, connected), fontsize="medium")
    axis.grid(alpha=0.25, lw=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize="small")


def draw_cells(
    axis: Any, x: Any, y: Any, label: str, values: NDArray[Any], best: int | None, rows: str
) -> None:
    """Draw a heat map of two parameters, with mean and spread in each cell.

    Parameters
    ----------
    axis : matplotlib axes
    x, y : Parameter
    label : str
        What is scored.
    values : ndarray of shape (n_candidates, n_splits)
    best : int or None
        The best candidate, to be framed.
    rows : str
        Which rows were scored.
    """
    cells = np.full((2, len(y.levels), len(x.levels)), np.nan)
    means, spreads = _mean(values), _std(values)
    # The best of equal candidates stays: it comes last.
    order = np.argsort(np.nan_to_num(means, nan=-np.inf), kind="stable")
    cells[:, y.level_of[order], x.level_of[order]] = means[order], spreads[order]
    image = axis.imshow(np.ma.masked_invalid(cells[0]), aspect="auto", origin="lower", cmap=COLOURS)
    axis.set_facecolor("0.9")
    for name, parameter in (("x", x), ("y", y)):
        _name_levels(axis, name, parameter)
    numbered = cells[0].size <= MAX_NUMBERED
    if numbered:
        _write_numbers(axis, image, cells)
    if best is not None:
        patches = require("matplotlib.patches", "plot")
        corner = (x.level_of[best] - 0.5, y.level_of[best] - 0.5)
        axis.add_patch(patches.Rectangle(corner, 1, 1, fill=False, ec=BEST, lw=2.5))
    what = "mean ± standard deviation" if numbered else "mean"
    _finish(axis, image, x, y, label, f"{rows}, {what} over {values.shape[1]} splits")


def draw_points(
    axis: Any, x: Any, y: Any, label: str, values: NDArray[Any], best: int | None, rows: str
) -> None:
    """Draw each candidate as a point of two parameters, coloured by its mean score.

    Parameters are those of `draw_cells`.
    """
    at_x = _places(axis, "x", x)[x.level_of]
    at_y = _places(axis, "y", y)[y.level_of]
    means = _mean(values)
    # Bad ones first, so that good ones are not covered.
    order = np.argsort(np.nan_to_num(means, nan=-np.inf))
    options = {"c": means[order], "cmap": COLOURS, "s": 45, "edgecolors": "0.3", "linewidths": 0.4}
    image = axis.scatter(at_x[order], at_y[order], plotnonfinite=False, **options)
    if best is not None:
        _mark_best(axis, at_x[best], at_y[best])
        axis.legend(frameon=False, fontsize="small")
    axis.grid(alpha=0.25, lw=0.6)
    _finish(axis, image, x, y, label, f"{rows}, mean over {values.shape[1]} splits")


def _finish(axis: Any, image: Any, x: Any, y: Any, label: str, title: str) -> None:
    axis.figure.colorbar(image, ax=axis, label=label)
    axis.set(xlabel=x.label, ylabel=y.label)
    axis.set_title(title, fontsize="medium")


def _title(n_splits: int, n_others: int, connected: bool) -> str:
    spread = f"mean and standard deviation over {n_splits} splits"
    if not n_others:
        return spread
    others = "the other parameter" if n_others == 1 else f"the {n_others} other parameters"
    return f"best over {others}" if connected else f"each candidate, whatever {others}"


def _mark_best(axis: Any, x: float, y: float) -> None:
    star = {"ms": 13, "color": BEST, "mec": "white", "mew": 0.8, "zorder": 5}
    axis.plot([x], [y], "*", label="best", ls="none", **star)


def _best_of_levels(parameter: Any, means: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the best candidate at each value, leaving out values where all failed."""
    tops = []
    for level in range(len(parameter.levels)):
        members = np.flatnonzero((parameter.level_of == level) & np.isfinite(means))
        if len(members):
            tops.append(members[np.argmax(means[members])])
    return np.array(tops, dtype=np.intp)


def _places(axis: Any, name: str, parameter: Any) -> NDArray[np.float64]:
    """Return where the values lie on an axis, and make it fit for them."""
    if not parameter.numeric:
        _name_levels(axis, name, parameter)
        axis.margins(**{name: 0.5 / max(len(parameter.levels), 2)})
        return np.arange(len(parameter.levels), dtype=float)
    places = np.array(parameter.levels, dtype=float)
    ticker = require("matplotlib.ticker", "plot")
    ticks = getattr(axis, f"{name}axis")
    if places.min() > 0 and places.max() >= WIDE * places.min():
        getattr(axis, f"set_{name}scale")("log")
        if len(places) <= FEW:
            ticks.set_major_locator(ticker.FixedLocator(places))
            ticks.set_major_formatter("{x:.3g}")
            ticks.set_minor_locator(ticker.NullLocator())
    elif all(place.is_integer() for place in places.tolist()):
        ticks.set_major_locator(ticker.MaxNLocator(integer=True))
    return places


def _name_levels(axis: Any, name: str, parameter: Any) -> None:
    names = [_short(level) for level in parameter.levels]
    step = -(-len(names) // MAX_NAMES)
    ticks = range(0, len(names), step)
    tilted = name == "x" and sum(map(len, names[::step])) > 40
    turn = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if tilted else {}
    getattr(axis, f"set_{name}ticks")(ticks, [names[tick] for tick in ticks], **turn)


def _short(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.3g}"
    text = value if isinstance(value, str) else getattr(value, "__name__", None) or repr(value)
    text = " ".join(text.split())
    return text if len(text) <= MAX_LETTERS else text[: MAX_LETTERS - 1] + "…"


def _write_numbers(axis: Any, image: Any, cells: NDArray[np.float64]) -> None:
    means, spreads = cells
    known = means[np.isfinite(means)]
    if not len(known):
        return
    scale = max(float(np.ptp(known)), 1e-12)
    digits = int(np.clip(2 - np.floor(np.log10(scale)), 0, 6))
    size = "small" if means.size <= 30 else "x-small"
    for (row, column), mean in np.ndenumerate(means):
        if np.isfinite(mean):
            text = f"{mean:.{digits}f}\n±{spreads[row, column]:.{digits}f}"
            red, green, blue, _ = image.cmap(image.norm(mean))
            # Luminance of ITU-R BT.601.
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            colour = "white" if dark else "black"
            axis.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values.mean(axis=1)


def _std(values: NDArray[np.float64]) -> NDArray[np.float64]:
    # infinite scores have no spread
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return values.std(axis=1)
