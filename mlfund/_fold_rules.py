"""The rules by which fold plans divide rows; see `mlfund.folds`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

# Draws of whole groups of which a holdout takes the best; each costs O(rows).
_GROUP_DRAWS = 10


def ranks(name: str, values: Any, n_rows: int) -> np.ndarray:
    """Return the place of each value among the distinct ones, 0 for the smallest.

    Raises
    ------
    ValueError
        If the length is wrong, a value is missing, or the values have no order.
    """
    column = np.asarray(values).ravel()
    if len(column) != n_rows:
        raise ValueError(f"{name} must have one value a row ({n_rows}); got {len(column)}.")
    n_missing = sum(map(_is_missing, column)) if column.dtype == object else _count_nan(column)
    if n_missing:
        values_are = "value is" if n_missing == 1 else "values are"
        raise ValueError(f"{n_missing} {values_are} missing in {name}; fill or drop them.")
    if column.dtype != object:
        return np.unique(column, return_inverse=True)[1]
    # Sorting the distinct values only: Python compares objects slowly.
    distinct = set(column.tolist())
    try:
        ordered = sorted(distinct)
    except TypeError:
        # Labels of mixed types have no order of their own; their text has one.
        ordered = sorted(distinct, key=str)
    place = {value: rank for rank, value in enumerate(ordered)}
    return np.fromiter(map(place.__getitem__, column.tolist()), np.intp, len(column))


def _count_nan(column: np.ndarray) -> int:
    return int((column != column).sum()) if column.dtype.kind in "fcmM" else 0


def _is_missing(value: Any) -> bool:
    try:
        return value is None or bool(value != value)
    except TypeError:
        # pandas.NA refuses to say whether it differs from itself.
        return True


def forward_folds(moments: np.ndarray, n_folds: int) -> np.ndarray:
    """Return the test fold of each row, later folds later; -1 for the first part.

    Parameters
    ----------
    moments : ndarray of shape (n,)
        Ranks of the rows in time; rows of one moment get one fold.
    n_folds : int
        Test parts, fewer than there are moments.
    """
    rows_until = np.bincount(moments).cumsum()
    n_moments = len(rows_until)
    fold_of_moment = np.empty(n_moments, dtype=np.int32)
    first = 0
    for part in range(n_folds + 1):
        # Up to the row count of an even division, leaving a moment for each later part.
        goal = len(moments) * (part + 1) / (n_folds + 1)
        last = int(np.searchsorted(rows_until, goal - 0.5))
        last = min(max(last, first), n_moments - 1 - (n_folds - part))
        fold_of_moment[first : last + 1] = part - 1
        first = last + 1
    return fold_of_moment[moments]


def latest_rows(moments: np.ndarray, fraction: float) -> np.ndarray:
    """Return the mask of the latest rows, near `fraction` of them, in whole moments."""
    if moments.max() == 0:
        raise ValueError("All rows have the same time_order; nothing can be held out as later.")
    rows_from = np.bincount(moments)[::-1].cumsum()[::-1]
    # The first moment always trains.
    first = 1 + int(np.abs(rows_from[1:] - fraction * len(moments)).argmin())
    return moments >= first


def held_out_rows(codes: np.ndarray, fraction: float, rng: np.random.RandomState) -> np.ndarray:
    """Return the mask of ``ceil(fraction * n)`` rows, each class by its share.

    A class keeps at least one row outside the mask, so fewer rows result when almost
    every row is alone in its class.
    """
    counts = np.bincount(codes)
    take = _apportioned(counts, fraction, math.ceil(fraction * len(codes)), rng)
    if take.sum() == 0:
        raise ValueError("No class has 2 rows, so none can be held out.")
    shuffled = rng.permutation(len(codes))
    by_class = shuffled[np.argsort(codes[shuffled], kind="stable")]
    place = np.arange(len(codes)) - np.repeat(counts.cumsum() - counts, counts)
    held_out = np.zeros(len(codes), dtype=bool)
    held_out[by_class[place < np.repeat(take, counts)]] = True
    return held_out


def _apportioned(
    counts: np.ndarray, fraction: float, total: int, rng: np.random.RandomState
) -> np.ndarray:
    """Return how many rows each class gives, by largest remainder; ties by chance."""
    share = counts * fraction
    most = np.maximum(counts - 1, 0)
    take = np.minimum(np.floor(share).astype(np.intp), most)
    while (missing := min(total, int(most.sum())) - int(take.sum())) > 0:
        remainder = np.where(
            take < most, share - take + 1e-9 * rng.uniform(size=len(counts)), -np.inf
        )
        best = np.argsort(-remainder)[: min(missing, int((take < most).sum()))]
        take[best] += 1
    return take


def held_out_groups(
    group: np.ndarray, codes: np.ndarray, fraction: float, rng: np.random.RandomState
) -> np.ndarray:
    """Return the mask of the rows of some groups, near `fraction` and the mix of classes."""
    sizes = np.bincount(group)
    if len(sizes) < 2:
        raise ValueError("At least 2 groups are needed to hold one out; there is 1.")
    rows_of = np.zeros((len(sizes), int(codes.max()) + 1))
    np.add.at(rows_of, (group, codes), 1)
    goal = fraction * rows_of.sum(axis=0)
    draws = [_drawn_groups(sizes, fraction, rng) for _ in range(_GROUP_DRAWS)]
    misses = [np.abs(rows_of[chosen].sum(axis=0) - goal).sum() for chosen in draws]
    chosen = draws[int(np.argmin(misses))]
    return np.isin(group, chosen)


def _drawn_groups(sizes: np.ndarray, fraction: float, rng: np.random.RandomState) -> np.ndarray:
    """Return random groups whose rows together come nearest to `fraction` of all."""
    order = rng.permutation(len(sizes))
    rows = sizes[order].cumsum()[:-1]
    return order[: 1 + int(np.abs(rows - fraction * sizes.sum()).argmin())]
