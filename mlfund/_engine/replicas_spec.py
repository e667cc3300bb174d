"""What is said of stacked trainings: rows, replicas, what they share, what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlfund._engine.objective import Objective
from mlfund.nets.activations import Activation
from mlfund.optimizers import Optimizer
from mlfund.schedules import Schedule

# (raw scores (m, v, k), targets, weights (v,) or None) -> (m,), higher is better
StackedScore = Callable[[Tensor, Tensor, Tensor | None], Tensor]
# (replicas still at work, all replicas) -> None
Report = Callable[[int, int], object]


@dataclass(frozen=True, eq=False)
class Stream:
    """The rows that some replicas are trained on, and their order.

    Replicas of one stream see the same batches: the rows are gathered once for all of them.

    Attributes
    ----------
    rows : ndarray of int64, shape (n_s,)
        Rows of X to train on, in their own order.
    order : callable or None
        Returns the permutation of ``range(n_s)`` of the next epoch; each program calls a deep
        copy of its own. None keeps the rows' own order.
    weight : ndarray of shape (n_s,) or None
        Weights of those rows, above 0.
    valid : ndarray of int64 or None
        Rows of X to score after every epoch.
    valid_weight : ndarray or None
        Their weights.
    affine : (ndarray of shape (d,), ndarray of shape (d,)) or None
        Centre and scale of every column: rows are seen as ``(x - centre) / scale``.
    """

    rows: np.ndarray
    order: Callable[[], np.ndarray] | None = None
    weight: np.ndarray | None = None
    valid: np.ndarray | None = None
    valid_weight: np.ndarray | None = None
    affine: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class Replica:
    """One training.

    Attributes
    ----------
    stream : int
        Number of its stream in the stack.
    coefs, intercepts : list of ndarray
        Initial weights, each (fan_in, fan_out), and biases.
    lr : float
        Base learning rate.
    optimizer : Optimizer
        Entry without decoupled decay of its own; see `stackable_optimizer`.
    l1, l2 : float
        Factors of the sum of absolute weights and of half the sum of squares.
    adam_epsilon : (float, float) or None
        epsilon and beta_2 of `mlfund._engine.rules.adam_epsilon`.
    weight_decay : float
        Decoupled decay of the weights.
    dropout : tuple of float
        A rate for each hidden layer, or empty.
    generator : torch.Generator or None
        Seeds the masks of dropout. A program draws those of all its replicas from one
        stream: they are not the masks of a training of its own.
    label_smoothing : float
        Share of each target spread evenly over the classes.
    clip_norm, clip_value : float or None
        Bounds on the gradient.
    max_norm : float or None
        Bound on the norm of the weights into a unit.
    schedule : Schedule or None
        Of the learning rate.
    rate : "constant", "adaptive" or ("invscaling", float)
        scikit-learn's `learning_rate`, with `power_t`.
    max_epochs : int
        Most epochs.
    tol, patience : float
        Least improvement; stale epochs that are borne.
    early_stopping : bool
        Whether the score of the valid rows is watched, and the best weights are kept.
    """

    stream: int
    coefs: Sequence[np.ndarray]
    intercepts: Sequence[np.ndarray]
    lr: float
    optimizer: Optimizer
    l1: float = 0.0
    l2: float = 0.0
    adam_epsilon: tuple[float, float] | None = None
    weight_decay: float = 0.0
    dropout: tuple[float, ...] = ()
    generator: torch.Generator | None = None
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    clip_value: float | None = None
    max_norm: float | None = None
    schedule: Schedule | None = None
    rate: Any = "constant"
    max_epochs: int = 200
    tol: float = 1e-4
    patience: float = 10
    early_stopping: bool = False


@dataclass(frozen=True, eq=False)
class Stack:
    """What all replicas share.

    Attributes
    ----------
    X : array-like of shape (n, d)
        All rows in the dtype of the computation: an array, a memory map or CSR.
    y : ndarray of shape (n,) or (n, k)
        Encoded targets.
    objective : Objective
        Of a loss of single rows.
    activation : str or Activation
        Of the hidden layers, without learned slopes.
    batch_size : int
        Rows of a batch; a stream of fewer rows has one batch of all of them.
    streams : sequence of Stream
        What the replicas' `stream` counts.
    score : callable or None
        ``(raw (m, v, k), y, weight) -> (m,)`` of m replicas on valid rows.
    device : torch.device or str
        Where to train.
    """

    X: Any
    y: np.ndarray
    objective: Objective
    activation: str | Activation
    batch_size: int
    streams: Sequence[Stream]
    score: StackedScore | None = None
    device: torch.device | str = "cpu"


@dataclass
class Trained:
    """What a replica ended with.

    Attributes
    ----------
    coefs, intercepts : list of ndarray
        Weights, each (fan_in, fan_out), and biases: the best with early stopping, else the
        last; of no use after a divergence.
    loss_curve : list of float
        Mean loss of every epoch, penalties included.
    valid_losses, scores : list of float
        Of the valid rows after every epoch; empty without such rows.
    rates : list of float
        Learning rate that every epoch ended with.
    best_loss : float
        Best loss, or score with early stopping, as `StopOnPlateau` counts.
    stale : int
        Epochs in a row without an improvement at the end.
    stopped : str or None
        Why the training ended; None if epochs ran out.
    bad_epoch : int or None
        First epoch, from 1, of a divergence that was not recovered from.
    seconds : float
        Its share of the time.
    """

    coefs: list[np.ndarray] = field(default_factory=list)
    intercepts: list[np.ndarray] = field(default_factory=list)
    loss_curve: list[float] = field(default_factory=list)
    valid_losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    best_loss: float = np.inf
    stale: int = 0
    stopped: str | None = None
    bad_epoch: int | None = None
    seconds: float = 0.0
