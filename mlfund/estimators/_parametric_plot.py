"""The picture of a parametric fit: data, curve, confidence band, loss curve."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlfund._check import require

_POINTS = 300
_MANY = 500


def draw(model: Any, X: np.ndarray, y: np.ndarray, level: float, axes: Any) -> Any:
    """Draw data and fit on the first axis and the loss curve on the second."""
    pyplot = require("matplotlib.pyplot", "plot")
    if axes is None:
        _, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained", width_ratios=(3, 2))
    fit_axis, loss_axis = axes
    if X.shape[1] == 1:
        _draw_curve(model, X, y, level, fit_axis)
    else:
        _draw_agreement(model, X, y, fit_axis)
    _draw_loss(model, loss_axis)
    return axes


def _draw_curve(model: Any, X: np.ndarray, y: np.ndarray, level: float, axis: Any) -> None:
    grid = np.linspace(X.min(), X.max(), _POINTS)[:, None]
    axis.plot(X[:, 0], y, "o", **_dots(len(y)), color="0.35", label="data", zorder=1)
    axis.plot(grid, model._curve(grid), color="tab:blue", label="fit", zorder=3)
    for of, shade, label in (("mean", 0.4, "of the curve"), ("observation", 0.13, "of new rows")):
        low, high = model._limits(grid, level, of)
        if np.isfinite(low).all():
            axis.fill_between(
                grid[:, 0],
                low,
                high,
                color="tab:blue",
                alpha=shade,
                linewidth=0,
                label=f"{100 * level:g} % band {label}",
            )
    names = getattr(model, "feature_names_in_", ["x"])
    axis.set(xlabel=str(names[0]), ylabel="y", title=model._function_name)
    axis.legend(frameon=False)


def _draw_agreement(model: Any, X: np.ndarray, y: np.ndarray, axis: Any) -> None:
    predicted = model._curve(X)
    ends = [min(y.min(), predicted.min()), max(y.max(), predicted.max())]
    axis.plot(ends, ends, color="0.6", linewidth=1)
    axis.plot(predicted, y, "o", **_dots(len(y)), color="tab:blue")
    axis.set(xlabel="predicted", ylabel="observed", title=model._function_name)


def _dots(n: int) -> dict[str, Any]:
    """Return the style of n points: many are small and let the curve through."""
    if n <= _MANY:
        return {"markersize": 4}
    return {"markersize": 2, "alpha": max(0.05, (_MANY / n) ** 0.5), "markeredgewidth": 0}


def _draw_loss(model: Any, axis: Any) -> None:
    curve = np.asarray(model.loss_curve_, dtype=float)
    few = len(curve) <= 50
    axis.plot(curve, marker="o" if few else None, markersize=3, color="tab:orange")
    if (curve > 0).all():
        axis.set_yscale("log")
    axis.set(xlabel="iteration", ylabel=model._loss_name, title=model.solver_)
