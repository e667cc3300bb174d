"""Splits that train on the same rows: parts of the rows that are looked at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Partition:
    """Parts of the rows that some splits' training sets are put together from.

    Attributes
    ----------
    splits : list of int
        Positions of the splits.
    parts : list of ndarray of int
        Row numbers, without those that no split trains on.
    trains_on : ndarray of bool of shape (len(splits), len(parts))
    """

    splits: list[int]
    parts: list[NDArray[np.intp]]
    trains_on: NDArray[np.bool_]


def partitions(trains: Sequence[NDArray[np.intp]], n: int) -> Iterator[Partition]:
    """Yield partitions that together hold every split once.

    The folds of k-fold cross-validation are one partition of k parts, each repeat of
    repeated cross-validation is another, and splits that have little in common share no
    parts. A split that trains on a row twice must not be among them.

    Parameters
    ----------
    trains : sequence of ndarray of int
        Row numbers each split trains on, without repetition.
    n : int
        Number of rows.

    Examples
    --------
    >>> import numpy as np
    >>> folds = [np.array([2, 3, 4, 5]), np.array([0, 1, 4, 5]), np.array([0, 1, 2, 3])]
    >>> [(one.splits, len(one.parts)) for one in partitions([*folds, np.array([1, 2, 4])], 6)]
    [([0, 1, 2], 3), ([3], 1)]
    """
    splits: list[int] = []
    part_of = np.zeros(n, dtype=np.intp)
    for split, train in enumerate(trains):
        refined = 2 * part_of
        refined[train] += 1
        present = np.bincount(refined) > 0
        if splits and present.sum() > len(splits) + 2:
            yield _partition(splits, trains, part_of)
            splits, refined = [], np.zeros(n, dtype=np.intp)
            refined[train] = 1
            present = np.bincount(refined) > 0
        splits = [*splits, split]
        part_of = (np.cumsum(present) - 1)[refined]
    if splits:
        yield _partition(splits, trains, part_of)


def _partition(
    splits: list[int], trains: Sequence[NDArray[np.intp]], part_of: NDArray[np.intp]
) -> Partition:
    order = np.argsort(part_of, kind="stable")
    parts = np.split(order, np.bincount(part_of).cumsum()[:-1])
    trains_on = np.zeros((len(splits), len(parts)), dtype=bool)
    for position, split in enumerate(splits):
        trains_on[position, part_of[trains[split]]] = True
    used = np.flatnonzero(trains_on.any(axis=0))
    return Partition(splits, [parts[part] for part in used], trains_on[:, used])
