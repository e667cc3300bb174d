"""What the entries of the vocabulary tables share: a name, options, a lookup.

An entry is a frozen dataclass: its fields are its options, its methods are what it
does, and ``dataclasses.replace`` makes a variant. Entries compare by value, can be
hashed, pickled and shown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypeVar

from mlfund._check import check_choice, nearest


@dataclasses.dataclass(frozen=True)
class Entry:
    """One row of a vocabulary table."""

    name: ClassVar[str]

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """Return the names of the options this entry takes."""
        return tuple(field.name for field in dataclasses.fields(cls))


E = TypeVar("E", bound=Entry)


def resolve(concept: str, value: str | E, table: Mapping[str, E], options: Mapping[str, Any]) -> E:
    """Return the entry that `value` names or is, with `options` set.

    Parameters
    ----------
    concept : str
        The word for the errors, "loss" for instance.
    value : str or Entry
        A name of `table`, or an instance of the kind of entry that the table holds.
    table : mapping of str to Entry
        The vocabulary table.
    options : mapping of str to object
        Fields of the entry to replace.

    Raises
    ------
    ValueError
        If the name or an option is unknown (the nearest name is suggested), or the
        entry refuses an option's value.
    """
    if isinstance(value, str) and value in table:
        # Prediction asks by name, for single rows too.
        entry: str | E = table[value]
    else:
        entry = value if _fits(value, table) else table[check_choice(concept, value, table)]
    assert isinstance(entry, Entry)
    return with_options(concept, entry, options)


def with_options(concept: str, entry: E, options: Mapping[str, Any]) -> E:
    """Return an entry with `options` set; raises as `resolve` does."""
    for option in options:
        if option not in entry.option_names():
            _refuse_option(concept, entry, option)
    return dataclasses.replace(entry, **options) if options else entry


def refuse_class(concept: str, value: object) -> None:
    """Raise where a function is allowed, and a class, which is callable too, is given."""
    if isinstance(value, type):
        raise ValueError(f"{concept}={value.__name__} is a class; give an instance of it.")


def _fits(value: object, table: Mapping[str, E]) -> bool:
    """Say whether `value` is an entry of the same kind as those of the table."""
    return any(isinstance(value, _kind(entry)) for entry in table.values())


def _kind(entry: Entry) -> type:
    """Return the class directly below Entry: Loss, Penalty ..."""
    return next(kind for kind in type(entry).__mro__ if Entry in kind.__bases__)


def _refuse_option(concept: str, entry: Entry, option: str) -> None:
    allowed = entry.option_names()
    if not allowed:
        raise ValueError(f"The {concept} {entry.name!r} takes no options; got {option!r}.")
    message = (
        f"The {concept} {entry.name!r} has no option {option!r}; "
        f"allowed are {', '.join(map(repr, allowed))}."
    )
    suggestion = nearest(option, allowed)
    raise ValueError(message + (f" Did you mean {suggestion!r}?" if suggestion else ""))


def publish(package: str, names: Mapping[str, Any], public: Iterable[str]) -> None:
    """Make the public classes of a package say that they live in it.

    Saved models then name the public path, and neither pickles nor reviewed lists of
    types depend on the file of the package in which a class is written.

    Parameters
    ----------
    package : str
        Import path of the package.
    names : mapping of str to object
        Its namespace.
    public : iterable of str
        Names of the namespace; those of classes count.
    """
    for name in public:
        if isinstance(names[name], type):
            names[name].__module__ = package
