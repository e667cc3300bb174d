"""Rules that run before each optimizer step: learning rates, decay, scikit-learn's Adam."""

from __future__ import annotations

import math

from mlfund._engine.net import Engine, StepRule
from mlfund.schedules import Schedule


def adam_epsilon(epsilon: float, beta_2: float) -> StepRule:
    """Return the rule that makes torch's Adam take scikit-learn's steps.

    scikit-learn adds epsilon to the square root of the second moment before its bias
    correction, torch after it. Dividing epsilon by the correction of step t makes the
    two equal; it matters for gradients near epsilon, those of dead units under L2.
    """

    def rule(net: Engine) -> None:
        corrected = epsilon / math.sqrt(1.0 - beta_2**net.n_steps_)
        for group in net.optimizer_.param_groups:
            group["eps"] = corrected

    return rule


def decoupled_decay(strength: float) -> StepRule:
    """Return the rule that shrinks weights, not biases, by ``lr * strength`` a step."""

    def rule(net: Engine) -> None:
        lr = net.optimizer_.param_groups[0]["lr"]
        net.parameters.weights.mul_(1.0 - lr * strength)

    return rule


def follow_schedule(
    schedule: Schedule, lr: float, total_steps: int, rows_per_epoch: int, steps_per_epoch: int
) -> StepRule:
    """Return the rule that sets the learning rate of each step.

    Parameters
    ----------
    schedule : Schedule
        A schedule that is a function of the position in the run.
    lr : float
        Base learning rate.
    total_steps, steps_per_epoch : int
        Steps of the whole run and of an epoch.
    rows_per_epoch : int
        Rows of an epoch.
    """

    def rule(net: Engine) -> None:
        factor = schedule.factor(
            net.n_steps_ - 1, total_steps, steps_per_epoch, rows_per_epoch=rows_per_epoch
        )
        net.set_lr(lr * factor)

    return rule
