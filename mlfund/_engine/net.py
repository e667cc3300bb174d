"""The engine: skorch's training loop without its per-sample and per-batch costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping
from torch import Tensor, nn

from mlfund._engine.batches import Batches
from mlfund._engine.data import Batch, DeviceRows
from mlfund._engine.objective import Objective
from mlfund._engine.parameters import FlatOptimizer, FlatParameters
from mlfund.penalties import Penalty

PER_BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_grad_computed")

# ``rule(engine)`` runs before each optimizer step; it sets learning rates and the like.
StepRule = Callable[["Engine"], None]
# ``differentiate(batch) -> (objective, raw)``, the gradient left in the parameters.
Differentiate = Callable[[Batch], tuple[Tensor, Tensor]]
Score = Callable[[Tensor, DeviceRows], float]


class StopTraining(Exception):
    """Raised by a callback in `on_epoch_end` to end the training; says why."""


class Holdout:
    """A `train_split` for skorch that returns rows set aside beforehand."""

    def __init__(self, valid: DeviceRows) -> None:
        self.valid = valid

    def __call__(self, rows: DeviceRows, **_: Any) -> tuple[DeviceRows, DeviceRows]:
        """Return the training rows and the rows set aside."""
        return rows, self.valid


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
    rules : sequence of callable
        Run before each optimizer step.
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
            iterator_valid=Batches,
            iterator_valid__batch_size=8192,
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
        self.autocast = autocast
        self.n_steps_ = 0
        self.stop_reason_: str | None = None
        self._eager = True
        self._differentiate: Differentiate = self._autograd

    @property
    def parameters(self) -> FlatParameters:
        """The flat parameters that the optimizer updates."""
        return self.optimizer.parameters

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the steps to come."""
        for group in self.optimizer_.param_groups:
            group["lr"] = lr

    def partial_fit(
        self, X: DeviceRows, y: None = None, classes: None = None, **fit_params: Any
    ) -> Engine:
        """Train on rows; initialises first if nothing has been trained yet."""
        if not self.initialized_:
            self.initialize()
        self.stop_reason_ = None
        self.notify("on_train_begin", X=X, y=y)
        self._eager = self._needs_notifications()
        self._differentiate = self._own_backprop() or self._autograd
        try:
            self.fit_loop(X, y, **fit_params)
        except StopTraining as stop:
            self.stop_reason_ = str(stop)
        self.notify("on_train_end", X=X, y=y)
        return self

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
        if stop is not None:
            raise stop

    def train_step_single(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        """Leave the gradient of the objective in the parameters and apply the rules."""
        loss, raw = self._differentiate(batch)
        step = {"loss": loss, "y_pred": raw}
        if self.penalty is not None:
            step["penalty"] = self._penalise(self.penalty, batch.total)
        self.parameters.publish_gradient()
        self.n_steps_ += 1
        for rule in self.rules:
            rule(self)
        return step

    def validation_step(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        """Return objective and raw scores of a batch in evaluation mode."""
        with torch.no_grad():
            raw = self._forward(batch[0])
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
        self._set_training(training)
        eager = self._eager
        if training and not eager:
            step_fn = self._lean_step
        losses, penalties, raws, batches = [], [], [], []
        for batch in iterator:
            if eager:
                self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            losses.append(step["loss"].detach())
            batches.append((batch.rows, batch.total))
            if "penalty" in step:
                penalties.append(step["penalty"])
            if not training:
                raws.append(step["y_pred"])
            if eager:
                self.history.record_batch(prefix + "_loss", losses[-1])
                self.history.record_batch(prefix + "_batch_size", batch.rows)
                self.notify("on_batch_end", batch=batch, training=training, **step)
        if eager:
            self._read_batch_losses(prefix + "_loss")
        self.history.record(prefix + "_loss", self._mean_loss(losses, penalties, batches))
        self.history.record(prefix + "_batch_count", len(batches))
        if not training and self.score is not None:
            self.history.record("valid_score", self.score(torch.cat(raws), iterator.rows))

    def _lean_step(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        step = self.train_step_single(batch, **fit_params)
        self.optimizer_.step()
        return step

    def _forward(self, X: Tensor) -> Tensor:
        if self.autocast is None:
            return self.module_(X)
        with torch.autocast(X.device.type, dtype=self.autocast):
            raw = self.module_(X)
        return raw.to(X.dtype)

    def _autograd(self, batch: Batch) -> tuple[Tensor, Tensor]:
        self.parameters.grad.zero_()
        raw = self._forward(batch[0])
        loss = self.criterion_(raw, batch)
        loss.backward()
        return loss, raw

    def _own_backprop(self) -> Differentiate | None:
        make = getattr(self.module_, "backprop", None)
        if make is None or self._eager or self.autocast is not None:
            return None
        return make(self.criterion_.with_gradient)

    def _penalise(self, penalty: Penalty, total: float) -> Tensor:
        weights, gradient = self.parameters.weights, self.parameters.weight_grad
        if penalty.l1 == 0:
            # Two passes over the weights and no temporary.
            gradient.add_(weights, alpha=penalty.l2 / total)
            return weights.dot(weights).mul_(0.5 * penalty.l2)
        gradient.add_(penalty.gradient(weights), alpha=1.0 / total)
        return penalty.value(weights)

    def _needs_notifications(self) -> bool:
        """Whether a callback looks at batches, or a hook at the module."""
        overridden = any(
            getattr(type(callback), hook, None) is not getattr(Callback, hook)
            for _, callback in self.callbacks_
            for hook in PER_BATCH_HOOKS
        )
        return overridden or any(_has_hooks(module) for module in self.module_.modules())

    def _mean_loss(
        self, losses: list[Tensor], penalties: list[Tensor], batches: list[tuple[int, float]]
    ) -> float:
        """Return the mean over rows of the batches' losses: the epoch's synchronisation."""
        scale = self.criterion_.report_scale
        values = [scale * value for value in torch.stack(losses).tolist()]
        if penalties:
            terms = torch.stack(penalties).tolist()
            values = [
                value + term / total
                for value, term, (_, total) in zip(values, terms, batches, strict=True)
            ]
        n_rows = sum(rows for rows, _ in batches)
        return sum(v * rows for v, (rows, _) in zip(values, batches, strict=True)) / n_rows

    def _read_batch_losses(self, name: str) -> None:
        """Replace the loss tensors in the history's batches by floats, all at once."""
        rows = [row for row in self.history[-1]["batches"] if name in row]
        tensors = [row[name] for row in rows]
        for row, value in zip(rows, torch.stack(tensors).tolist(), strict=True):
            row[name] = value


def _has_hooks(module: nn.Module) -> bool:
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, name, None) for name in names)
