"""Rows set aside during a training: which they are, and the score on them."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.metrics import get_scorer
from sklearn.model_selection import check_cv
from torch import Tensor, nn

from mlfund._engine.data import DeviceRows
from mlfund._engine.net import Score
from mlfund.estimators._neural_rows import HostRows
from mlfund.folds import FoldPlan
from mlfund.losses import Loss

TOO_SMALL = (
    "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
)


def hold_out(
    estimator: Any, rows: HostRows, random_state: np.random.RandomState
) -> tuple[HostRows, HostRows]:
    """Return the rows to train on, and those that `validation_split` or chance sets aside.

    Without a `validation_split`, a share of `validation_fraction` is drawn, stratified by
    class; whole groups where there are groups.
    """
    if estimator.validation_split is not None:
        train, valid = _last_split(estimator, rows)
        if len(valid) < 2:
            raise ValueError(TOO_SMALL)
    else:
        train, valid = drawn_share(
            rows.target, estimator._task(), estimator.validation_fraction, random_state, rows.groups
        )
    return rows.take(train), rows.take(valid)


def drawn_share(
    target: np.ndarray,
    task: str,
    fraction: float,
    random_state: int | np.random.RandomState,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return places of the rows to train on and of at least two to validate on.

    Parameters
    ----------
    target : ndarray of shape (n,) or (n, k)
        Classes as codes, or real targets.
    task : str
        As `mlfund.folds` names it; every class keeps a row to train on.
    fraction : float
        Share of the rows to validate on.
    random_state : int or RandomState instance
        Draws them.
    groups : ndarray of shape (n,), optional
        Whole groups are drawn.

    Raises
    ------
    ValueError
        If there are too few rows.
    """
    if fraction == 0 or len(target) < 3:
        raise ValueError(TOO_SMALL)
    train, valid = FoldPlan.holdout(
        target, task=task, fraction=fraction, groups=groups, random_state=random_state
    )[0]
    if len(valid) < 2:
        raise ValueError(TOO_SMALL)
    return train, valid


def _last_split(estimator: Any, rows: HostRows) -> tuple[np.ndarray, np.ndarray]:
    """Return training and validation rows of the splitter's last split.

    The last one, since splitters that go forward in time train on the most rows there.
    """
    classifies = estimator._task() != "regression"
    splitter = check_cv(estimator.validation_split, rows.y, classifier=classifies)
    train, valid = list(splitter.split(rows.X, rows.y, rows.groups))[-1]
    if len(train) == 0:
        raise ValueError(
            f"validation_split={estimator.validation_split!r} leaves no row to train on."
        )
    return np.asarray(train), np.asarray(valid)


def score_of(estimator: Any, module: nn.Module, loss: Loss, held_out: HostRows) -> Score:
    """Return the ``(raw, rows) -> float`` that `scoring` asks for; higher is better.

    Parameters
    ----------
    estimator : BaseNeural
        Its classes are known; it need not be fitted.
    module : torch.nn.Module
        The module in training.
    loss : Loss
        What is minimised.
    held_out : HostRows
        The rows that will be scored.
    """
    scoring = estimator.scoring
    if scoring is None:
        return _finite_only(estimator._validation_score)
    if scoring == "loss":
        return lambda raw, rows: -float(loss.mean(raw, rows.y, rows.weight))
    if isinstance(scoring, str):
        return _finite_only(_NamedScore(estimator, get_scorer(scoring), held_out))
    return _finite_only(_OwnScore(estimator, scoring, held_out, module))


def _finite_only(score: Score) -> Score:
    """Return a score that is NaN where a raw score is not finite."""

    def guarded(raw: Tensor, rows: DeviceRows) -> float:
        return score(raw, rows) if bool(torch.isfinite(raw).all()) else math.nan

    return guarded


class _NamedScore:
    """A scorer of scikit-learn, given the raw scores that the engine has anyway."""

    def __init__(self, estimator: Any, scorer: Callable[..., float], held_out: HostRows) -> None:
        self.scorer = scorer
        self.held_out = held_out
        self.reporter = copy.copy(estimator)

    def __call__(self, raw: Tensor, rows: DeviceRows) -> float:
        known = raw.cpu().numpy()
        # A scorer predicts nothing but the rows it is given, so their raw scores do.
        vars(self.reporter)["_raw"] = lambda X: known.copy()
        return _call_scorer(self.scorer, self.reporter, self.held_out)


class _OwnScore:
    """The user's ``scorer(estimator, X, y)``, which may ask the estimator for anything."""

    def __init__(
        self, estimator: Any, scorer: Callable[..., float], held_out: HostRows, module: nn.Module
    ) -> None:
        self.scorer = scorer
        self.held_out = dataclasses.replace(held_out, X=estimator._as_given(held_out.X))
        self.module = module
        self.reporter = estimator._reporter()

    def __call__(self, raw: Tensor, rows: DeviceRows) -> float:
        self.reporter._publish_module(self.module)
        return _call_scorer(self.scorer, self.reporter, self.held_out)


def _call_scorer(scorer: Callable[..., float], reporter: Any, rows: HostRows) -> float:
    if rows.weight is None:
        return float(scorer(reporter, rows.X, rows.y))
    return float(scorer(reporter, rows.X, rows.y, sample_weight=rows.weight))
