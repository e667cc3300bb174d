"""An explicit checker of ``advice.json``: every key, its type, and no key besides."""

from __future__ import annotations

from typing import Any

from mlfund.advisor.advice import FAMILIES, VERDICTS
from mlfund.advisor.audit import SEVERITIES

NUMBER = (int, float)
MAYBE_NUMBER = (int, float, type(None))
TEXT, COUNT, FLAG = str, int, bool
MAYBE_TEXT = (str, type(None))
TEXTS, NUMBERS = [TEXT], [NUMBER]
ANY_NUMBERS = {"*": MAYBE_NUMBER}


class OneOf(tuple):
    """One of these values."""


class Optional:
    """A key that only some entries have."""

    def __init__(self, spec: Any) -> None:
        self.spec = spec


FEATURE = {
    "name": TEXT,
    "kind": OneOf(("numeric", "boolean", "categorical", "datetime", "text", "empty")),
    "dtype": TEXT,
    "missing": COUNT,
    "missing_share": NUMBER,
    "infinite": COUNT,
    "distinct": COUNT,
    "min": Optional(NUMBER),
    "max": Optional(NUMBER),
    "mean": Optional(NUMBER),
    "std": Optional(NUMBER),
    "most_frequent": Optional(TEXT),
    "most_frequent_share": Optional(NUMBER),
}
SCHEMA = {
    "schema_version": COUNT,
    "status": OneOf(("complete", "incomplete")),
    "data": {
        "file": MAYBE_TEXT,
        "rows": COUNT,
        "rows_used": COUNT,
        "columns": COUNT,
        "target": TEXT,
        "task": OneOf(("classification", "regression")),
        "task_reason": TEXT,
        "classes": ([TEXT], None),
        "positive": MAYBE_TEXT,
    },
    "profile": {
        "rows": COUNT,
        "columns": COUNT,
        "kinds": {"*": COUNT},
        "missing_cells": COUNT,
        "missing_share": NUMBER,
        "infinite_cells": COUNT,
        "duplicated_rows": COUNT,
        "memory_bytes": COUNT,
        "rows_without_target": COUNT,
        "classes_dropped": [{"label": TEXT, "rows": COUNT}],
        "constant_columns": TEXTS,
        "empty_columns": TEXTS,
        "suspected_identifiers": TEXTS,
        "features": [FEATURE],
        "target": {
            "name": TEXT,
            "classes": Optional([{"label": TEXT, "rows": COUNT, "share": NUMBER}]),
            "min": Optional(NUMBER),
            "max": Optional(NUMBER),
            "mean": Optional(NUMBER),
            "std": Optional(NUMBER),
            "distinct": Optional(COUNT),
        },
        "images": Optional(
            {
                "height": COUNT,
                "width": COUNT,
                "channels": COUNT,
                "dtype": TEXT,
                "contact_sheet": [{"label": TEXT, "png": TEXT}],
            }
        ),
    },
    "leakage": [
        {
            "code": TEXT,
            "severity": OneOf(SEVERITIES),
            "columns": TEXTS,
            "message": TEXT,
            "fix": TEXT,
            "evidence": ANY_NUMBERS,
        }
    ],
    "protocol": {
        "folds": COUNT,
        "repeats": COUNT,
        "metric": TEXT,
        "greater_is_better": FLAG,
        "practical_equivalence": NUMBER,
        "split": TEXT,
        "seed": COUNT,
        "isolated": FLAG,
        "threads": COUNT,
        "max_latency_ms": MAYBE_NUMBER,
        "interpretable": FLAG,
        "notes": TEXTS,
    },
    "leaderboard": [
        {
            "name": TEXT,
            "family": OneOf(FAMILIES),
            "status": TEXT,
            "score_mean": MAYBE_NUMBER,
            "score_std": MAYBE_NUMBER,
            "metrics": ANY_NUMBERS,
            "diff_to_best": MAYBE_NUMBER,
            "diff_ci95": (NUMBERS, None),
            "verdict": OneOf((*VERDICTS, None)),
            "fit_seconds": MAYBE_NUMBER,
            "latency_ms_p50": MAYBE_NUMBER,
            "latency_ms_p95": MAYBE_NUMBER,
            "peak_memory_bytes": (int, type(None)),
            "model_bytes": (int, type(None)),
            "fold_scores": NUMBERS,
        }
    ],
    "recommendation": (
        {
            "name": TEXT,
            "family": OneOf(FAMILIES),
            "estimator": TEXT,
            "confidence": MAYBE_NUMBER,
            "summary": TEXT,
            "reasons": TEXTS,
            "cost": TEXT,
            "deep_learning": TEXT,
            "would_change": TEXTS,
            "alternatives": [{"name": TEXT, "family": OneOf(FAMILIES), "reason": TEXT}],
        },
        None,
    ),
    "budget": {"requested_seconds": MAYBE_NUMBER, "used_seconds": NUMBER},
    "environment": {
        "cpu": TEXT,
        "cores": COUNT,
        "memory_bytes": (int, type(None)),
        "load_average": ([NUMBER], None),
        "os": TEXT,
        "python": TEXT,
        "versions": {"*": MAYBE_TEXT},
    },
    "warnings": TEXTS,
    "importance": [{"feature": TEXT, "mean": NUMBER, "std": NUMBER}],
    "learning_curves": [
        {
            "name": TEXT,
            "points": [{"rows": COUNT, "score_mean": NUMBER, "score_std": NUMBER}],
        }
    ],
    "code": TEXT,
    "confusion": Optional({"name": TEXT, "labels": TEXTS, "counts": [[COUNT]]}),
}


def problems(value: Any, spec: Any = SCHEMA, where: str = "advice") -> list[str]:
    """Return what is wrong with a value, a line each; empty when it fits."""
    if isinstance(spec, Optional):
        spec = spec.spec
    if isinstance(spec, OneOf):
        return [] if value in spec else [f"{where}: {value!r} is not one of {tuple(spec)}"]
    if isinstance(spec, tuple) and None in spec:
        return [] if value is None else problems(value, spec[0], where)
    if isinstance(spec, list):
        if not isinstance(value, list):
            return [f"{where}: {value!r} is no list"]
        return [
            line
            for i, item in enumerate(value)
            for line in problems(item, spec[0], f"{where}[{i}]")
        ]
    if isinstance(spec, dict):
        return _problems_of_object(value, spec, where)
    is_bool_for_number = isinstance(value, bool) and spec is not FLAG
    fits = isinstance(value, spec) and not is_bool_for_number
    return [] if fits else [f"{where}: {value!r} is not {spec}"]


def _problems_of_object(value: Any, spec: dict[str, Any], where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: {value!r} is no object"]
    if "*" in spec:
        return [
            line
            for key, item in value.items()
            for line in problems(item, spec["*"], f"{where}.{key}")
        ]
    found = [f"{where}: unknown key {key!r}" for key in value.keys() - spec.keys()]
    for key, part in spec.items():
        if key in value:
            found += problems(value[key], part, f"{where}.{key}")
        elif not isinstance(part, Optional):
            found.append(f"{where}: key {key!r} is missing")
    return found


def all_keys(spec: Any = SCHEMA) -> set[str]:
    """Return every key that the schema names."""
    if isinstance(spec, Optional):
        return all_keys(spec.spec)
    if isinstance(spec, dict):
        named = {key for key in spec if key != "*"}
        return named.union(*(all_keys(part) for part in spec.values()))
    if isinstance(spec, list) or (isinstance(spec, tuple) and None in spec):
        return all_keys(spec[0])
    return set()
