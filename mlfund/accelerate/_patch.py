"""Put replacements in the place of scikit-learn's re-exported names, and take them away again."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

from mlfund.accelerate._record import Record

# Module and name of what is replaced, and the module of ours that has a class of that name.
REPLACED = (
    ("sklearn.linear_model", "LogisticRegression", "mlfund.accelerate._linear"),
    ("sklearn.linear_model", "LogisticRegressionCV", "mlfund.accelerate._linear"),
    ("sklearn.neural_network", "MLPClassifier", "mlfund.accelerate._mlp"),
    ("sklearn.neural_network", "MLPRegressor", "mlfund.accelerate._mlp"),
    ("sklearn.model_selection", "GridSearchCV", "mlfund.accelerate._search"),
    ("sklearn.model_selection", "RandomizedSearchCV", "mlfund.accelerate._search"),
)
# Modules whose own names stay what they are.
_OWN = ("sklearn", "mlfund")


def replace(record: Record) -> None:
    """Replace the names; say which are left alone, and where old ones remain."""
    originals = {}
    for module, name, home in REPLACED:
        exported = importlib.import_module(module)
        replacement = getattr(importlib.import_module(home), name)
        original = getattr(exported, name)
        if original is not replacement._replaced:
            record.note(
                f"{module}.{name} is {original.__module__}.{original.__qualname__}, not "
                "scikit-learn's own class any more, and was left alone."
            )
            continue
        originals[id(original)] = name
        setattr(exported, name, replacement)
    for place, name in held_elsewhere(originals):
        record.note(
            f"{place} imported {name} before the acceleration began and keeps scikit-learn's own; "
            "import it again after install()."
        )


def restore() -> None:
    """Undo `replace`, but for names that somebody else replaced since."""
    for module, name, home in REPLACED:
        replacement = getattr(importlib.import_module(home), name)
        exported = sys.modules[module]
        if getattr(exported, name) is replacement:
            setattr(exported, name, replacement._replaced)


def held_elsewhere(originals: dict[int, str]) -> Iterator[tuple[str, str]]:
    """Yield module and name wherever a module outside of scikit-learn holds an original class.

    `originals` gives the names by the `id` of the classes, since a value need not be hashable.
    """
    for place, module in sorted(sys.modules.items()):
        if place.partition(".")[0] in _OWN or not isinstance(module, ModuleType):
            continue
        for value in list(vars(module).values()):
            if id(value) in originals:
                yield place, originals[id(value)]
