"""Distributions of scipy in a saved search: by name and arguments.

As scipy pickles them they hold code in text, which no loader of files should run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scipy import stats
from scipy.stats._distn_infrastructure import rv_frozen, rv_generic


@dataclass(frozen=True)
class SavedDistribution:
    """A distribution of `scipy.stats` with its arguments.

    Attributes
    ----------
    name : str
        In `scipy.stats`.
    args : tuple
    kwds : dict
    """

    name: str
    args: tuple[Any, ...]
    kwds: dict[str, Any]

    def frozen(self) -> Any:
        """Return the distribution.

        Raises
        ------
        ValueError
            If scipy has none of this name.
        """
        distribution = getattr(stats, self.name, None)
        if not isinstance(distribution, rv_generic):
            raise ValueError(f"scipy.stats has no distribution {self.name!r}.")
        return distribution(*self.args, **self.kwds)


def saved(grid: Any) -> Any:
    """Return distributions by parameter, or a list of such, as they are saved."""
    return _replaced(grid, _saved)


def restored(grid: Any) -> Any:
    """Return what `saved` was given."""
    return _replaced(grid, lambda v: v.frozen() if isinstance(v, SavedDistribution) else v)


def _replaced(grid: Any, of_value: Any) -> Any:
    if type(grid) is list:
        return [_replaced(one, of_value) for one in grid]
    if isinstance(grid, Mapping):
        return {name: of_value(value) for name, value in grid.items()}
    return grid


def _saved(value: Any) -> Any:
    if not isinstance(value, rv_frozen):
        return value
    name = value.dist.name
    # One of the user's own has no place to be found at again.
    if type(getattr(stats, str(name), None)) is not type(value.dist):
        return value
    return SavedDistribution(name, tuple(value.args), dict(value.kwds))
