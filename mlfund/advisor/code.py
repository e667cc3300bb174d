"""Python that fits the recommended pipeline again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from mlfund.advisor.candidates import Candidate, Setting

# Public names are imported from where users import them.
_PUBLIC_HOMES = (("mlfund.estimators", "mlfund"), ("mlfund.preprocessing", "mlfund"))
_LONGEST_REPR = 10**6


def reproducing_code(
    candidate: Candidate,
    setting: Setting,
    description: Mapping[str, Any],
    dropped: Mapping[str, Any],
) -> str:
    """Return a script that fits the same pipeline on the same rows.

    Parameters
    ----------
    candidate : Candidate
        The recommended one.
    setting : Setting
        Of its pipeline.
    description : mapping
        ``load_code``: lines that define ``X`` and ``y``, when known.
    dropped : mapping
        The counts of the `Problem`.
    """
    pipeline = candidate.build(setting)
    load = description.get("load_code") or "# X, y: the table and the target given to advise"
    lines = [*sorted(_imports(pipeline)), "", load]
    if dropped["rows_without_target"]:
        lines.append("X, y = X[y.notna()], y[y.notna()]")
    if dropped["classes_dropped"]:
        lines.append("often = y.map(y.value_counts()) > 1")
        lines.append("X, y = X[often], y[often]")
    lines += ["", _construction(pipeline), "model.fit(X, y)"]
    lines += [f"model.set_params({key}={value!r})" for key, value in candidate.serving.items()]
    return "\n".join(lines) + "\n"


def _construction(pipeline: Pipeline) -> str:
    steps = [f"        ({name!r}, {_expression(step)}),\n" for name, step in pipeline.steps]
    return f"model = Pipeline(\n    [\n{''.join(steps)}    ]\n)"


def _expression(step: BaseEstimator) -> str:
    """Return the call that makes an estimator, in one line."""
    text: str = step.__repr__(N_CHAR_MAX=_LONGEST_REPR)
    return " ".join(text.split())


def _imports(pipeline: Pipeline) -> Iterator[str]:
    found = {type(pipeline)}
    for value in pipeline.get_params(deep=True).values():
        if isinstance(value, BaseEstimator):
            found.add(type(value))
    for one in found:
        yield f"from {_home(one)} import {one.__name__}"


def _home(estimator_class: type) -> str:
    module = estimator_class.__module__
    for private, public in _PUBLIC_HOMES:
        if module.startswith(private):
            return public
    # scikit-learn's classes live in private files of public packages
    return ".".join(part for part in module.split(".") if not part.startswith("_"))
