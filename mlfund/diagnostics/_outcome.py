"""What a training came to: losses on held-out rows, beside a constant and beside others."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mlfund._engine.net import Engine
from mlfund.diagnostics._dependence import skill_of
from mlfund.diagnostics._material import Material, Trained, caught_in
from mlfund.diagnostics._probe import raw_scores, row_losses, weights_of
from mlfund.diagnostics._trials import best_constant


@dataclass
class Outcome:
    """A training and its losses, each the weighted mean over rows.

    Attributes
    ----------
    material : Material
        What was trained.
    trained : Trained
        The training.
    net : Engine or None
        With the module as the training left it; None if there was none.
    """

    material: Material
    trained: Trained
    net: Engine | None

    @property
    def finite(self) -> bool:
        """Whether the training ended by itself, with weights."""
        return self.trained.error is None and not self.diverged

    @property
    def diverged(self) -> str:
        """What `fit` said of a divergence; empty if there was none."""
        if self.trained.error is not None:
            return str(self.trained.error)
        return next((text for text in self.trained.warnings if "diverged" in text), "")

    @cached_property
    def epochs(self) -> list[int]:
        """Epochs at which held-out rows were looked at."""
        return self.trained.probe.record.epochs

    @cached_property
    def valid_curve(self) -> np.ndarray:
        """Mean held-out loss at these epochs."""
        weight = weights_of(self.material.start.valid)
        losses = self.trained.probe.record.valid_losses
        return np.array([np.average(rows, weights=weight) for rows in losses])

    @property
    def kept_loss(self) -> float:
        """Mean held-out loss of the weights that the training kept."""
        return float(np.average(self.last_rows, weights=weights_of(self.material.start.valid)))

    @property
    def best(self) -> int:
        """Index into `epochs` of the smallest held-out loss."""
        return int(np.nanargmin(self.valid_curve))

    @property
    def best_rows(self) -> np.ndarray:
        """Loss of every held-out row at the best epoch."""
        return self.trained.probe.record.valid_losses[self.best]

    @property
    def last_rows(self) -> np.ndarray:
        """Loss of every held-out row under the weights that the training kept."""
        kept = self.trained.probe.record.kept_losses
        return self.trained.probe.record.valid_losses[-1] if kept is None else kept

    @property
    def unstable(self) -> bool:
        """Whether the training loss, too, ended above where it was at the best epoch.

        Then the training came apart; it did not go on learning its rows by heart.
        """
        curve = self.trained.probe.record.train_losses
        place = self.epochs[self.best] if self.epochs else 0
        return 0 < place < len(curve) and curve[-1] > curve[place - 1]

    @property
    def train_loss(self) -> float:
        """Training loss at the end."""
        curve = self.trained.probe.record.train_losses
        return curve[-1] if curve else float(self.trained.estimator.loss_)

    @cached_property
    def skill(self) -> float:
        """Skill of the predictions for the held-out rows; see `skill_of`."""
        return skill_of(
            self.predicted,
            self.material.y_valid,
            self.material.y,
            classification=self.material.classification,
        )

    @cached_property
    def predicted(self) -> np.ndarray:
        """Predictions for the held-out rows."""
        return np.asarray(self.trained.estimator.predict(self.material.X_valid))


def outcome_of(material: Material, trained: Trained) -> Outcome:
    """Bring a training into one shape, whether it went by epochs or by L-BFGS."""
    net = trained.probe.net_
    if net is None and trained.error is None:
        net = captured_again(trained.estimator, material)
        record = trained.probe.record
        start, valid = material.start.net, material.start.valid
        for epoch, engine in ((0, start), (1, net)):
            record.epochs.append(epoch)
            record.valid_losses.append(row_losses(engine, raw_scores(engine, valid), valid))
        for record_of, engine in ((record.start, start), (record.end, net)):
            record_of.update(
                {name: p.detach().clone() for name, p in engine.module_.named_parameters()}
            )
    return Outcome(material, trained, net)


def captured_again(estimator: Any, material: Material) -> Engine:
    """Return an engine that holds the module of a fitted estimator; it is not trained on."""
    again = copy.deepcopy(estimator).set_params(warm_start=True)
    return caught_in(again, material.X, material.y).net


@dataclass(frozen=True)
class Constant:
    """The loss of raw scores that are the same for every row, fitted on the training rows.

    Attributes
    ----------
    train : float
        Mean loss on the training rows.
    valid_rows : ndarray of shape (n_valid,)
        Loss of every held-out row.
    valid : float
        Their weighted mean.
    """

    train: float
    valid_rows: np.ndarray
    valid: float


def constant_of(material: Material) -> Constant:
    """Fit the constant."""
    net, train, valid = material.start.net, material.start.train, material.start.valid
    raw, raw_valid = raw_scores(net, train), raw_scores(net, valid)
    constant = best_constant(net, raw, train)
    rows = row_losses(net, constant.expand_as(raw_valid), valid)
    fitted = np.average(row_losses(net, constant.expand_as(raw), train), weights=weights_of(train))
    return Constant(float(fitted), rows, float(np.average(rows, weights=weights_of(valid))))


def errors_apart(worse: np.ndarray, better: np.ndarray, weight: np.ndarray) -> float:
    """Return the mean difference of paired losses, in its standard errors.

    Examples
    --------
    >>> import numpy as np
    >>> round(errors_apart(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.5, 2.0]), np.ones(3)), 2)
    6.12
    """
    gap = worse - better
    weight = weight / weight.sum()
    mean = float(gap @ weight)
    spread = math.sqrt(float(np.square(weight) @ np.square(gap - mean)))
    if spread == 0:
        return math.copysign(math.inf, mean) if mean else 0.0
    return mean / spread
