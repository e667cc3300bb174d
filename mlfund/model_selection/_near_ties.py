"""Candidates that their estimators' tolerance does not tell apart, trained to the end.

A stack ends its models, in float32 where that is faster, when their gradients are as small
as `tol` asks for; a single fit ends no nearer to the optimum. Where the best mean scores lie
closer together than that lets them be trusted, the contestants are trained on in float64,
until the best one is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Candidates that are trained on before it is known how far scores are off, and in all.
FIRST, MOST = 2, 8
# Times the largest change that was seen: the distance from the best mean that decides.
SAFETY = 4.0


class NearTies:
    """The contest for the best mean score among the models of one group.

    Parameters
    ----------
    n_models, n_splits : int
        Estimators of the group, and splits each is trained on.
    bound : float
        How far mean scores of about 1 may lie from those of the optimum at first.
    metric : str
        Name of the score that decides, where there are several; if it is none of them, each
        decides for itself.
    elsewhere : mapping of str or None to float
        Best means of other groups, by the name of the score; None is the name of an only one.
    """

    def __init__(
        self,
        n_models: int,
        n_splits: int,
        bound: float,
        metric: str,
        elsewhere: Mapping[str | None, float],
    ) -> None:
        self._shape = n_models, n_splits
        self._bound, self._metric, self._elsewhere = bound, metric, elsewhere
        self._tables: dict[str | None, NDArray[np.float64]] = {}
        self._before: dict[str | None, NDArray[np.float64]] = {}
        # Largest change of a score by name, since models are trained on.
        self._changes: dict[str | None, float] = {}
        self._asked: list[int] = []
        self._finished: list[int] = []

    def note(self, model: int, split: int, scores: Any) -> None:
        """Take the score of a model on a split, or a mapping of scores by name."""
        by_name = scores if isinstance(scores, Mapping) else {None: scores}
        for name, score in by_name.items():
            table = self._tables.setdefault(name, np.full(self._shape, np.nan))
            table[model, split] = score

    def undecided(self) -> list[int]:
        """Return the models to be trained on next, in ascending order; none at the end."""
        self._measure()
        names = [self._metric] if self._metric in self._tables else list(self._tables)
        self._asked = next(filter(None, map(self._contestants, names)), [])
        self._finished += self._asked
        self._before = {name: table[self._asked] for name, table in self._tables.items()}
        return self._asked

    def best(self) -> dict[str | None, float]:
        """Return the best means by the name of the score, of this group and others."""
        means = {name: float(_means(table).max()) for name, table in self._tables.items()}
        return {name: max(mean, self._of_others(name)) for name, mean in means.items()}

    def _of_others(self, name: str | None) -> float:
        return self._elsewhere.get(name, -np.inf)

    def _measure(self) -> None:
        """See how far the scores of the models that were trained on last were off."""
        for name, before in self._before.items():
            change = np.abs(self._tables[name][self._asked] - before).mean(axis=1)
            largest = float(change[np.isfinite(change)].max(initial=0.0))
            if self._asked:
                self._changes[name] = max(largest, self._changes.get(name, 0.0))

    def _contestants(self, name: str | None) -> list[int]:
        means = _means(self._tables[name])
        best = max(means.max(), self._of_others(name))
        if not np.isfinite(best):
            return []
        margin, most = self._bound * max(1.0, abs(best)), FIRST
        if name in self._changes:
            margin, most = SAFETY * self._changes[name], MOST
        near = np.flatnonzero(means >= best - margin)
        if len(near) + (self._of_others(name) >= best - margin) < 2:
            return []
        near = near[np.argsort(-means[near], kind="stable")]
        left = [model for model in near.tolist() if model not in self._finished]
        return sorted(left[: max(min(most, MOST - len(self._finished)), 0)])


def _means(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean scores, the lowest possible for models that could not be scored."""
    means = table.mean(axis=1)
    return np.where(np.isfinite(means), means, -np.inf)
