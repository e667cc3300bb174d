"""Rules that run around each optimizer step: rates, decay, clipping, bounds on weights.

A rule is called with the engine. Those for `rules` run between gradient and update,
those for `after_step` after it. One that only sets numbers on the host is a `HostRule`;
the others are device work without a synchronisation, so that a step can be captured.
"""

from __future__ import annotations

import math

import torch

from mlfund._engine.net import Engine
from mlfund._engine.step import HostRule, StepRule
from mlfund.schedules import Schedule


def adam_epsilon(epsilon: float, beta_2: float) -> StepRule:
    """Return the rule that makes torch's Adam take scikit-learn's steps.

    scikit-learn adds epsilon to the square root of the second moment before its bias
    correction, torch after it. Dividing epsilon by the correction of step t makes the
    two equal; it matters for gradients near epsilon, those of dead units under L2.
    """

    def set_epsilon(net: Engine, value: float) -> None:
        for group in net.optimizer_.param_groups:
            group["eps"] = value

    def rule(net: Engine) -> None:
        set_epsilon(net, epsilon / math.sqrt(1.0 - beta_2**net.n_steps_))

    # A captured step keeps the number it was captured with: torch's own reading.
    return HostRule(rule, on_capture=lambda net: set_epsilon(net, epsilon))


def decoupled_decay(strength: float) -> StepRule:
    """Return the rule that shrinks weights, not biases, by ``lr * strength`` a step.

    The rate is that of their group where groups of layers have rates of their own.
    """

    def rule(net: Engine) -> None:
        groups = net.optimizer.groups
        if groups is not None:
            groups.decay(net.optimizer_, strength)
            return
        lr = net.optimizer_.param_groups[0]["lr"]
        net.parameters.weights.mul_(1.0 - lr * strength)

    return rule


def clip_value(limit: float) -> StepRule:
    """Return the rule that clips each component of the gradient to ``[-limit, limit]``."""

    def rule(net: Engine) -> None:
        net.parameters.grad.clamp_(-limit, limit)

    return rule


def clip_norm(limit: float) -> StepRule:
    """Return the rule that scales the whole gradient down to the norm `limit`.

    The numbers are those of `torch.nn.utils.clip_grad_norm_`, over all parameters.

    References
    ----------
    Pascanu, Mikolov and Bengio (2013), On the difficulty of training recurrent neural
    networks, ICML.
    """

    def rule(net: Engine) -> None:
        gradient = net.parameters.grad
        norm = torch.linalg.vector_norm(gradient)
        gradient.mul_((limit / (norm + 1e-6)).clamp_(max=1.0))

    return rule


def max_norm(limit: float, unit_axis: int = 0) -> StepRule:
    """Return the rule that bounds the norm of the weights into each unit, after a step.

    Parameters
    ----------
    limit : float
        Largest norm; longer columns are scaled to it.
    unit_axis : int, default=0
        The axis of the weight matrices that runs over units.

    References
    ----------
    Srivastava et al. (2014), Dropout: a simple way to prevent neural networks from
    overfitting, JMLR 15.
    """

    def rule(net: Engine) -> None:
        for matrix in net.parameters.matrices(unit_axis):
            matrix.renorm_(2, 0, limit)

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

    return HostRule(rule)
