"""Checkpoints of searches: what a search asks of them, and which searches can have them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, Protocol

from sklearn.model_selection._split import _yields_constant_splits

from mlfund.model_selection._search_task import Result, SearchTask


class Scores(Protocol):
    """Where the results of finished models are kept."""

    def get(self, parameters: Mapping[str, Any], split: int) -> Result | None:
        """Return the result of a model that an earlier search finished, or None."""

    def put(self, finished: Iterable[tuple[Mapping[str, Any], int, Result]]) -> None:
        """Keep the results of models: parameters of the candidate, split, result."""

    def clear(self) -> None:
        """Forget all: the search has ended."""


def open_scores(directory: str | os.PathLike[str] | None, task: SearchTask) -> Scores:
    """Return the scores of finished models of an evaluation.

    Parameters
    ----------
    directory : path or None
        The `checkpoint_dir` of the search; made if it is not there. None keeps nothing.
    task : SearchTask
        What the candidates are fitted to and scored by.

    Raises
    ------
    ValueError
        If something in the task has no content that another process could find again.
    """
    if directory is None:
        return NoScores()
    # imports torch, which a search over linear models does without
    from mlfund.model_selection._stored_scores import StoredScores

    return StoredScores(Path(directory), task)


def check_resumable(directory: Any, cv: Any, random_state: Any = 0) -> None:
    """Raise ValueError where a search that is called again would evaluate other models.

    Parameters
    ----------
    directory : path or None
        The `checkpoint_dir` of the search; without one everything is allowed.
    cv : cross-validation splitter
    random_state : int, RandomState or None
        Of the search, where it draws candidates or rows.
    """
    if directory is None:
        return
    if not _yields_constant_splits(cv):
        raise ValueError(
            f"checkpoint_dir needs a cv that gives the same splits when the search is called "
            f"again; got {cv!r}. Set its random_state to an integer."
        )
    if not isinstance(random_state, Integral):
        raise ValueError(
            f"checkpoint_dir needs a search that draws the same candidates when it is called "
            f"again; got random_state={random_state!r}. Set it to an integer."
        )


class NoScores:
    """Keeps nothing."""

    def get(self, parameters: Mapping[str, Any], split: int) -> Result | None:
        """Return None."""
        return None

    def put(self, finished: Iterable[tuple[Mapping[str, Any], int, Result]]) -> None:
        """Keep nothing."""

    def clear(self) -> None:
        """Do nothing."""
