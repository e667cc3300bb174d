"""One training by epochs: from an estimator's parameters and rows to weights and curves."""

from __future__ import annotations

import math
import sys
import warnings
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from mlfund._check import limited_threads, stacklevel_outside
from mlfund._engine.batches import ShuffledOrder
from mlfund._engine.callbacks import (
    FollowAdaptive,
    RecordLearningRate,
    StopOnPlateau,
    in_order,
)
from mlfund._engine.data import DeviceRows
from mlfund._engine.divergence import DivergenceGuard, explain
from mlfund._engine.groups import RateGroup
from mlfund._engine.net import Engine, Score
from mlfund._engine.objective import Objective
from mlfund._engine.parameters import FlatOptimizer, export_state
from mlfund.augmentation import Transform, transforms_of
from mlfund.averaging import get_averaging
from mlfund.estimators._neural_callbacks import checkpoints, reports
from mlfund.estimators._neural_spec import autocast_dtype, schedule_of
from mlfund.estimators._neural_steps import (
    Pace,
    penalty_of,
    rules_after,
    rules_before,
    warn_of_an_ended_schedule,
)
from mlfund.optimizers import Optimizer
from mlfund.schedules import Adaptive

NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values "
    "and need to be preprocessed."
)

# Columns of `history_` that the engine fills, after "epoch" and before "seconds".
HISTORY = ("train_loss", "valid_loss", "valid_score", "lr", "gradient_norm", "update_norm")
_NOT_TIDY = {*HISTORY, "epoch", "dur", "train_batch_count", "valid_batch_count"}


@dataclass
class Progress:
    """What a training hands to the next one under `warm_start` and `partial_fit`.

    Attributes
    ----------
    t : int
        Rows seen.
    stale : int
        Epochs in a row without improvement.
    best_loss, best_score : float
        Best values so far.
    loss_curve, scores : list of float
        Loss, and validation score, of every epoch.
    history : list of dict
        One row an epoch: epoch, the columns of `HISTORY`, seconds, and what callbacks
        recorded.
    optimizer : dict
        State of the optimizer as numpy arrays, empty for a fresh one and after a divergence.
    """

    t: int = 0
    stale: int = 0
    best_loss: float = math.inf
    best_score: float = -math.inf
    loss_curve: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    history: list[dict[str, float]] = field(default_factory=list)
    optimizer: dict[str, Any] = field(default_factory=dict)

    def advance(self, epochs: list[dict[str, float]], n_rows: int, plateau: StopOnPlateau) -> None:
        """Add the epochs of a training over so many rows."""
        self.t += n_rows * len(epochs)
        self.stale = plateau.stale
        self.loss_curve += [row["train_loss"] for row in epochs]
        scores = [row["valid_score"] for row in epochs if "valid_score" in row]
        self.scores += scores
        self.best_score = max([self.best_score, *scores])
        if not plateau.on_score:
            self.best_loss = plateau.best
        first = len(self.history) + 1
        self.history += [{"epoch": first + i, **row} for i, row in enumerate(epochs)]


@dataclass(frozen=True)
class Outcome:
    """What a training ended with, beside the weights in the module.

    Attributes
    ----------
    n_iter : int
        Epochs of this training, or iterations of L-BFGS.
    loss : float
        Last loss, penalty included.
    scored : bool
        Whether rows set aside were scored each epoch.
    """

    n_iter: int
    loss: float
    scored: bool = False


def train_stochastic(
    estimator: Any,
    module: nn.Module,
    objective: Objective,
    rows: DeviceRows,
    *,
    valid: DeviceRows | None,
    score: Score | None,
    random_state: np.random.RandomState,
    progress: Progress,
    incremental: bool,
) -> Outcome:
    """Train by epochs over mini-batches, one if `incremental`; bring `progress` up to date.

    Parameters
    ----------
    estimator : BaseNeural
        Its parameters say how to train.
    module : torch.nn.Module
        The network on the training device, its parameters initialised.
    objective : Objective
        What is minimised.
    rows : DeviceRows
        Rows to train on.
    valid : DeviceRows or None
        Rows set aside.
    score : callable or None
        ``(raw, rows) -> float`` on the rows set aside.
    random_state : RandomState
        Source of the row orders.
    progress : Progress
        What earlier trainings left; brought up to date.
    incremental : bool
        Whether this is one epoch of `partial_fit`.
    """
    entry, rules = estimator._optimizer_and_rules()
    carried = progress.optimizer if progress.optimizer.get("name") == entry.name else {}
    pace = Pace.of(estimator, module, objective, rows)
    flop = step_flop(module, pace.batch_size)
    guard, plateau = DivergenceGuard(), _plateau(estimator, progress)
    transforms = _transforms(estimator, objective, rows)
    generator = None
    if transforms:
        # Otherwise nothing is drawn, so that the row orders are scikit-learn's.
        generator = _generator(random_state, rows.device, progress.t, carried.get("generator"))
    engine = Engine(
        module,
        objective,
        optimizer=_optimizer(entry, module, carried, estimator._rate_groups(module)),
        lr=carried.get("lr", pace.lr),
        batch_size=pace.batch_size,
        accumulation_steps=pace.accumulation_steps,
        max_epochs=1 if incremental else estimator.max_iter,
        order=ShuffledOrder(len(rows), random_state) if estimator.shuffle else None,
        valid=valid,
        score=score,
        penalty=penalty_of(estimator),
        rules=[*rules_before(estimator, pace), *rules],
        after_step=rules_after(estimator, module),
        transforms=transforms,
        generator=generator,
        averaging=None if estimator.averaging is None else get_averaging(estimator.averaging),
        track_norms=estimator.track_norms,
        callbacks=_callbacks(estimator, progress, pace.lr, guard, plateau),
        autocast=autocast_dtype(
            estimator.precision, rows.device, flop, own_pass=hasattr(module, "backprop")
        ),
        device=rows.device,
    )
    engine.n_steps_ = carried.get("steps", 0)
    if incremental:
        warn_of_an_ended_schedule(estimator, pace, engine.n_steps_)
    with limited_threads(flop):
        engine.partial_fit(rows)
    diverged = guard.bad_epoch_ is not None
    _report_end(estimator, engine, rows, guard, incremental=incremental)
    epochs = [_row(row) for row in engine.history]
    progress.advance(epochs, len(rows), plateau)
    progress.optimizer = {} if diverged else _optimizer_state(engine, entry.name, generator)
    last = guard.n_good_ if diverged else len(epochs)
    return Outcome(len(epochs), epochs[last - 1]["train_loss"], scored=valid is not None)


def _optimizer(
    entry: Optimizer,
    module: nn.Module,
    carried: dict[str, Any],
    groups: list[RateGroup] | None,
) -> FlatOptimizer:
    """Return the optimizer, in the state that an earlier training left, if any."""
    return FlatOptimizer(
        entry.build,
        carried.get("state"),
        per_matrix=entry.per_matrix,
        unit_axis=getattr(module, "unit_axis", 0),
        groups=groups,
    )


def _optimizer_state(
    engine: Engine, name: str, generator: torch.Generator | None
) -> dict[str, Any]:
    """Return what the next training needs of this one's optimizer, and of what it drew from."""
    found = {
        "name": name,
        "lr": engine.present_lr,
        "steps": engine.n_steps_,
        "state": export_state(engine.optimizer_),
    }
    if generator is not None:
        found["generator"] = {generator.device.type: generator.get_state().numpy()}
    return found


def _transforms(estimator: Any, objective: Objective, rows: DeviceRows) -> list[Transform]:
    """Return what is done to each batch."""
    augmentations = estimator._augmentations()
    if not augmentations:
        return []
    return transforms_of(augmentations, objective.loss, estimator._n_outputs(rows.y))


def _generator(
    random_state: np.random.RandomState,
    device: torch.device,
    rows_seen: int,
    carried: dict[str, np.ndarray] | None,
) -> torch.Generator:
    """Return what transforms draw from.

    It goes on where the last call of `partial_fit` left it, and is another one after the rows of
    an earlier training: or else, with a seed, every call would change its images alike.
    """
    generator = torch_generator(random_state, device, offset=rows_seen)
    state = None if carried is None else carried.get(device.type)
    if state is not None:
        generator.set_state(torch.from_numpy(np.array(state)))
    return generator


def _callbacks(
    estimator: Any, progress: Progress, lr: float, guard: DivergenceGuard, plateau: StopOnPlateau
) -> list[Any]:
    """Return what follows the training, in the order in which each sees an epoch."""
    return [
        guard,
        RecordLearningRate(),
        *in_order(estimator.callbacks or ()),
        *reports(estimator),
        *_learning_rate_callbacks(estimator, progress, lr),
        plateau,
        *checkpoints(estimator),
    ]


def _learning_rate_callbacks(estimator: Any, progress: Progress, lr: float) -> list[Any]:
    callbacks: list[Any] = estimator._learning_rate_callbacks(progress, lr)
    schedule = schedule_of(estimator)
    if isinstance(schedule, Adaptive):
        callbacks.append(FollowAdaptive(schedule, lr))
    return callbacks


def _plateau(estimator: Any, progress: Progress) -> StopOnPlateau:
    on_score = estimator.early_stopping
    return StopOnPlateau(
        tol=estimator.tol,
        patience=patience_of(estimator),
        on_score=on_score,
        best=progress.best_score if on_score else progress.best_loss,
        stale=progress.stale,
        lower=estimator._lower_learning_rate(),
    )


def patience_of(estimator: Any) -> float:
    """Return how many epochs in a row may be stale."""
    schedule = schedule_of(estimator)
    # An adaptive schedule decides itself when the training loss is flat for good.
    patient = schedule is not None and schedule.adaptive and not estimator.early_stopping
    return math.inf if patient else estimator.n_iter_no_change


def _report_end(
    estimator: Any, engine: Engine, rows: DeviceRows, guard: DivergenceGuard, *, incremental: bool
) -> None:
    """Say why a training ended: in words if it is `verbose`, a warning if epochs ran out."""
    if guard.bad_epoch_ is not None:
        _report_divergence(rows, guard)
    elif incremental:
        return
    elif engine.stop_reason_ is not None:
        if estimator.verbose:
            sys.stdout.write(f"{engine.stop_reason_} Stopping.\n")
    elif not estimator._runs_all_epochs():
        warnings.warn(
            out_of_epochs(estimator.max_iter), ConvergenceWarning, stacklevel=stacklevel_outside()
        )


def out_of_epochs(max_iter: int) -> str:
    """Return the warning of a training that its stopping rule did not end."""
    return (
        f"Stochastic Optimizer: Maximum iterations ({max_iter}) reached and the "
        "optimization hasn't converged yet."
    )


def _row(epoch: Any) -> dict[str, float]:
    """Return the numbers of an epoch, those that callbacks recorded after the engine's own."""
    row = {name: float(epoch[name]) for name in HISTORY if name in epoch}
    recorded = {
        name: float(value)
        for name, value in epoch.items()
        if isinstance(value, Real) and not isinstance(value, bool) and name not in _NOT_TIDY
    }
    return {**row, "seconds": float(epoch["dur"]), **recorded}


def _report_divergence(rows: DeviceRows, guard: DivergenceGuard) -> None:
    """Raise if there is no good epoch to go back to, else warn; name layer, cause and cure."""
    what = explain(guard, rows)
    if guard.n_good_ == 0:
        raise ValueError(f"{NON_FINITE} The training diverged in epoch 1: {what}.")
    warnings.warn(
        f"The training diverged in epoch {guard.bad_epoch_}: {what}. "
        f"The weights of epoch {guard.n_good_} are kept.",
        ConvergenceWarning,
        stacklevel=stacklevel_outside(),
    )


def step_flop(module: nn.Module, rows: int) -> float:
    """Floating-point operations of a forward and a backward pass over so many rows."""
    # Weights that meet a row more than once (convolutions) make a module say it itself.
    flop_per_row = getattr(module, "flop_per_row", None)
    if flop_per_row is None:
        flop_per_row = 6.0 * sum(p.numel() for p in module.parameters() if p.ndim >= 2)
    return float(flop_per_row) * rows


def torch_generator(
    random_state: np.random.RandomState, device: torch.device, offset: int = 0
) -> torch.Generator:
    """Return a generator on `device`, seeded by one draw from `random_state` and an offset."""
    generator = torch.Generator(device=device)
    return generator.manual_seed(int(random_state.randint(np.iinfo(np.int32).max)) + offset)
