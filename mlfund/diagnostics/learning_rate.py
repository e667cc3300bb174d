"""The learning-rate range test."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlfund._check import check_positive, require
from mlfund._engine.data import DeviceRows
from mlfund._engine.net import Engine, StopTraining
from mlfund.diagnostics._material import capture_fit, find_network, prepare_all, subset
from mlfund.diagnostics._probe import raw_scores
from mlfund.diagnostics._trials import mean_loss, run_twin

# fast.ai's bound: a loss this many times the smallest one is not coming back.
_DIVERGED = 4.0
# Rows on which the loss is measured after every step.
_MOST_ROWS = 1000
# Steps over which the curve is smoothed, as a share of all.
_WINDOW = 0.03
# A loss that has come this share of its way down is at its smallest: on easy rows it creeps
# on towards zero whatever the rate.
_ARRIVED = 0.99
RULE = (
    "a tenth of the learning rate at which the smoothed loss reaches its smallest value (99 % of "
    "its fall): rates that still help in a sweep are on the edge of divergence (Smith 2017, "
    "arXiv 1506.01186; the division by ten is fast.ai's)"
)


@dataclass(frozen=True)
class LearningRateTest:
    """A learning-rate range test: the loss while the learning rate grows step by step.

    Attributes
    ----------
    learning_rates : ndarray of shape (n,)
        Rate of each step, growing by a constant factor.
    losses : ndarray of shape (n,)
        Loss on one and the same sample of training rows after each step.
    smoothed : ndarray of shape (n,)
        Running median of the losses.
    initial_loss : float
        Loss before the first step.
    suggestion : float
        Learning rate to start with; NaN where no rate lowered the loss.
    steepest : float
        Rate at which the smoothed loss fell fastest, for comparison.
    largest : float
        The largest rate at which the smoothed loss was still below the initial one; training
        with larger ones from the start diverges or learns nothing.
    rule : str
        How `suggestion` was found, with the source.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from mlfund import MLPClassifier, find_learning_rate
    >>> X, y = load_iris(return_X_y=True)
    >>> test = find_learning_rate(MLPClassifier(random_state=0), X, y)
    >>> 1e-4 < test.suggestion < 1
    True
    """

    learning_rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    initial_loss: float
    suggestion: float
    steepest: float
    largest: float
    rule: str = RULE

    def to_frame(self) -> pd.DataFrame:
        """Return one row a step: learning_rate, loss, smoothed_loss."""
        return pd.DataFrame(
            {
                "learning_rate": self.learning_rates,
                "loss": self.losses,
                "smoothed_loss": self.smoothed,
            }
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw the loss over the learning rate and mark the suggestion.

        Parameters
        ----------
        ax : matplotlib axes, optional
            Where to draw; a new figure without it.

        Returns
        -------
        matplotlib axes
            What was drawn on.
        """
        pyplot = require("matplotlib.pyplot", "plot")
        if ax is None:
            _, ax = pyplot.subplots(figsize=(7, 4), layout="constrained")
        rates = self.learning_rates
        ax.plot(rates, self.losses, ".", color="0.7", markersize=4, label="after each step")
        ax.plot(rates, self.smoothed, color="tab:blue", label="smoothed")
        ax.axhline(self.initial_loss, color="0.6", linewidth=1, linestyle=":")
        ax.text(rates[0], self.initial_loss, "before the first step ", va="bottom", color="0.4")
        if math.isfinite(self.suggestion):
            height = float(np.interp(self.suggestion, rates, self.smoothed))
            ax.plot([self.suggestion], [height], "o", color="tab:orange", zorder=3)
            label = f"suggestion {self.suggestion:.2g}"
            ax.axvline(self.suggestion, color="tab:orange", linestyle="--", label=label)
        low, high = float(self.smoothed.min()), self.initial_loss
        room = max(high - low, 1e-12)
        ax.set_ylim(low - 0.1 * room, high + 0.3 * room)
        ax.set(
            xscale="log", xlabel="learning rate", ylabel="loss", title="learning-rate range test"
        )
        ax.legend(frameon=False, loc="lower left")
        return ax

    def __repr__(self) -> str:
        """Say what was found."""
        return (
            f"LearningRateTest(suggestion={self.suggestion:.3g}, steepest={self.steepest:.3g}, "
            f"largest={self.largest:.3g}, {len(self.losses)} steps)"
        )


def find_learning_rate(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    smallest: float = 1e-6,
    largest: float = 10.0,
    n_steps: int = 150,
    random_state: Any = 0,
) -> LearningRateTest:
    """Find a learning rate by a range test: raise it step by step until the loss explodes.

    A copy of the untrained network takes `n_steps` steps of its own optimizer over its own
    batches while the rate grows from `smallest` to `largest`. The loss after each step is
    measured on one fixed sample of the training rows, so that the curve is not blurred by the
    luck of the batches. The test ends when the loss is four times its smallest value.

    Parameters
    ----------
    estimator : MLPClassifier, MLPRegressor, NeuralClassifier or NeuralRegressor
        Alone, at the end of a Pipeline or in a TransformedTargetRegressor; it is not changed.
    X : {array-like, sparse matrix} of shape (n, d)
        Features.
    y : array-like of shape (n,) or (n, k)
        Targets.
    smallest, largest : float, default=1e-6 and 10
        Rates of the first and of the last step.
    n_steps : int, default=150
        Steps from `smallest` to `largest`, at least 10.
    random_state : int, RandomState instance or None, default=0
        Seed where the estimator has none.

    Returns
    -------
    LearningRateTest
        With the curve, a suggestion and a plot.

    Raises
    ------
    ValueError
        If the rates are out of order, or `fit` would refuse the data.

    References
    ----------
    Smith (2017), Cyclical learning rates for training neural networks, arXiv 1506.01186.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from mlfund import MLPClassifier, find_learning_rate
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(random_state=0)
    >>> test = find_learning_rate(model, X, y)
    >>> model = model.set_params(learning_rate_init=test.suggestion)
    """
    check_positive("smallest", smallest)
    check_positive("largest", largest)
    check_positive("n_steps", n_steps, integer=True)
    if not smallest < largest or n_steps < 10:
        raise ValueError(
            f"smallest={smallest!r}, largest={largest!r} and n_steps={n_steps!r} make no sweep: "
            "smallest must be below largest, and n_steps at least 10."
        )
    network, X, y = prepare_all(find_network(estimator), X, y, random_state)
    caught = capture_fit(network, X, y)
    return sweep(caught.net, caught.rows, smallest=smallest, largest=largest, n_steps=n_steps)


def sweep(
    net: Engine,
    rows: DeviceRows,
    *,
    smallest: float = 1e-6,
    largest: float = 10.0,
    n_steps: int = 150,
) -> LearningRateTest:
    """Run the range test from an engine at rest; see `find_learning_rate`."""
    sample = rows
    if len(rows) > _MOST_ROWS:
        chosen = np.sort(np.random.RandomState(0).permutation(len(rows))[:_MOST_ROWS])
        sample = subset(rows, chosen)
    rates = np.geomspace(smallest, largest, n_steps)
    recorder = _Sweep(net.n_steps_, rates, sample)
    epochs = -(-(n_steps + 1) // max(1, -(-len(rows) // net.batch_size)))
    run_twin(net, rows, rules=[*net.rules, recorder], epochs=epochs, penalty=net.penalty)
    initial, losses = recorder.losses[0], np.array(recorder.losses[1:])
    return _conclude(rates[: len(losses)], losses, initial)


class _Sweep:
    """Before each step: note where the last one led, and set the rate of the next."""

    def __init__(self, n_before: int, rates: np.ndarray, sample: DeviceRows) -> None:
        self.n_before = n_before
        self.rates = rates
        self.sample = sample
        self.losses: list[float] = []

    def __call__(self, net: Engine) -> None:
        loss = mean_loss(net, raw_scores(net, self.sample), self.sample)
        if not math.isfinite(loss) or (self.losses and loss > _DIVERGED * min(self.losses)):
            if math.isfinite(loss):
                self.losses.append(loss)
            raise StopTraining("The loss exploded.")
        self.losses.append(loss)
        step = len(self.losses) - 1
        if step == len(self.rates):
            raise StopTraining("The sweep is over.")
        net.set_lr(float(self.rates[step]))


def _conclude(rates: np.ndarray, losses: np.ndarray, initial: float) -> LearningRateTest:
    smoothed = _running_median(losses, max(1, round(_WINDOW * len(losses))))
    helped = smoothed < initial
    if not helped.any():
        nan = math.nan
        return LearningRateTest(rates, losses, smoothed, initial, nan, nan, nan)
    arrived = initial - _ARRIVED * (initial - smoothed.min())
    best = int(np.flatnonzero(smoothed <= arrived)[0])
    slope = np.gradient(smoothed, np.log(rates))
    return LearningRateTest(
        rates,
        losses,
        smoothed,
        initial,
        suggestion=float(rates[best] / 10),
        steepest=float(rates[int(slope[: best + 1].argmin())]),
        largest=float(rates[np.flatnonzero(helped)[-1]]),
    )


def _running_median(values: np.ndarray, reach: int) -> np.ndarray:
    """Return the median over a window of `reach` values to either side."""
    padded = np.pad(values, reach, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    return np.asarray(np.median(windows, axis=1))
