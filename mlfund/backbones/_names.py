"""From what a user gives as `backbone` to where its weights come from."""

from __future__ import annotations

from typing import Any

from mlfund._check import check_choice
from mlfund.backbones._source import BackboneSource

# Sources by the name that users give. They are values: nothing is read or imported for them.
NAMED: dict[str, BackboneSource] = {}


def get_backbone(given: Any, kind: str, *, download: bool = False) -> BackboneSource:
    """Return the source of a backbone.

    Parameters
    ----------
    given : str or BackboneSource
        A name, or a source.
    kind : {"image", "text"}
        What the backbone has to take.
    download : bool, default=False
        Whether weights that are not on this machine may be downloaded.

    Raises
    ------
    ValueError
        If the name is not known, or the backbone takes something else.
    """
    check_choice("kind", kind, ("image", "text"))
    if isinstance(given, BackboneSource):
        return given
    return NAMED[check_choice("backbone", given, NAMED)]
