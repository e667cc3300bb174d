"""The engine: skorch's training loop without its per-sample and per-batch costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping
from torch import Tensor, nn

from mlfund._engine.averaging import Averager, batch_norm_layers
from mlfund._engine.batches import Batches
from mlfund._engine.captured import CapturedSteps, capturable
from mlfund._engine.data import Batch, DeviceRows, Holdout
from mlfund._engine.epoch import EpochLosses, read_batch_losses
from mlfund._engine.norms import NormTracker
from mlfund._engine.objective import Objective
from mlfund._engine.parameters import FlatOptimizer, FlatParameters
from mlfund._engine.step import (
    Accumulated,
    Differentiate,
    HostRule,
    Penalised,
    StepRule,
    Transform,
    transformed,
)
from mlfund._engine.watched import needs_notifications, validation_rows
from mlfund.averaging import Averaging
from mlfund.optimizers import learning_rate_of, set_learning_rate
from mlfund.penalties import Penalty

Score = Callable[[Tensor, DeviceRows], float]


class StopTraining(Exception):
    """Raised by a callback in `on_epoch_end` to end the training; says why."""


class Engine(NeuralNet):
    """`skorch.NeuralNet` on device-resident rows, one synchronisation an epoch.

    Five overrides: the gradient step, the validation step and the epoch (lean, losses
    stay on the device until the epoch ends), the notification of callbacks (none loses
    its `on_epoch_end` when another one stops the training) and `partial_fit` (stops on
    `StopTraining`; a KeyboardInterrupt is not swallowed). When a callback has a hook
    that runs per batch, or the module carries hooks, steps run through autograd with
    all of skorch's notifications; else the module's own `backprop` is used if it has one.

    Parameters
    ----------
    module : torch.nn.Module
        The network, parameters initialised, on the training device.
    objective : Objective
        What is minimised.
    optimizer : FlatOptimizer
        Builds the optimizer.
    lr : float
        Base learning rate.
    batch_size : int
        Rows of a training batch.
    max_epochs : int
        Most epochs to train.
    order : callable, optional
        Returns the row order of each epoch; rows come in their own order without it.
    valid : DeviceRows, optional
        Rows set aside; their loss is recorded each epoch as `valid_loss`.
    score : callable, optional
        ``(raw, rows) -> float`` on the rows set aside, recorded as `valid_score`.
    penalty : Penalty, optional
        Penalty of all weight matrices, divided by the weight sum of the batch.
    rules, after_step : sequence of callable
        Run before, and after, each optimizer step.
    accumulation_steps : int, default=1
        Batches whose gradients make one step.
    transforms : sequence of callable
        ``(batch, generator) -> batch``: augment the training batches, in turn.
    generator : torch.Generator, optional
        What the transforms draw from; torch's global one when None.
    averaging : Averaging, optional
        An average of the weights that is evaluated, and kept, in their place.
    track_norms : bool, optional
        Whether `gradient_norm` and `update_norm` of an epoch are the root mean square
        over all its steps; None measures the first step alone, False none.
    capture : bool, optional
        Whether full batches run as one program, see `mlfund._engine.captured`; None
        does so on CUDA devices.
    callbacks : sequence of skorch callbacks
        In the order in which they are told.
    autocast : torch.dtype, optional
        Lower precision for forward and backward pass.

    Attributes
    ----------
    n_steps_ : int
        Optimizer steps so far.
    stop_reason_ : str or None
        What the callback said that ended the training.
    """

    def __init__(
        self,
        module: nn.Module,
        objective: Objective,
        *,
        optimizer: FlatOptimizer,
        lr: float,
        batch_size: int,
        max_epochs: int,
        order: Callable[[], Any] | None = None,
        valid: DeviceRows | None = None,
        score: Score | None = None,
        penalty: Penalty | None = None,
        rules: Sequence[StepRule] = (),
        after_step: Sequence[StepRule] = (),
        accumulation_steps: int = 1,
        transforms: Sequence[Transform] = (),
        generator: torch.Generator | None = None,
        averaging: Averaging | None = None,
        track_norms: bool | None = None,
        capture: bool | None = None,
        callbacks: Sequence[Callback] = (),
        autocast: torch.dtype | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(
            module,
            objective,
            optimizer=optimizer,
            lr=lr,
            batch_size=batch_size,
            max_epochs=max_epochs,
            iterator_train=Batches,
            iterator_train__draw_order=order,
            iterator_train__steps_of=accumulation_steps,
            iterator_train__smallest=2 if batch_norm_layers(module) else 1,
            iterator_train__numbered=bool(transforms),
            iterator_valid=Batches,
            iterator_valid__batch_size=validation_rows(module, batch_size),
            train_split=None if valid is None else Holdout(valid),
            callbacks=list(callbacks),
            # The engine records losses itself; logs are callbacks of the caller's choice.
            callbacks__train_loss=None,
            callbacks__valid_loss=None,
            callbacks__print_log=None,
            predict_nonlinearity=None,
            verbose=0,
            device=device,
        )
        self.score = score
        self.penalty = penalty
        self.rules = list(rules)
        self.after_step = list(after_step)
        self.accumulation_steps = accumulation_steps
        self.transforms = list(transforms)
        self.generator = generator
        self.averaging = None if averaging is None else Averager(averaging)
        self.track_norms = track_norms
        self.autocast = autocast
        self.n_steps_ = 0
        self.stop_reason_: str | None = None
        self._eager = True
        self._differentiate: Differentiate = self._autograd
        self._penalise: Penalised | None = None
        self.capture = capture
        self._captured: CapturedSteps | None = None
        self._norms: NormTracker | None = None
        self._before: list[StepRule] = []
        self._after: list[StepRule] = []

    @property
    def parameters(self) -> FlatParameters:
        """The flat parameters that the optimizer updates."""
        return self.optimizer.parameters

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the steps to come; groups get their multiple of it."""
        set_learning_rate(self.optimizer_, lr)

    @property
    def present_lr(self) -> float:
        """The learning rate of the next step, before the multiples of groups."""
        return learning_rate_of(self.optimizer_)

    def partial_fit(
        self, X: DeviceRows, y: None = None, classes: None = None, **fit_params: Any
    ) -> Engine:
        """Train on rows; initialises first if nothing has been trained yet."""
        if not self.initialized_:
            self.initialize()
            self.parameters.watch_buffers(self.module_)
        self.stop_reason_ = None
        if self.averaging is not None:
            self.averaging.begin(self, X)
        self.notify("on_train_begin", X=X, y=y)
        self._prepare_step()
        try:
            # A history that a callback restored counts as trained.
            self.fit_loop(X, y, epochs=self.max_epochs - len(self.history), **fit_params)
        except StopTraining as stop:
            self.stop_reason_ = str(stop)
        if self.averaging is not None:
            self.averaging.publish()
        self.notify("on_train_end", X=X, y=y)
        self.optimizer.end_groups()
        if self.averaging is not None:
            # A callback may have gone back to the weights of an earlier epoch.
            self.averaging.estimate_statistics()
        return self

    def snapshot(self) -> Tensor:
        """Return a copy of the weights that the training would end with now.

        `parameters.restore` takes it back; it is the average where there is one.
        """
        if self.averaging is not None:
            return self.averaging.snapshot()
        return self.parameters.snapshot()

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Tell all callbacks; a stop that one asks for waits until all were told."""
        if method_name != "on_epoch_end":
            super().notify(method_name, **cb_kwargs)
            return
        self.on_epoch_end(self, **cb_kwargs)
        stop: StopTraining | None = None
        for _, callback in self.callbacks_:
            try:
                callback.on_epoch_end(self, **cb_kwargs)
            except StopTraining as asked:
                stop = stop or asked
            except KeyboardInterrupt:
                # skorch's way of stopping early; from anything else it is Ctrl-C.
                if not isinstance(callback, EarlyStopping):
                    raise
                stop = stop or StopTraining("skorch's EarlyStopping ended the training.")
            # Known to the callbacks that come after the one that asked.
            self.stop_reason_ = None if stop is None else str(stop)
        if stop is not None:
            raise stop

    def train_step(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        """Take skorch's step, with all its notifications, once the gradient is whole."""
        if not batch.closes:
            return self.train_step_single(batch, **fit_params)
        step: dict[str, Tensor] = super().train_step(batch, **fit_params)
        for rule in self._after:
            rule(self)
        return step

    def train_step_single(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        """Leave the gradient of the objective in the parameters and apply the rules."""
        loss, raw = self._differentiate(batch)
        step = {"loss": loss, "y_pred": raw}
        if not batch.closes:
            return step
        if self._penalise is not None:
            step["penalty"] = self._penalise(batch.step_total)
        self.parameters.publish_gradient()
        self.n_steps_ += 1
        for rule in self._before:
            rule(self)
        return step

    def validation_step(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        """Return objective and raw scores of a batch in evaluation mode."""
        with torch.no_grad():
            raw = self._forward(batch)
            return {"loss": self.criterion_(raw, batch), "y_pred": raw}

    def run_single_epoch(
        self,
        iterator: Batches | None,
        training: bool,
        prefix: str,
        step_fn: Callable[..., dict[str, Tensor]],
        **fit_params: Any,
    ) -> None:
        """Run one epoch over `iterator` and record its mean loss in the history."""
        if iterator is None:
            return
        if training:
            self._run_epoch(iterator, True, prefix, step_fn)
            if self.averaging is not None:
                self.averaging.after_epoch(self)
            if self._norms is not None:
                self._norms.after_epoch(self)
            return
        with nullcontext() if self.averaging is None else self.averaging.in_place():
            self._run_epoch(iterator, False, prefix, step_fn)

    def _run_epoch(
        self,
        iterator: Batches,
        training: bool,
        prefix: str,
        step_fn: Callable[..., dict[str, Tensor]],
    ) -> None:
        self._set_training(training)
        eager = self._eager
        if training:
            iterator.epoch = iterator.epochs_in(self.n_steps_)
            self.optimizer.begin_epoch(iterator.epoch)
            step_fn = step_fn if eager else self.lean_step
        losses, raws = EpochLosses(self.criterion_.report_scale), []
        captured = self._captured_steps(iterator) if training and not eager else None
        if captured is not None:
            captured.run_epoch(iterator, losses)
        for batch in iterator if captured is None else ():
            if eager:
                self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch)
            if batch.closes:
                losses.add(batch, step["loss"], step.get("penalty"))
            if not training:
                raws.append(step["y_pred"])
            if eager:
                self.history.record_batch(prefix + "_loss", step["loss"].detach())
                self.history.record_batch(prefix + "_batch_size", batch.rows)
                self.notify("on_batch_end", batch=batch, training=training, **step)
        if eager:
            read_batch_losses(self.history[-1]["batches"], prefix + "_loss")
        self.history.record(prefix + "_loss", losses.mean())
        self.history.record(prefix + "_batch_count", len(iterator))
        if not training and self.score is not None:
            self.history.record("valid_score", self.score(torch.cat(raws), iterator.rows))

    def _prepare_step(self) -> None:
        """Put together what a step of this training consists of."""
        self._eager = needs_notifications(self.callbacks_, self.module_)
        self._captured = None
        self._differentiate = self.new_differentiate()
        if self.accumulation_steps > 1:
            self._differentiate = Accumulated(self._differentiate, self.parameters)
        self._penalise = None if self.penalty is None else Penalised(self.penalty, self.parameters)
        self._before, self._after = list(self.rules), list(self.after_step)
        if self.track_norms is not False:
            self._norms = NormTracker(every_step=bool(self.track_norms))
            self._before.insert(0, self._norms.before_step)
            self._after.append(self._norms.after_step)
        if self.averaging is not None:
            self._after.append(HostRule(self.averaging.after_step))

    def new_differentiate(self) -> Differentiate:
        """Return what leaves the gradient of one batch, in buffers of its own."""
        differentiate = self._own_backprop() or self._autograd
        if self.transforms:
            return transformed(differentiate, self.transforms, self.generator)
        return differentiate

    def _captured_steps(self, batches: Batches) -> CapturedSteps | None:
        """Return the captured step where this training has one, made at its first epoch."""
        wanted = batches.rows.device.type == "cuda" if self.capture is None else self.capture
        if self._captured is None and wanted and capturable(self, batches):
            self._captured = CapturedSteps(self, batches)
        return self._captured

    def lean_step(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        """Take a step without skorch's notifications."""
        step = self.train_step_single(batch, **fit_params)
        if batch.closes:
            self.optimizer_.step()
            for rule in self._after:
                rule(self)
        return step

    def _zero_grad_optimizer(self, set_to_none: bool | None = None) -> None:
        """Do nothing: each gradient is overwritten, and its memory belongs to `parameters`."""

    def _forward(self, batch: Batch) -> Tensor:
        if self.autocast is None:
            return self._call(batch)
        with torch.autocast(batch[0].device.type, dtype=self.autocast):
            raw = self._call(batch)
        return raw.to(self.parameters.flat.dtype)

    def _call(self, batch: Batch) -> Tensor:
        # Statistics of a weighted batch are weighted.
        if batch.weight is not None and getattr(self.module_, "takes_weight", False):
            return self.module_(batch[0], batch.weight)
        return self.module_(batch[0])

    def _autograd(self, batch: Batch) -> tuple[Tensor, Tensor]:
        self.parameters.grad.zero_()
        raw = self._forward(batch)
        loss = self.criterion_(raw, batch)
        loss.backward()
        return loss, raw

    def _own_backprop(self) -> Differentiate | None:
        make = getattr(self.module_, "backprop", None)
        if make is None or self._eager:
            return None
        return make(self.criterion_.with_gradient, self.autocast)
