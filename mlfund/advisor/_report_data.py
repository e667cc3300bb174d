"""The lower half of the report: findings, profile, protocol, how to read it, environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlfund.advisor._html import Content, Markup, join, tag
from mlfund.advisor._report_images import image_size
from mlfund.advisor._words import MetricWords, duration, metric_words, number, percent, size

_MAX_FEATURES = 60
_MAX_CLASSES = 20


def findings_section(advice: Mapping[str, Any]) -> Markup:
    """Show leakage findings and warnings, or say that there are none."""
    findings = [_finding(finding) for finding in advice.get("leakage") or ()]
    warnings = [
        tag("div", tag("p", warning), class_="note", role="note")
        for warning in advice.get("warnings") or ()
    ]
    nothing = "The audit found no column or row that looks like a leak, and there was no warning."
    content = [*findings, *warnings] or [tag("p", nothing, class_="soft")]
    return _section("Leakage findings and warnings", *content)


def _finding(finding: Any) -> Markup:
    if not isinstance(finding, Mapping):
        return tag("div", tag("p", str(finding)), class_="note", role="note")
    serious = finding.get("severity") in ("error", "critical", "high", "issue")
    evidence = finding.get("evidence") or {}
    facts = ", ".join(f"{_words(key)} {_value(value)}" for key, value in evidence.items())
    kind = tag("strong", _words(str(finding.get("code", "finding"))).capitalize())
    return tag(
        "div",
        tag("p", kind, ": ", str(finding.get("message", ""))),
        tag("p", str(finding["fix"])) if finding.get("fix") else None,
        tag("p", f"Evidence: {facts}.", class_="soft small") if facts else None,
        class_="note bad" if serious else "note",
        role="note",
    )


def profile_section(advice: Mapping[str, Any]) -> Markup:
    """Show the table in figures: totals, the target, each column."""
    data, profile = advice["data"], advice.get("profile") or {}
    overview = [_card(_facts(_totals(data, profile))), _target_table(profile.get("target") or {})]
    return _section(
        "The data",
        tag("div", *overview, class_="columns"),
        _feature_table(profile.get("features") or ()),
    )


def _totals(data: Mapping[str, Any], profile: Mapping[str, Any]) -> dict[str, Content]:
    kinds = profile.get("kinds") or {}
    used = data.get("rows_used")
    lists = ("constant_columns", "empty_columns", "suspected_identifiers", "classes_dropped")
    facts: dict[str, Content] = {
        "file": data.get("file"),
        "rows": _count(data.get("rows"))
        + (f", {used:,} used" if used not in (None, data.get("rows")) else ""),
        "images": image_size(profile),
        "columns": None
        if profile.get("images")
        else _count(data.get("columns"))
        + (
            f" ({', '.join(f'{n} {kind}' for kind, n in kinds.items() if n)})"
            if any(kinds.values())
            else ""
        ),
        "target": data.get("target"),
        "task": join(
            [data.get("task"), f" - {data['task_reason']}" if data.get("task_reason") else ""]
        ),
        "positive class": data.get("positive"),
        "missing cells": _share(profile.get("missing_cells"), profile.get("missing_share")),
        "duplicated rows": _count(profile.get("duplicated_rows")),
        "rows without a target": _count(profile.get("rows_without_target")),
        "infinite cells": _count(profile.get("infinite_cells")),
    }
    facts |= {_words(key): ", ".join(map(str, profile.get(key) or ())) for key in lists}
    return {key: value for key, value in facts.items() if value not in (None, "", "0")}


def _target_table(target: Mapping[str, Any]) -> Markup | None:
    classes = target.get("classes")
    if not classes:
        facts = {
            _words(key): _value(value)
            for key, value in target.items()
            if isinstance(value, int | float)
        }
        return _card(tag("h3", "The target"), _facts(facts)) if facts else None
    rows = [
        [str(item["label"]), f"{item['rows']:,}", f"{100 * item['share']:.1f} %"]
        for item in classes[:_MAX_CLASSES]
    ]
    more = len(classes) - len(rows)
    note = tag("p", f"and {more} more classes", class_="soft small") if more > 0 else None
    return _card(tag("h3", "The target"), _table(["class", "rows", "share"], rows, 1), note)


def _feature_table(features: Sequence[Mapping[str, Any]]) -> Markup | None:
    if not features:
        return None
    rows = [
        [
            str(item.get("name")),
            str(item.get("kind", "")).replace("_", " "),
            _share(item.get("missing"), item.get("missing_share")),
            _count(item.get("distinct")),
            _typical(item),
        ]
        for item in features[:_MAX_FEATURES]
    ]
    more = len(features) - len(rows)
    note = tag("p", f"and {more} more columns, all in advice.json", class_="soft small")
    head = ["column", "kind", "missing", "distinct", "typical values"]
    return _card(tag("h3", "Columns"), _table(head, rows, 2, 4), note if more > 0 else None)


def _typical(item: Mapping[str, Any]) -> str:
    """Say in a few words what a column holds."""
    if item.get("most_frequent") is not None:
        share = item.get("most_frequent_share")
        often = f" ({100 * share:.0f} %)" if share is not None else ""
        return f"mostly {item['most_frequent']}{often}"
    if item.get("mean") is not None:
        low, high = item.get("min"), item.get("max")
        return f"{_value(low)} to {_value(high)}, mean {_value(item['mean'])}"
    if item.get("min") is not None:
        return f"{item['min']} to {item['max']}"
    return ""


def protocol_section(advice: Mapping[str, Any]) -> Markup:
    """Say how the models were compared."""
    protocol, budget = advice["protocol"], advice.get("budget") or {}
    requested = budget.get("requested_seconds")
    facts: dict[str, Content] = {
        "folds": f"{protocol['folds']} ({_words(str(protocol['split']))})"
        if protocol.get("split")
        else str(protocol["folds"]),
        "repeats": str(protocol["repeats"]),
        "deciding metric": metric_words(protocol["metric"]).label,
        "practically equal within": number(protocol.get("practical_equivalence"), 4),
        "seed": str(protocol.get("seed", "")),
        "each fit in a process of its own": _value(protocol.get("isolated")),
        "threads": _value(protocol.get("threads")),
        "time used": duration(budget.get("used_seconds")),
        "time budget": duration(requested) if requested is not None else "none",
    }
    notes = [tag("p", note) for note in protocol.get("notes") or ()]
    shown = {key: value for key, value in facts.items() if value not in (None, "", "-")}
    text = (
        "Every model saw the same folds. All preprocessing was fitted inside the fold, on its "
        "training rows only; scores come from rows that the model had not seen."
    )
    return _section("How it was measured", tag("p", text), _card(_facts(shown)), *notes)


def how_to_read_section(advice: Mapping[str, Any], metric: MetricWords) -> Markup:
    """Explain intervals, verdicts and confidence."""
    margin = number(advice["protocol"].get("practical_equivalence"), 4)
    region = f" (here {margin} {metric.label})" if margin != "-" else ""
    points = [
        (
            "95 % intervals",
            "Folds share training rows, so plain standard errors are too small. The intervals use "
            "the correction of Nadeau and Bengio (2003), which multiplies the variance of fold "
            "scores by 1/J + 1/(k - 1) for J scores and k folds. In simulations with no true "
            "difference it cuts false alarms of the plain t-test on repeated folds from nearly "
            "half to the nominal one in twenty.",
        ),
        (
            "Differences",
            "The difference to the best model is taken fold by fold, which removes the luck of "
            "the split. Read this interval, not the overlap of the score intervals.",
        ),
        (
            "Verdicts",
            f"“Practically equal” means the whole interval lies within the region of practical "
            f"equivalence{region}; “worse” means it lies beyond zero on the wrong side; "
            "“undecided” means the data cannot tell.",
        ),
        (
            "Confidence",
            "The probability, under the corrected t distribution of the paired differences, that "
            "no other model is better by more than the region of practical equivalence.",
        ),
    ]
    items = (tag("li", tag("strong", name), f": {text}") for name, text in points)
    return _section("How to read the intervals", tag("ul", *items))


def environment_section(advice: Mapping[str, Any]) -> Markup:
    """List machine and versions, and where the report comes from."""
    environment = dict(advice.get("environment") or {})
    versions = environment.pop("versions", None) or {}
    facts: dict[str, Content] = {
        _words(key): size(value) if key.endswith("_bytes") else _value(value)
        for key, value in environment.items()
    }
    if versions:
        facts["packages"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    made_by = "Written by mlfund. Everything shown here is in advice.json in numbers."
    return join([_section("Environment", _card(_facts(facts))), tag("footer", tag("p", made_by))])


def _section(title: str, *content: Content) -> Markup:
    return tag("section", tag("h2", title), *content)


def _card(*content: Content) -> Markup:
    return tag("div", *content, class_="card")


def _facts(facts: Mapping[str, Content]) -> Markup:
    pairs = (join([tag("dt", key), tag("dd", value)]) for key, value in facts.items())
    return tag("dl", *pairs, class_="facts")


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], first: int, stop: int = 99
) -> Markup:
    """Return a table whose columns from `first` up to `stop` are numbers."""
    kinds = ["n" if first <= i < stop else None for i in range(len(head))]
    header = tag(
        "tr", *(tag("th", name, scope="col", class_=k) for name, k in zip(head, kinds, strict=True))
    )
    body = [
        tag("tr", *(tag("td", cell, class_=k) for cell, k in zip(row, kinds, strict=True)))
        for row in rows
    ]
    table = tag("table", tag("thead", header), tag("tbody", *body))
    return tag("div", table, class_="scroll", tabindex=0, role="group", aria_label=head[0])


def _count(value: Any) -> str:
    return "" if value is None else f"{value:,}"


def _share(n: Any, share: Any) -> str:
    if not n:
        return _count(n)
    return f"{n:,}" + (f" ({percent(share)})" if share is not None else "")


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        whole = value.is_integer() or abs(value) >= 1e4
        return f"{value:,.0f}" if whole and abs(value) < 1e15 else f"{value:,.4g}"
    if isinstance(value, list):
        return ", ".join(_value(item) for item in value)
    return str(value)


def _words(key: str) -> str:
    return key.removesuffix("_bytes").replace("_", " ")
