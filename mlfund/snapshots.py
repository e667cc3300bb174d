"""Fitted copies of an estimator, taken while it trains."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

from mlfund._engine.intervals import Clock, read_interval
from mlfund.persistence import save

__all__ = ["SnapshotEvery"]

# What an estimator carries while it is fitted.
_OF_THE_FIT = (
    "_skl_callbacks",
    "_skl_callbacks_to_teardown",
    "_callback_fit_ctx",
    "_parent_callback_ctx",
    "_fit_task",
)


class SnapshotEvery:
    """Callback that keeps a fitted copy of an estimator every few epochs or minutes.

    For ensembles of one training (Huang et al., 2017), or to see how it came about. It is
    a callback of scikit-learn, set by `set_callbacks`, for every estimator that reports
    its iterations. The copies have the weights of their epoch, and predict.

    Parameters
    ----------
    every : int or str
        Epochs (iterations of solvers without) from one snapshot to the next, or a
        duration such as "30s", "5min" or "1h".
    directory : str, path-like or None, default=None
        Folder to write the copies to, by `mlfund.save`, in place of keeping them in
        memory; it is made if it is not there. A training that goes on from a checkpoint
        finds there what was written before. Fits inside a search get folders of their own.

    Attributes
    ----------
    estimators_ : dict of int to estimator
        The copies of the last fit by the number of their epoch, from 1, oldest first.
        Empty with `directory`.
    paths_ : dict of int to Path
        The files of the last fit, with `directory`.

    Raises
    ------
    ValueError
        If `every` is neither a number of epochs nor a duration.

    See Also
    --------
    sklearn.callback.ScoringMonitor : Scores at every epoch.

    Notes
    -----
    In a search over several processes the copies of the workers stay with them: give a
    `directory`, or take those of the last fit, on all rows. For what a killed training
    needs to go on, see `checkpoint_dir` of the neural estimators.

    References
    ----------
    Huang et al. (2017), Snapshot Ensembles: Train 1, get M for free, arXiv 1704.00109.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from mlfund import MLPClassifier, SnapshotEvery
    >>> X, y = load_iris(return_X_y=True)
    >>> snapshots = SnapshotEvery(20)
    >>> model = MLPClassifier((8,), max_iter=60, tol=0, n_iter_no_change=60, random_state=0)
    >>> import warnings
    >>> with warnings.catch_warnings(action="ignore"):
    ...     model = model.set_callbacks(snapshots).fit(X, y)
    >>> list(snapshots.estimators_)
    [20, 40, 60]
    >>> sum(one.predict_proba(X) for one in snapshots.estimators_.values()).shape
    (150, 3)
    """

    def __init__(self, every: int | str, directory: str | os.PathLike[str] | None = None) -> None:
        self.every = every
        self.directory = directory
        self._interval = read_interval("every", every)
        self._begin()

    def _begin(self) -> None:
        self.estimators_: dict[int, Any] = {}
        self.paths_: dict[int, Path] = {}
        self._clock = Clock(self._interval)

    def setup(self, estimator: Any, context: Any) -> None:
        """Forget the snapshots of an earlier fit."""
        self._begin()

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing."""

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, fitted_estimator: Any = None
    ) -> None:
        """Keep the estimator as it is after an epoch, if a snapshot is due."""
        is_epoch = context.max_subtasks == 0 and context.parent is not None
        is_fit = context.source_estimator_name is not None
        if fitted_estimator is None or is_fit or not is_epoch:
            return
        epoch = context.task_id + 1
        if not self._clock.due(epoch):
            return
        snapshot = copy.copy(fitted_estimator)
        for name in _OF_THE_FIT:
            vars(snapshot).pop(name, None)
        if self.directory is None:
            self.estimators_[epoch] = snapshot
            return
        path = self._folder(context) / f"epoch-{epoch:06d}.skops"
        save(snapshot, path)
        self.paths_[epoch] = path

    def _folder(self, context: Any) -> Path:
        """Return the folder of this fit, named by its place in a search if it is in one."""
        assert self.directory is not None
        places = []
        task = context.parent
        while task.parent is not None:
            places.append(str(task.task_id))
            task = task.parent
        folder = Path(self.directory, *(["fit-" + "-".join(reversed(places))] if places else []))
        folder.mkdir(parents=True, exist_ok=True)
        return folder
