"""Pictures of a diagnosis: range test, learning curves, layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlfund._check import require


def draw(diagnosis: Any) -> Any:
    """Return a figure with the panels for which there is something to show."""
    pyplot = require("matplotlib.pyplot", "plot")
    panels = [panel for panel in (_rates, _curves, _signals, _layers) if panel(diagnosis, None)]
    if not panels:
        raise ValueError("The diagnosis ended before there was anything to draw; print it.")
    rows = (len(panels) + 1) // 2
    figure, axes = pyplot.subplots(
        rows, min(2, len(panels)), figsize=(11, 3.8 * rows), layout="constrained", squeeze=False
    )
    for axis, panel in zip(axes.ravel(), panels, strict=False):
        panel(diagnosis, axis)
    for axis in axes.ravel()[len(panels) :]:
        axis.set_visible(False)
    figure.suptitle(diagnosis.verdict, fontsize=10, wrap=True)
    return figure


def _rates(diagnosis: Any, axis: Any) -> bool:
    test = diagnosis.learning_rate
    if test is None or not len(test.losses):
        return False
    if axis is not None:
        test.plot(axis)
        outcome = diagnosis._outcome
        if outcome is not None:
            own = outcome.trained.estimator.learning_rate_init
            axis.axvline(own, color="0.3", linewidth=1, label=f"your rate {own:.2g}")
            axis.legend(frameon=False, loc="lower left")
    return True


def _curves(diagnosis: Any, axis: Any) -> bool:
    outcome = diagnosis._outcome
    if outcome is None or len(outcome.trained.probe.record.train_losses) < 2:
        return False
    if axis is not None:
        train = outcome.trained.probe.record.train_losses
        axis.plot(np.arange(1, len(train) + 1), train, color="tab:blue", label="training")
        axis.plot(outcome.epochs, outcome.valid_curve, color="tab:orange", label="held out")
        level = diagnosis._constant.valid
        axis.axhline(level, color="0.5", linestyle=":", label="best constant, held out")
        best = outcome.best
        axis.plot(outcome.epochs[best], outcome.valid_curve[best], "o", color="tab:orange")
        shown = [value for value in train if np.isfinite(value)]
        if shown and min(shown) > 0:
            axis.set_yscale("log")
        axis.set(xlabel="epoch", ylabel="loss", title="learning curves")
        axis.legend(frameon=False)
    return True


def _signals(diagnosis: Any, axis: Any) -> bool:
    sizes = diagnosis["initial_activations"].evidence.get("RMS by layer")
    if not sizes:
        return False
    if axis is not None:
        axis.plot(list(sizes), list(sizes.values()), "o-", color="tab:blue")
        # At least two decades: what stays within them is no matter.
        low, high = min(sizes.values()), max(sizes.values())
        axis.set(yscale="log", ylabel="root mean square", title="signal before the first step")
        axis.set_ylim(min(low / 2, 0.1), max(2 * high, 10))
        _tilt(axis, len(sizes))
    return True


def _layers(diagnosis: Any, axis: Any) -> bool:
    gradients = diagnosis["initial_gradients"].evidence.get("gradient / weight by layer")
    steps = diagnosis["update_size"].evidence.get("step / weight by layer")
    if not gradients and not steps:
        return False
    if axis is not None:
        for values, label, color in (
            (gradients, "gradient / weight at the start", "tab:blue"),
            (steps, "step / weight in the first epochs", "tab:orange"),
        ):
            if values:
                positive = [value if value > 0 else np.nan for value in values.values()]
                axis.plot(list(values), positive, "o-", color=color, label=label)
        axis.axhline(1e-3, color="0.5", linestyle=":", label="a usual step")
        axis.set(yscale="log", title="gradients and steps by layer")
        axis.legend(frameon=False)
        _tilt(axis, len(gradients or steps))
    return True


def _tilt(axis: Any, n_labels: int) -> None:
    if n_labels > 4:
        axis.tick_params("x", rotation=30)
