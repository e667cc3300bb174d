"""What a check found, and which check of the table it was."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["fail", "warn", "pass", "skip"]

STATUSES: tuple[Status, ...] = ("fail", "warn", "pass", "skip")

# Where in the course of a training a check looks, in the order of cause and effect.
STAGES = (
    "data",
    "wiring",
    "dead at the start",
    "start",
    "frozen",
    "training",
    "curves",
    "outcome",
)


@dataclass(frozen=True)
class Check:
    """One row of the table of checks.

    Attributes
    ----------
    name : str
        Key in `CHECKS`.
    stage : str
        One of `STAGES`; a failure explains those of later stages.
    asks : str
        The question that the check answers.
    explains : tuple of str
        Stages that a failure explains, where those are not all the later ones.
    """

    name: str
    stage: str
    asks: str
    explains: tuple[str, ...] | None = None

    def explains_stage(self, stage: str) -> bool:
        """Whether a failure of this check may be why one at `stage` fails."""
        if self.explains is not None:
            return stage in self.explains
        return STAGES.index(self.stage) < STAGES.index(stage)


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes
    ----------
    check : str
        Name of the check, a key of `CHECKS`.
    status : {"fail", "warn", "pass", "skip"}
        "skip" is a check that does not apply here; `text` says why.
    number : float
        What was measured; NaN without a measurement.
    unit : str
        What the number is.
    text : str
        What it means, one sentence.
    cure : str
        What to do; empty where nothing is to be done.
    fault : str
        Name of the fault that a failure shows, such as "unscaled input".
    evidence : dict
        Further numbers, by name; per layer or per column where the check has them.
    """

    check: str
    status: Status
    number: float = math.nan
    unit: str = ""
    text: str = ""
    cure: str = ""
    fault: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)


def skipped(check: str, why: str) -> Finding:
    """Return the finding of a check that does not apply."""
    return Finding(check, "skip", text=why)


def graded(value: float, *, warn: float, fail: float) -> Status:
    """Return the status of a number that is bad from `warn` on and worse from `fail` on.

    Examples
    --------
    >>> graded(3.0, warn=2.0, fail=10.0)
    'warn'
    """
    if math.isnan(value) or value >= fail:
        return "fail"
    return "warn" if value >= warn else "pass"


CHECKS: dict[str, Check] = {
    check.name: check
    for check in (
        Check("finite_values", "data", "Are all values of X and y finite?"),
        Check(
            "target_leak", "data", "Does a column of X give y away?", explains=("curves", "outcome")
        ),
        Check(
            "duplicated_rows", "data", "Do rows or batches repeat?", explains=("curves", "outcome")
        ),
        Check("input_scale", "data", "Have the columns of X the scale that networks expect?"),
        Check("constant_columns", "data", "Does every column vary?"),
        Check("target_scale", "data", "Has y the scale that networks expect?"),
        Check("signal", "data", "Does X say anything about y, or were rows shuffled?"),
        Check("loss_fits_target", "wiring", "Is the loss one for this kind of target?"),
        Check("batch_independence", "wiring", "Does an output depend on its own row alone?"),
        Check("deterministic_evaluation", "wiring", "Does evaluation mode repeat itself?"),
        Check("dead_units_at_start", "dead at the start", "Do all units answer to some row?"),
        Check("initial_loss", "start", "Does it start as a network that knows nothing?"),
        Check("initial_activations", "start", "Do signals keep their size from layer to layer?"),
        Check("initial_gradients", "start", "Does the gradient reach every layer, and every unit?"),
        Check("frozen_layers", "frozen", "Does training move every layer?"),
        Check("finite_training", "training", "Do loss and weights stay finite?"),
        Check("learning_rate", "training", "Does another learning rate do far better?"),
        Check("update_size", "training", "Are the steps of a sane size beside the weights?"),
        Check("capacity", "training", "Does a larger network do far better?"),
        Check("regularisation", "training", "Does less regularisation do far better?"),
        Check("epochs", "training", "Does a longer training do far better?"),
        Check("dead_units", "outcome", "Do all units answer to some row after training?"),
        Check("overfits_one_batch", "outcome", "Can the network learn a handful of rows by heart?"),
        Check("beats_baseline", "outcome", "Is it better than a constant on held-out rows?"),
        Check("underfitting", "outcome", "Is it as good as plain trees on held-out rows?"),
        Check("overfitting", "curves", "Do the later epochs help on held-out rows?"),
    )
}
