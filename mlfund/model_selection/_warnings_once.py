"""What many models of a search would be warned of, said once."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable

from mlfund._check import stacklevel_outside

# Numbers, such as how far a model is from its optimum, in which texts may differ.
_NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?")


class WarningsOnce:
    """Warnings of models, of which those that differ in numbers only are one."""

    def __init__(self) -> None:
        self._first: dict[tuple[type[Warning], str], str] = {}
        self._count: dict[tuple[type[Warning], str], int] = {}

    def take(self, caught: Iterable[warnings.WarningMessage]) -> None:
        """Note warnings that were recorded."""
        for one in caught:
            text = str(one.message)
            key = one.category, _NUMBER.sub("0", text)
            self._first.setdefault(key, text)
            self._count[key] = self._count.get(key, 0) + 1

    def tell(self) -> None:
        """Warn of what was noted, and of how many models it was."""
        for (category, key), text in self._first.items():
            count = self._count[category, key]
            if count > 1:
                text = f"{text} ({count} fits of this search say so; this is the first.)"
            warnings.warn(text, category, stacklevel=stacklevel_outside())
