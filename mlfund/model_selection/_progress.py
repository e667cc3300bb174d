"""The line that says where a search stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mlfund._progress_line import ProgressLine


class SearchProgress:
    """Tells on the standard output how many models are done, how many alive, and the best.

    Parameters
    ----------
    verbose : int
        0 tells nothing.
    n_candidates, n_splits : int
        A model is a candidate trained on a split.
    metric : str, default="score"
        Name of the score that is told where there are several; the first where there is
        none of this name.
    """

    def __init__(
        self, verbose: int, n_candidates: int, n_splits: int, metric: str = "score"
    ) -> None:
        self.metric = metric
        self._scores = np.full((n_candidates, n_splits), np.nan)
        self._done = np.zeros((n_candidates, n_splits), dtype=bool)
        self._alive: int | None = None
        self._resumed = 0
        self._verbose = verbose

    def __enter__(self) -> SearchProgress:
        """Begin to count the time."""
        self._line = ProgressLine(self._verbose)
        return self

    def __exit__(self, *error: object) -> None:
        """Tell how it ended."""
        self._alive = None
        self._line.end(self._text())

    def report(self, alive: int, total: int) -> None:
        """Note how many of the models trained now are still at work."""
        self._alive = alive
        self._line.tell(self._text)

    def finished(
        self, results: Iterable[tuple[int, int, Mapping[str, Any]]], *, resumed: bool = False
    ) -> None:
        """Note models that are trained and scored.

        Parameters
        ----------
        results : iterable of (candidate, split, result)
            Results have `test_scores`, a number or a mapping by metric.
        resumed : bool, default=False
            Whether an earlier search had trained them.
        """
        for candidate, split, result in results:
            scores = result["test_scores"]
            if isinstance(scores, Mapping):
                scores = scores.get(self.metric, next(iter(scores.values()), np.nan))
            self._scores[candidate, split] = scores
            self._done[candidate, split] = True
            self._resumed += resumed
        self._line.tell(self._text)

    def _text(self) -> str:
        done, total = int(self._done.sum()), self._done.size
        parts = [f"{done:{len(str(total))}d}/{total} models done"]
        if self._resumed:
            parts[0] += f" ({self._resumed} of them before)"
        if self._alive is not None:
            parts.append(f"{self._alive} alive")
        parts.append(f"{self._line.seconds:.1f} s")
        whole = self._scores[self._done.all(axis=1)].mean(axis=1)
        if np.isfinite(whole).any():
            name = "score" if self.metric == "score" else self.metric
            parts.append(f"best mean {name} {np.nanmax(whole[np.isfinite(whole)]):.5g}")
        return "  ".join(parts)
