"""Schedules: how the learning rate changes while training runs.

A schedule is a pure function of the position in the run that multiplies the base
learning rate; nothing has to be stepped, saved or restored. The lengths are in
epochs or in shares of the whole run, so another batch size leaves the shape as it
is; an epoch may be a number of steps (``steps_per_epoch=5000``), and then another batch
size leaves every step as it is. The schedules that watch the loss, "adaptive" and
"plateau", add a small state that whoever trains carries from epoch to epoch.

Examples
--------
>>> from mlfund.schedules import get_schedule
>>> cosine = get_schedule("cosine")
>>> [round(cosine.factor(step, 4, 1), 3) for step in range(5)]
[1.0, 0.854, 0.5, 0.146, 0.0]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlfund._entries import publish, refuse_class, resolve
from mlfund.schedules._adaptive import Adaptive, AdaptiveState, Plateau
from mlfund.schedules._base import Changes, Position, Schedule, TimedSchedule
from mlfund.schedules._decay import Constant, Exponential, InverseScaling, StepDecay
from mlfund.schedules._waves import (
    Cosine,
    CosineRestarts,
    CosLog4,
    FunctionOfProgress,
    LinearWarmup,
    OneCycle,
    Triangular,
    WarmupCosine,
)

__all__ = [
    "SCHEDULES",
    "Adaptive",
    "AdaptiveState",
    "Changes",
    "Constant",
    "CosLog4",
    "Cosine",
    "CosineRestarts",
    "Exponential",
    "FunctionOfProgress",
    "InverseScaling",
    "LinearWarmup",
    "OneCycle",
    "Plateau",
    "Position",
    "Schedule",
    "StepDecay",
    "TimedSchedule",
    "Triangular",
    "WarmupCosine",
    "get_schedule",
]


def get_schedule(schedule: str | Schedule | Callable[[float], float], **options: Any) -> Schedule:
    """Return the schedule of that name, or the instance given, with `options` set.

    Parameters
    ----------
    schedule : str, Schedule or callable
        A name of `SCHEDULES`, an instance, or a function of the share of the run that is
        done, from 0 to 1, which becomes a `FunctionOfProgress`.
    **options : object
        Fields to set, such as ``power_t`` of "invscaling"; `epochs` and `steps_per_epoch`
        of all that do not watch the loss.

    Raises
    ------
    ValueError
        If the name or an option is not known, or an option is out of range.

    Examples
    --------
    >>> get_schedule("invscaling", power_t=0.25)
    InverseScaling(power_t=0.25)
    >>> get_schedule("step", every_epochs=2, steps_per_epoch=5000).factor(10_000, 400_000, 391)
    0.1
    """
    refuse_class("schedule", schedule)
    if callable(schedule):
        schedule = FunctionOfProgress(schedule)
    return resolve("schedule", schedule, SCHEDULES, options)


SCHEDULES: dict[str, Schedule] = {
    "constant": Constant(),
    "invscaling": InverseScaling(),
    "step": StepDecay(),
    "exponential": Exponential(),
    "linear_warmup": LinearWarmup(),
    "cosine": Cosine(),
    "warmup_cosine": WarmupCosine(),
    "cosine_restarts": CosineRestarts(),
    "coslog4": CosLog4(),
    "one_cycle": OneCycle(),
    "triangular": Triangular(),
    "adaptive": Adaptive(),
    "plateau": Plateau(),
}

publish(__name__, globals(), __all__)
