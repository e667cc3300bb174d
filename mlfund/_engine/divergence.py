"""A training that diverges: go back to the last good epoch, and say what happened where.

The guard keeps what an epoch needs to be run again: weights, moments of the optimizer,
random streams, the order of the rows. When an epoch ends with NaN or with an exploded
loss, it is replayed from there through autograd, watched layer by layer, and the first
layer whose output, gradient or weight is not finite is named.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import Tensor

from mlfund._engine.data import Batch, DeviceRows
from mlfund._engine.net import Engine, StopTraining
from mlfund._engine.watching import Layer, LayerWatch

# A loss this many times that of the first epoch has exploded.
EXPLODED = 1e3
# Features and targets beyond this are what a divergence is blamed on, before the rate.
LARGE = 1e3


@dataclass(frozen=True)
class Breakdown:
    """Where in its epoch a training broke down.

    Attributes
    ----------
    step, n_steps : int
        The batch, counted from 1, and how many the epoch has.
    what : {"input", "output", "loss", "gradient", "weight", "growth"}
        What was not finite first; "growth" is an output that only became very large, and
        the input of a layer is the work of what comes before it.
    layer : str
        Name of the layer; empty for the loss.
    value : float
        The value: NaN or infinite, or the size of the output for "growth".
    largest_before : float
        Largest finite absolute value in the weights when it happened.
    """

    step: int
    n_steps: int
    what: Literal["input", "output", "loss", "gradient", "weight", "growth"]
    layer: str
    value: float
    largest_before: float

    def __str__(self) -> str:
        """Say what happened where."""
        became = "became NaN" if math.isnan(self.value) else "became infinite"
        where = f"in step {self.step} of {self.n_steps}"
        if self.what == "loss":
            return f"{where} the loss {became}"
        if self.what == "growth":
            return f"{where} the output of layer {self.layer} grew to {self.value:.3g}"
        return f"{where} the {self.what} of layer {self.layer} {became}"


class DivergenceGuard(Callback):
    """Go back to the last good epoch of a training that diverged.

    A loss or a weight that is NaN or infinite ends the training. A loss that is finite
    but `EXPLODED` times that of the first epoch does not, since it may come down again;
    but such an epoch is not one to go back to, and not one to end with.

    Attributes
    ----------
    bad_epoch_ : int or None
        Number of the first bad epoch, counted from 1 in this training, if the training
        did not recover.
    bad_lr_ : float
        Learning rate of that epoch.
    n_good_ : int
        Number of the epoch whose weights were last good; 0 for the initial ones.
    breakdown_ : Breakdown or None
        Where the bad epoch broke down, once the training is over; None where its replay
        went well, as it may on a device whose sums come in no fixed order.
    """

    def __init__(self) -> None:
        self.bad_epoch_: int | None = None
        self.bad_lr_ = math.nan
        self.n_good_ = 0
        self.breakdown_: Breakdown | None = None
        self._average: Tensor | None = None
        self._resume: dict[str, Any] = {}
        self._bad_order: np.ndarray | None = None
        self._n_epochs = 0
        self._limit = math.inf
        self._rows: DeviceRows | None = None

    def on_train_begin(self, net: Engine, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Keep the initial weights."""
        self._rows = X
        self._resume = {"draws": any(True for _ in _streams(net))}
        self._keep_weights(net)

    def on_epoch_end(self, net: Engine, *args: Any, **kwargs: Any) -> None:
        """Keep the weights of a good epoch; go back and stop after one with NaN."""
        self._n_epochs += 1
        loss = net.history[-1]["train_loss"]
        finite = math.isfinite(loss) and net.parameters.is_finite()
        if finite and self._n_epochs == 1:
            self._limit = EXPLODED * loss
        if finite and loss <= self._limit:
            self._keep(net)
            return
        if self.bad_epoch_ is None:
            self.bad_epoch_ = self._n_epochs
            self.bad_lr_ = net.present_lr
            self._bad_order = _last_order(net)
        if not finite:
            raise StopTraining(f"The loss or a weight was not finite in epoch {self._n_epochs}.")

    def on_train_end(self, net: Engine, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Find out what went wrong and write the last good weights back."""
        if self.bad_epoch_ is None or self._rows is None:
            return
        self.breakdown_ = _replay(net, self._rows, self._resume, self._bad_order, self._limit)
        good = self._resume["weights"] if self._average is None else self._average
        net.parameters.restore(good)

    def _keep(self, net: Engine) -> None:
        self._keep_weights(net)
        self.n_good_ = self._n_epochs
        self.bad_epoch_ = None

    def _keep_weights(self, net: Engine) -> None:
        _keep_state(net, self._resume)
        if net.averaging is not None:
            self._average = net.snapshot()


def explain(guard: DivergenceGuard, rows: DeviceRows) -> str:
    """Return what happened, the likely cause and the cure, as the middle of a sentence.

    Parameters
    ----------
    guard : DivergenceGuard
        Of a training that diverged.
    rows : DeviceRows
        Rows of that training.
    """
    broke = guard.breakdown_
    happened = f"{broke}; " if broke is not None else ""
    largest = rows.largest_feature()
    if largest > LARGE:
        return (
            f"{happened}X holds values up to {largest:.3g}: standardise it, "
            "for instance with sklearn.preprocessing.StandardScaler"
        )
    if rows.y.is_floating_point() and float(rows.y.abs().max()) > LARGE:
        return (
            f"{happened}y holds values up to {float(rows.y.abs().max()):.3g}: standardise it, "
            "for instance with sklearn.compose.TransformedTargetRegressor"
        )
    if broke is not None and _made_of_finite_values(broke):
        return (
            f"{happened}its inputs and weights were finite and of ordinary size: look in the "
            "module's forward, or in the loss, for a logarithm, a root or a division"
        )
    return (
        f"{happened}the learning rate, {guard.bad_lr_:.3g}, is probably too high: lower "
        "learning_rate_init (mlfund.find_learning_rate suggests one), or bound the steps with "
        "clip_norm=1.0"
    )


def _made_of_finite_values(broke: Breakdown) -> bool:
    """Whether NaN arose where nothing had grown: not the work of a learning rate."""
    return math.isnan(broke.value) and broke.what != "weight" and broke.largest_before < LARGE


def _keep_state(net: Engine, kept: dict[str, Any]) -> None:
    """Copy what a further epoch depends on, into the memory of an earlier copy."""
    kept["weights"] = net.parameters.snapshot(out=kept.get("weights"))
    moments = kept.setdefault("moments", [])
    for place, tensor in enumerate(_moments(net)):
        if place < len(moments):
            moments[place].copy_(tensor)
        else:
            moments.append(tensor.clone())
    kept["streams"] = [s.get_state() for s in _streams(net)] if kept["draws"] else []
    kept["torch"] = torch.get_rng_state()
    kept["rates"] = [group["lr"] for group in net.optimizer_.param_groups]
    kept["n_steps"] = net.n_steps_


def _put_back(net: Engine, kept: dict[str, Any]) -> None:
    net.parameters.restore(kept["weights"])
    moments = list(_moments(net))
    for tensor, before in zip(moments, kept["moments"], strict=False):
        tensor.copy_(before)
    for tensor in moments[len(kept["moments"]) :]:
        # Kept before the first step, when the optimizer had none yet.
        tensor.zero_()
    for stream, state in zip(_streams(net), kept["streams"], strict=False):
        stream.set_state(state)
    torch.set_rng_state(kept["torch"])
    for group, rate in zip(net.optimizer_.param_groups, kept["rates"], strict=True):
        group["lr"] = rate
    net.n_steps_ = kept["n_steps"]


def _moments(net: Engine) -> Iterator[Tensor]:
    for state in net.optimizer_.state.values():
        for value in state.values():
            if isinstance(value, Tensor):
                yield value


def _streams(net: Engine) -> Iterator[torch.Generator]:
    if net.generator is not None:
        yield net.generator
    for module in net.module_.modules():
        for value in vars(module).values():
            if isinstance(value, torch.Generator):
                yield value


def _last_order(net: Engine) -> np.ndarray | None:
    """Return the order in which the rows of the last epoch came, as far as it is known."""
    order = net.iterator_train__draw_order
    return None if order is None else getattr(order, "index", None)


def _replay(
    net: Engine,
    rows: DeviceRows,
    kept: dict[str, Any],
    order: np.ndarray | None,
    limit: float,
) -> Breakdown | None:
    """Run the bad epoch again from the end of the last good one and watch every layer."""
    n_steps = net.n_steps_
    _put_back(net, kept)
    batches = net.get_iterator(rows, training=True)
    batches.draw_order = None if order is None else lambda: order
    batches.epoch = batches.epochs_in(net.n_steps_)
    found = None
    with np.errstate(all="ignore"):
        net.module_.train()
        net.optimizer.begin_epoch(batches.epoch)
        for place, batch in enumerate(batches, start=1):
            found = _watched_step(net, batch, place, len(batches), limit)
            if found is not None:
                break
    net.n_steps_ = n_steps
    return found


def _watched_step(
    net: Engine, batch: Batch, step: int, n_steps: int, limit: float
) -> Breakdown | None:
    """Take one step through autograd; return what broke in it, if anything did."""
    largest = _largest(net.parameters.flat.detach())
    for transform in net.transforms:
        batch = transform(batch, net.generator)
    with LayerWatch(net.module_) as watch:
        loss = net._autograd(batch)[0].detach()

    def broke(what: Any, layer: str, value: float) -> Breakdown:
        return Breakdown(step, n_steps, what, layer, value, largest)

    for layer in watch.layers:
        value = None if layer.fed is None else _not_finite(layer.fed)
        if value is not None:
            return broke("input", layer.name, value)
        value = _not_finite(layer.output) or _not_finite(layer.signal)
        if value is not None:
            return broke("output", layer.name, value)
    if not math.isfinite(float(loss)):
        return broke("loss", "", float(loss))
    named = [(name.removesuffix(".weight"), p) for name, p in net.module_.named_parameters()]
    # The backward pass begins at the output: the last layer is the first that broke.
    for name, parameter in reversed(named):
        value = None if parameter.grad is None else _not_finite(parameter.grad)
        if value is not None:
            return broke("gradient", name, value)
    if float(loss) * net.criterion_.report_scale > limit:
        grown = max(watch.layers, key=_growth, default=None)
        if grown is not None:
            return broke("growth", grown.name, _largest(grown.output))
    _take_step(net, batch)
    for name, parameter in named:
        value = _not_finite(parameter)
        if value is not None:
            return broke("weight", name, value)
    return None


def _take_step(net: Engine, batch: Batch) -> None:
    """Do with the gradient at hand what the engine does with it."""
    if net._penalise is not None:
        net._penalise(batch.step_total)
    net.parameters.publish_gradient()
    net.n_steps_ += 1
    for rule in net.rules:
        rule(net)
    net.optimizer_.step()
    for rule in net.after_step:
        rule(net)


def _not_finite(values: Tensor) -> float | None:
    """Return a value that is NaN, or else one that is infinite, or None where all are finite."""
    values = values.detach()
    if not values.is_floating_point() or bool(torch.isfinite(values).all()):
        return None
    return math.nan if bool(torch.isnan(values).any()) else math.inf


def _growth(layer: Layer) -> float:
    return _largest(layer.output)


def _largest(values: Tensor) -> float:
    values = values.detach()
    finite = values[torch.isfinite(values)]
    return float(finite.abs().max()) if finite.numel() else math.inf
