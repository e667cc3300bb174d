"""Dates as numbers: time elapsed, calendar parts, and the same parts on a circle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlfund.preprocessing._numbers import NumberBlock

# On the circle, December lies beside January and 23 h beside 0 h.
PARTS = (
    "elapsed_days",
    "year",
    "month",
    "day",
    "weekday",
    "hour",
    "year_sin",
    "year_cos",
    "weekday_sin",
    "weekday_cos",
    "hour_sin",
    "hour_cos",
)
_MONDAY_OFFSET = 3  # 1970-01-01 was a Thursday
_DAYS_A_YEAR = 365.2425


def date_parts(instants: np.ndarray) -> np.ndarray:
    """Return the PARTS of datetime64[us] `instants` (n,) as floats (n, 12); NaN for NaT.

    ``weekday`` counts from Monday = 0; ``hour`` has its minutes and seconds as a fraction.
    """
    day_start = instants.astype("datetime64[D]")
    month_start = instants.astype("datetime64[M]")
    year_start = instants.astype("datetime64[Y]")
    one_day = np.timedelta64(1, "D")
    hour = (instants - day_start) / np.timedelta64(1, "h")
    weekday = (day_start.astype(np.int64) + _MONDAY_OFFSET) % 7
    turns = [(day_start - year_start) / one_day / _DAYS_A_YEAR, weekday / 7, hour / 24]
    columns = [
        (instants - np.datetime64(0, "D")) / one_day,
        year_start.astype(np.int64) + 1970,
        month_start.astype(np.int64) % 12 + 1,
        (day_start - month_start) / one_day + 1,
        weekday,
        hour,
    ]
    for turn in turns:
        columns += [np.sin(2 * np.pi * turn), np.cos(2 * np.pi * turn)]
    parts = np.column_stack(columns)
    parts[np.isnat(instants)] = np.nan
    return parts


class DateBlock:
    """All date columns of a table; parts that do not vary in fit are left out.

    Attributes
    ----------
    numbers : NumberBlock
        Fills and scales the parts.
    names : list of str
        Names of the outputs.
    sources : ndarray of int
        Which of the date columns each output comes from.
    """

    def __init__(self, numbers: NumberBlock, cells: Sequence[np.ndarray], names: Sequence[str]):
        may_mark = np.tile(np.arange(len(PARTS)) == 0, len(names))
        self.numbers = numbers.fit(_all_parts(cells), may_mark)
        part_names = [f"{name}:{part}" for name in names for part in PARTS]
        column_names = [name for name in names for _ in PARTS]
        self.names = self.numbers.names(part_names, column_names)
        self.sources = self.numbers.sources() // len(PARTS)

    @property
    def n_outputs(self) -> int:
        """Number of output columns."""
        return len(self.names)

    def encode(self, cells: Sequence[np.ndarray], out: np.ndarray) -> None:
        """Write the parts of each column's instants to `out` (n, n_outputs)."""
        self.numbers.encode(_all_parts(cells), out)


def _all_parts(cells: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([date_parts(instants) for instants in cells], axis=1)
