"""Names of the backbones whose rows a cache holds: as users give them, and as they once were."""

from __future__ import annotations

from collections.abc import Iterable

from mlfund._check import check_choice
from mlfund.backbones._names import NAMED

# What notes of former versions call backbones.
FORMER = {"EfficientNetLite0": "efficientnet_lite0"}


def name_today(name: str) -> str:
    """Return the name that a backbone has today."""
    return FORMER.get(name, name)


def names_meant(given: str, names: Iterable[str]) -> set[str]:
    """Return those of some names that are meant by the given one.

    Names of models of a library are known with and without it: notes of former versions call
    "timm:NAME" NAME.

    Raises
    ------
    ValueError
        If it is neither among the names nor one of mlfund's own.
    """
    given, names = name_today(given), set(names)
    meant = {
        name
        for name in names
        if name == given or name.endswith(f":{given}") or given.endswith(f":{name}")
    }
    if not meant:
        check_choice("backbone", given, sorted(names | NAMED.keys()))
    return meant
