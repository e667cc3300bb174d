"""The optimizers of the vocabulary as a few in-place operations on one array of weights.

`torch.optim` spends 50 to 200 microseconds a step whatever the size, more than the
gradient of a linear model over a small batch costs. It also does not say how far a unit
of gradient moved each weight, which the proximal step of an l1 penalty has to know. The
rules below take the same steps (the tests compare them) on numpy arrays and on tensors.
"""

from __future__ import annotations

import math
from typing import Any

from mlfund import optimizers

_FAINT = 1e-8


class Step:
    """One step of gradient descent; subclasses say how gradients become steps.

    Parameters
    ----------
    entry : Optimizer
        The options.
    V : ndarray or Tensor of shape (k, p)
        The weights; gives shape, dtype and place of the state.
    xp : module
        numpy or torch, whichever `V` belongs to.
    n_weights : int
        Columns of `V` that are weights; `weight_decay` leaves intercepts alone.

    Attributes
    ----------
    t : int
        Steps taken.
    state : dict of str to array
        What the rule remembers, each of the shape of `V`.
    """

    memory: tuple[str, ...] = ()

    def __init__(self, entry: Any, V: Any, xp: Any, n_weights: int) -> None:
        self.entry, self.xp, self.n_weights = entry, xp, n_weights
        self.t = 0
        self.state = {name: xp.zeros_like(V) for name in self.memory}

    def __call__(self, V: Any, G: Any, learning_rate: float) -> Any:
        """Move `V` along the gradient `G`, which may be overwritten.

        Returns
        -------
        float or array of shape (k, p)
            How far a constant unit of gradient would move each weight in a step.
        """
        self.t += 1
        decay = self.entry.weight_decay
        if decay:
            self._decay(V[:, : self.n_weights], G[:, : self.n_weights], learning_rate, decay)
        return self._move(V, G, learning_rate)

    def _decay(self, W: Any, G: Any, learning_rate: float, decay: float) -> None:
        G += decay * W

    def _move(self, V: Any, G: Any, learning_rate: float) -> Any:
        V -= learning_rate * G
        return learning_rate


class MomentumStep(Step):
    """Heavy-ball momentum."""

    memory = ("velocity",)

    def _move(self, V: Any, G: Any, learning_rate: float) -> Any:
        momentum, velocity = self.entry.momentum, self.state["velocity"]
        velocity *= momentum
        velocity += G
        V -= learning_rate * self._direction(G, velocity, momentum)
        return learning_rate / (1.0 - momentum) if momentum < 1 else learning_rate

    def _direction(self, G: Any, velocity: Any, momentum: float) -> Any:
        return velocity


class NesterovStep(MomentumStep):
    """Momentum that looks one step ahead."""

    def _direction(self, G: Any, velocity: Any, momentum: float) -> Any:
        return G + momentum * velocity


class AdagradStep(Step):
    """Steps shrink with the sum of squared gradients."""

    memory = ("sum_of_squares",)

    def _move(self, V: Any, G: Any, learning_rate: float) -> Any:
        total = self.state["sum_of_squares"]
        total += G * G
        length = learning_rate / (self.xp.sqrt(total) + self.entry.epsilon)
        V -= length * G
        return length


class RMSPropStep(Step):
    """Steps are divided by a running root mean square."""

    memory = ("mean_square", "velocity")

    def _move(self, V: Any, G: Any, learning_rate: float) -> Any:
        entry, square = self.entry, self.state["mean_square"]
        square *= entry.beta_2
        square += (1.0 - entry.beta_2) * G * G
        length = learning_rate / (self.xp.sqrt(square) + entry.epsilon)
        if not entry.momentum:
            V -= length * G
            return length
        velocity = self.state["velocity"]
        velocity *= entry.momentum
        velocity += G * (length / learning_rate) if learning_rate else 0.0
        V -= learning_rate * velocity
        return length / (1.0 - entry.momentum)


class AdamStep(Step):
    """First and second moments, both corrected for their start."""

    memory = ("mean", "mean_square")

    def _move(self, V: Any, G: Any, learning_rate: float) -> Any:
        entry, mean, square = self.entry, self.state["mean"], self.state["mean_square"]
        mean *= entry.beta_1
        mean += (1.0 - entry.beta_1) * G
        G *= G
        square *= entry.beta_2
        square += (1.0 - entry.beta_2) * G
        length = self.xp.sqrt(square)
        length *= 1.0 / math.sqrt(1.0 - entry.beta_2**self.t)
        length += entry.epsilon
        length = learning_rate / length
        V -= (length * mean) * (1.0 / (1.0 - entry.beta_1**self.t))
        return length


class AdamWStep(AdamStep):
    """Adam whose decay acts on the weights, not through the moments."""

    def _decay(self, W: Any, G: Any, learning_rate: float, decay: float) -> None:
        W *= 1.0 - learning_rate * decay


class LionStep(Step):
    """Every weight moves by the learning rate, by the sign of a momentum."""

    memory = ("momentum",)

    def _decay(self, W: Any, G: Any, learning_rate: float, decay: float) -> None:
        W *= 1.0 - learning_rate * decay

    def _move(self, V: Any, G: Any, learning_rate: float) -> Any:
        entry, momentum = self.entry, self.state["momentum"]
        direction = entry.beta_1 * momentum + (1.0 - entry.beta_1) * G
        momentum *= entry.beta_2
        momentum += (1.0 - entry.beta_2) * G
        V -= learning_rate * self.xp.sign(direction)
        # Where the direction vanishes, any unit of gradient would move the weight far.
        return learning_rate / self.xp.clip(abs(direction), _FAINT, None)


_STEPS: dict[type, type[Step]] = {
    optimizers.SGD: Step,
    optimizers.Momentum: MomentumStep,
    optimizers.Nesterov: NesterovStep,
    optimizers.Adagrad: AdagradStep,
    optimizers.RMSProp: RMSPropStep,
    optimizers.Adam: AdamStep,
    optimizers.AdamW: AdamWStep,
    optimizers.Lion: LionStep,
}


def make_step(entry: optimizers.Optimizer, V: Any, xp: Any, n_weights: int) -> Step:
    """Return the rule of an optimizer, with a fresh state.

    Raises
    ------
    ValueError
        If the optimizer is of a class of the user's own, or one for the matrices of nets.
    """
    rule = _STEPS.get(type(entry))
    if rule is None:
        known = [name for name, one in optimizers.OPTIMIZERS.items() if type(one) in _STEPS]
        raise ValueError(
            f"solver='sgd' cannot run the optimizer {entry!r} of class {type(entry).__name__}; "
            f"use one of {', '.join(map(repr, known))}, or an instance of theirs."
        )
    return rule(entry, V, xp, n_weights)
