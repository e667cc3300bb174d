"""Schedules: how the learning rate changes while training runs.

A schedule is a pure function of the position in the run that multiplies the base
learning rate; nothing has to be stepped, saved or restored. The lengths are in
epochs or in shares of the whole run, so another batch size leaves the shape as it
is. The schedules that watch the loss, "adaptive" and "plateau", add a small state
that whoever trains carries from epoch to epoch.

Examples
--------
>>> from mlfund.schedules import get_schedule
>>> cosine = get_schedule("cosine")
>>> [round(cosine.factor(step, 4, 1), 3) for step in range(5)]
[1.0, 0.854, 0.5, 0.146, 0.0]
"""

from __future__ import annotations

from typing import Any

from mlfund._entries import publish, resolve
from mlfund.schedules._adaptive import Adaptive, AdaptiveState, Plateau
from mlfund.schedules._base import Changes, Position, Schedule
from mlfund.schedules._decay import Constant, Exponential, InverseScaling, StepDecay
from mlfund.schedules._waves import Cosine, LinearWarmup, OneCycle, Triangular, WarmupCosine

__all__ = [
    "SCHEDULES",
    "Adaptive",
    "AdaptiveState",
    "Changes",
    "Constant",
    "Cosine",
    "Exponential",
    "InverseScaling",
    "LinearWarmup",
    "OneCycle",
    "Plateau",
    "Position",
    "Schedule",
    "StepDecay",
    "Triangular",
    "WarmupCosine",
    "get_schedule",
]


def get_schedule(schedule: str | Schedule, **options: Any) -> Schedule:
    """Return the schedule of that name, or the instance given, with `options` set.

    Parameters
    ----------
    schedule : str or Schedule
        A name of `SCHEDULES` or an instance.
    **options : object
        Fields to set, such as ``power_t`` of "invscaling".

    Raises
    ------
    ValueError
        If the name or an option is not known, or an option is out of range.

    Examples
    --------
    >>> get_schedule("invscaling", power_t=0.25)
    InverseScaling(power_t=0.25)
    """
    return resolve("schedule", schedule, SCHEDULES, options)


SCHEDULES: dict[str, Schedule] = {
    "constant": Constant(),
    "invscaling": InverseScaling(),
    "step": StepDecay(),
    "exponential": Exponential(),
    "linear_warmup": LinearWarmup(),
    "cosine": Cosine(),
    "warmup_cosine": WarmupCosine(),
    "one_cycle": OneCycle(),
    "triangular": Triangular(),
    "adaptive": Adaptive(),
    "plateau": Plateau(),
}

publish(__name__, globals(), __all__)
