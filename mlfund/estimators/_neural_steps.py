"""What a neural estimator's parameters say of its optimizer steps: sizes, rules, penalty."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

from torch import nn

from mlfund._check import stacklevel_outside
from mlfund._engine.batch_size import largest_batch_size
from mlfund._engine.batches import steps_per_epoch
from mlfund._engine.data import DeviceRows
from mlfund._engine.net import StepRule
from mlfund._engine.objective import Objective
from mlfund._engine.rules import clip_norm, clip_value, follow_schedule, max_norm
from mlfund.estimators._neural_spec import schedule_of
from mlfund.penalties import Penalty, get_penalty

# scikit-learn's batch, and so the one for which its learning rates are meant.
DEFAULT_BATCH_SIZE = 200
# A factor of the learning rate below which a training has as good as ended.
ENDED = 1e-3
_SCALINGS = {"linear": float, "sqrt": math.sqrt}


@dataclass(frozen=True)
class Pace:
    """How large the steps of a training are, and how many make an epoch.

    Attributes
    ----------
    n_rows : int
        Rows of an epoch.
    batch_size : int
        Rows of a batch.
    accumulation_steps : int
        Batches of a step.
    lr : float
        Base learning rate, scaled to the rows of a step.
    """

    n_rows: int
    batch_size: int
    accumulation_steps: int
    lr: float

    @classmethod
    def of(cls, estimator: Any, module: nn.Module, objective: Objective, rows: DeviceRows) -> Pace:
        """Return the pace that an estimator's parameters ask for on these rows."""
        if estimator.batch_size == "fit_device":
            batch_size = largest_batch_size(module, objective, rows)
        else:
            batch_size = rows_of_batch(
                estimator.batch_size, len(rows), estimator._auto_batch_size()
            )
        return cls.with_batches(estimator, len(rows), batch_size)

    @classmethod
    def with_batches(cls, estimator: Any, n_rows: int, batch_size: int) -> Pace:
        """Return the pace that an estimator's parameters ask for with such batches."""
        batches = estimator.accumulation_steps or 1
        lr = estimator.learning_rate_init
        if estimator.lr_scaling is not None:
            base = estimator.base_batch_size or DEFAULT_BATCH_SIZE
            lr *= _SCALINGS[estimator.lr_scaling](batch_size * batches / base)
        return cls(n_rows, batch_size, batches, lr)

    @property
    def steps_per_epoch(self) -> int:
        """Number of optimizer steps of an epoch."""
        return steps_per_epoch(self.n_rows, self.batch_size, self.accumulation_steps)


def rules_before(estimator: Any, pace: Pace) -> list[StepRule]:
    """Return what runs between gradient and step: learning rate, then clipping."""
    rules: list[StepRule] = []
    schedule = schedule_of(estimator)
    if schedule is not None and not schedule.adaptive:
        total = estimator.max_iter * pace.steps_per_epoch
        rules.append(follow_schedule(schedule, pace.lr, total, pace.n_rows, pace.steps_per_epoch))
    if estimator.clip_value is not None:
        rules.append(clip_value(estimator.clip_value))
    if estimator.clip_norm is not None:
        rules.append(clip_norm(estimator.clip_norm))
    return rules


def warn_of_an_ended_schedule(estimator: Any, pace: Pace, n_steps: int) -> None:
    """Warn if the schedule has ended before this call of `partial_fit`, near a rate of 0."""
    schedule = schedule_of(estimator)
    total = estimator.max_iter * pace.steps_per_epoch
    if schedule is None or schedule.adaptive or n_steps < total:
        return
    factor = schedule.factor(n_steps, total, pace.steps_per_epoch, rows_per_epoch=pace.n_rows)
    if factor < ENDED:
        warnings.warn(
            f"The schedule {estimator.schedule!r} of max_iter={estimator.max_iter} epochs has "
            f"ended, and this call of partial_fit learns at {factor:.2g} of learning_rate_init; "
            "give schedule=None for a stream without end, or max_iter as the number of calls.",
            UserWarning,
            stacklevel=stacklevel_outside(),
        )


def rules_after(estimator: Any, module: nn.Module) -> list[StepRule]:
    """Return what runs after each step: the bound on the norms of weights."""
    if estimator.max_norm is None:
        return []
    return [max_norm(estimator.max_norm, getattr(module, "unit_axis", 0))]


def penalty_of(estimator: Any) -> Penalty | None:
    """Return the penalty that `alpha` and `l1_ratio` ask for, None for none at all."""
    if not estimator.alpha:
        return None
    alpha, l1_ratio = float(estimator.alpha), estimator.l1_ratio or 0.0
    return get_penalty("elasticnet", alpha=alpha, l1_ratio=float(l1_ratio))


def rows_of_batch(batch_size: Any, n: int, default: int = DEFAULT_BATCH_SIZE) -> int:
    """Return the rows of a batch that `batch_size` asks for on so many; warn where it clips."""
    if batch_size == "auto":
        return min(default, n)
    if batch_size > n:
        warnings.warn(
            f"batch_size={batch_size} is larger than the {n} rows to train on; "
            "it is clipped to that number.",
            UserWarning,
            stacklevel=stacklevel_outside(),
        )
    return min(int(batch_size), n)
