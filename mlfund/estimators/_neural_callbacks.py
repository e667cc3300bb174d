"""What accompanies the training of a neural estimator: reports, callbacks, checkpoints."""

from __future__ import annotations

import copy
import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mlfund._engine.callbacks import ProgressText
from mlfund._engine.checkpoint import Checkpoints
from mlfund._engine.intervals import read_interval
from mlfund._engine.net import Engine
from mlfund._engine.reports import ProgressTable, TellEpoch
from mlfund._files import fingerprint, source_of

# How often a checkpoint is written when `checkpoint_every` does not say.
DEFAULT_INTERVAL = "1min"
# Parameters that say what is told and kept of a training, not what it does,
TOLD = ("checkpoint_dir", "checkpoint_every", "verbose")
# and what is in the rows already.
NOT_PART = (*TOLD, "validation_split")


class FitTask:
    """A fit as scikit-learn's callbacks see it: a task with a subtask for each epoch.

    Parameters
    ----------
    estimator : BaseNeural
        Being fitted, with callbacks from `set_callbacks` or from a meta-estimator.
    X, y, sample_weight : array-like
        As they were given to `fit`.
    """

    def __init__(self, estimator: Any, X: Any, y: Any, sample_weight: Any) -> None:
        self.estimator = estimator
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self.data = {"X": X, "y": y, "metadata": metadata}
        self.context = estimator._init_callback_context(max_subtasks=estimator._max_epochs())
        self.context.call_on_fit_task_begin(estimator=estimator, **self.data)
        self._told = 0

    def tell(self, net: Engine) -> bool:
        """Tell of the epoch that has ended; return whether a callback asks to stop."""
        for _ in range(self._told, len(net.history) - 1):
            # Epochs of an earlier process, before a checkpoint: nothing is left to see.
            self._epoch(None)
        return self._epoch(functools.partial(fitted_attributes, self.estimator, net))

    def end(self) -> None:
        """Tell that the estimator is fitted."""
        self.context.call_on_fit_task_end(
            estimator=self.estimator, reconstruction_attributes={}, **self.data
        )

    def _epoch(self, attributes: Any) -> bool:
        self._told += 1
        task = self.context.subcontext(task_name="epoch")
        task.call_on_fit_task_begin(estimator=self.estimator, **self.data)
        return bool(
            task.call_on_fit_task_end(
                estimator=self.estimator, reconstruction_attributes=attributes, **self.data
            )
        )


@contextmanager
def watched(
    estimator: Any, X: Any, y: Any, sample_weight: Any, *, incremental: bool
) -> Iterator[None]:
    """Let scikit-learn's callbacks watch a fit; `partial_fit` is not for them."""
    if incremental:
        yield
        return
    estimator._fit_task = task = FitTask(estimator, X, y, sample_weight)
    try:
        yield
    finally:
        del estimator._fit_task
    task.end()


def fitted_attributes(estimator: Any, net: Engine) -> dict[str, Any] | None:
    """Return the attributes that `estimator` would have if the fit ended with this epoch.

    The weights are those of the epoch, whether or not they are the best so far. None if
    one of them is not finite.
    """
    if not net.parameters.is_finite():
        return None
    shadow = copy.copy(estimator)
    shadow._publish_module(net.module_)
    shadow.n_iter_ = len(net.history)
    shadow.loss_ = net.history[-1]["train_loss"]
    shadow.loss_curve_ = list(net.history[:, "train_loss"])
    before = vars(estimator)
    return {name: value for name, value in vars(shadow).items() if before.get(name) is not value}


def reports(estimator: Any) -> list[Any]:
    """Return the engine's callbacks that tell of the training, none if nobody listens."""
    told: list[Any] = []
    if estimator.verbose:
        told.append(ProgressTable() if estimator.verbose > 1 else ProgressText())
    task = getattr(estimator, "_fit_task", None)
    if task is not None and getattr(estimator, "_skl_callbacks", None):
        told.append(TellEpoch(task.tell))
    return told


def checkpoints(estimator: Any) -> list[Any]:
    """Return the engine's callback that writes checkpoints and resumes, if that is asked for.

    Raises
    ------
    ValueError
        If the training could not be found again: without a seed, or with a parameter
        that has no fingerprint.
    """
    if estimator.checkpoint_dir is None:
        return []
    every = estimator.checkpoint_every
    interval = read_interval("checkpoint_every", DEFAULT_INTERVAL if every is None else every)
    announce = sys.stdout.write if estimator.verbose else None
    root = Path(estimator.checkpoint_dir)
    return [Checkpoints(root, interval, identity_of(estimator), announce)]


def check_checkpoints(estimator: Any, *, incremental: bool) -> None:
    """Raise ValueError where checkpoints are asked for and can do no good."""
    if estimator.checkpoint_dir is None:
        if estimator.checkpoint_every is not None:
            raise ValueError(
                f"checkpoint_every={estimator.checkpoint_every!r} needs a folder: "
                "give checkpoint_dir too."
            )
        return
    if incremental:
        raise ValueError(
            "partial_fit does not support checkpoint_dir: each call is one epoch, after which "
            "the caller may save the estimator."
        )
    if estimator.random_state is None:
        raise ValueError(
            "checkpoint_dir needs a seed: with random_state=None a training that was killed "
            "cannot be told from a new one. Set random_state to an integer."
        )
    checkpoints(estimator)


def identity_of(estimator: Any, without: Sequence[str] = NOT_PART) -> dict[str, Any]:
    """Return what tells the training of this estimator from others: class and parameters.

    Parameters
    ----------
    estimator : estimator
    without : sequence of str
        Parameters that do not count.

    Raises
    ------
    ValueError
        If a parameter has no content that is the same in another process.
    """
    # Estimators within others may hold what only the outer ones have as parameters.
    listed = getattr(estimator, "_identifying_params", None)
    given = estimator.get_params(deep=False) if listed is None else listed()
    parameters = {}
    for name, value in given.items():
        if name in without:
            continue
        try:
            parameters[name] = contents_of(value)
        except TypeError as error:
            raise ValueError(
                f"checkpoint_dir needs parameters that are the same in another process, and "
                f"{name}={value!r} is not: {error}"
            ) from error
    kind = type(estimator)
    identity = {"estimator": f"{kind.__module__}.{kind.__qualname__}", "parameters": parameters}
    source = source_of(kind)
    return identity if source is None else {**identity, "source": source}


def contents_of(value: Any) -> Any:
    """Return a parameter as `fingerprint` takes it, with the source of the user's code.

    Raises
    ------
    TypeError
        If that cannot be done.
    ValueError
        If it cannot for a parameter of an estimator.
    """
    if isinstance(value, torch.device | torch.dtype):
        return str(value)
    if hasattr(value, "get_params") and not isinstance(value, type):
        return identity_of(value, TOLD)
    if isinstance(value, list | tuple):
        return [contents_of(item) for item in value]
    if isinstance(value, Mapping):
        return {key: contents_of(item) for key, item in value.items()}
    if isinstance(value, functools.partial):
        return [contents_of(part) for part in (value.func, value.args, value.keywords)]
    source = source_of(value if hasattr(value, "__qualname__") else type(value))
    try:
        fingerprint(value)
    except TypeError:
        # Scorers and splitters, for instance: they are their class and their attributes.
        if not hasattr(value, "__dict__") or hasattr(value, "__qualname__"):
            raise
        attributes = {name: contents_of(item) for name, item in vars(value).items()}
        return [type(value), attributes, source]
    return value if source is None else [value, source]
