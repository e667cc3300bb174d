"""The report: one HTML file that opens offline, with its plots inside and no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlfund.advisor._html import Content, Markup, join, tag
from mlfund.advisor._plots import (
    cost_plot,
    difference_plot,
    importance_plot,
    learning_plot,
    score_plot,
)
from mlfund.advisor._report_data import (
    environment_section,
    findings_section,
    how_to_read_section,
    profile_section,
    protocol_section,
)
from mlfund.advisor._report_images import image_size, images_section
from mlfund.advisor._style import STYLE
from mlfund.advisor._view import ModelRow, headline, metric_of, model_rows
from mlfund.advisor._words import (
    VERDICTS,
    MetricWords,
    duration,
    family_label,
    how_sure,
    interval,
    metric_words,
    milliseconds,
    model_label,
    number,
    percent,
    score_digits,
    signed,
    size,
)


def render_report(advice: Mapping[str, Any]) -> str:
    """Return the report of an advice as one HTML page.

    Parameters
    ----------
    advice : dict
        What `Advice.to_dict` returns, or the content of ``advice.json``.

    Returns
    -------
    page : str
        A complete HTML document without scripts and without external addresses.
        Every string of the advice is escaped.
    """
    rows = model_rows(advice)
    metric = metric_of(advice)
    title = f"Which model for {advice['data']['target']}?"
    body = tag(
        "main",
        _hero(advice, rows, metric),
        _incomplete_note(advice),
        _evidence_section(advice, rows, metric),
        _leaderboard_section(rows, metric),
        images_section(advice),
        findings_section(advice),
        profile_section(advice),
        _code_section(advice),
        protocol_section(advice),
        how_to_read_section(advice, metric),
        environment_section(advice),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content="mlfund"),
        tag("title", f"{title} - mlfund advice"),
        tag("style", Markup(STYLE)),
    )
    return "<!doctype html>\n" + tag("html", head, tag("body", body), lang="en") + "\n"


def _hero(advice: Mapping[str, Any], rows: Sequence[ModelRow], metric: MetricWords) -> Markup:
    data, advised = advice["data"], advice.get("recommendation")
    where = tag(
        "p",
        f"mlfund advice for the target “{data['target']}” of {data.get('file') or 'a table'}",
        class_="eyebrow",
    )
    if not advised:
        return tag("header", where, tag("h1", "No recommendation yet"), class_="card hero")
    chosen = next((row for row in rows if row.recommended), None)
    confidence = advised.get("confidence")
    title, lead = headline(advised)
    return tag(
        "header",
        where,
        tag("h1", title),
        tag("p", f"{lead} {how_sure(confidence)}", class_="lead"),
        _gauge(confidence),
        _bullets(advised.get("reasons")),
        _hero_columns(advised),
        _tiles(advice, chosen, metric) if chosen else None,
        class_="card hero",
    )


def _gauge(confidence: float | None) -> Markup | None:
    if confidence is None:
        return None
    # two decimals at most: a width, not a statistic
    bar = tag("span", style=f"width: {100 * confidence:.1f}%")
    label = tag("p", f"confidence {percent(confidence)}", class_="soft small")
    return tag("div", tag("div", bar, class_="gauge", aria_hidden="true"), label, class_="sure")


def _hero_columns(advised: Mapping[str, Any]) -> Markup | None:
    cost = join(
        tag("p", advised[key], class_="small")
        for key in ("cost", "deep_learning")
        if advised.get(key)
    )
    options = [_alternative(option) for option in advised.get("alternatives") or ()]
    blocks = [
        _block("What it costs, and deep learning", cost or None),
        _block("What would change the advice", _bullets(advised.get("would_change"), "small")),
        _block("Alternatives", _bullets(options, "small")),
    ]
    shown = [block for block in blocks if block is not None]
    return tag("div", *shown, class_="columns") if shown else None


def _alternative(option: Any) -> Content:
    if not isinstance(option, Mapping):
        return str(option)
    return join([tag("strong", model_label(str(option["name"]))), f": {option.get('reason', '')}"])


def _block(title: str, content: Markup | None) -> Markup | None:
    return None if content is None else tag("div", tag("h3", title), content)


def _tiles(advice: Mapping[str, Any], row: ModelRow, metric: MetricWords) -> Markup:
    digits = 3
    spread = None
    if row.score_range is not None:
        spread = f"{number(row.score_range[0], digits)} to {number(row.score_range[1], digits)}"
    data = advice["data"]
    tiles = [
        (metric.label, number(row.score, digits), spread),
        ("one prediction", milliseconds(row.latency_ms), "median, one row"),
        ("one fit", duration(row.fit_seconds), "on the rows of one fold"),
        ("model size", size(row.model_bytes), None),
        ("peak memory", size(row.peak_bytes), None),
        (
            "rows",
            f"{data['rows']:,}",
            image_size(advice.get("profile") or {}) or f"{data['columns']} columns",
        ),
    ]
    return tag(
        "dl",
        *(
            tag("div", tag("dt", label), tag("dd", value, tag("small", note) if note else None))
            for label, value, note in tiles
            if value != "-"
        ),
        class_="tiles",
    )


def _incomplete_note(advice: Mapping[str, Any]) -> Markup | None:
    if advice.get("status") != "incomplete":
        return None
    text = "This run was stopped before it ended: the report shows what had been finished by then."
    return tag("div", tag("p", text), class_="note", role="note")


def _evidence_section(
    advice: Mapping[str, Any], rows: Sequence[ModelRow], metric: MetricWords
) -> Markup | None:
    digits = score_digits([row.score for row in rows if row.score is not None])
    families = {row.name: row.family for row in rows}
    winner = next((row.label for row in rows if row.recommended), "the model")
    figures = [
        _figure(
            "Scores",
            "Large dots are means over the folds, bars their corrected 95 % intervals, "
            "small dots the single folds.",
            score_plot(rows, metric, digits),
        ),
        _figure(
            "Difference to the best",
            "All models saw the same folds, so differences are sharper than the scores "
            "themselves. A bar that touches the line leaves the order open.",
            difference_plot(rows, metric),
        ),
        _figure(
            "Score against the cost of predicting",
            "The whole pipeline, one row of a table at a time, warm.",
            cost_plot(rows, metric, digits, "latency_ms"),
        ),
        _figure(
            "Score against the cost of fitting",
            "Wall-clock time of one fit on the training rows of a fold.",
            cost_plot(rows, metric, digits, "fit_seconds"),
        ),
        _figure(
            "Would more rows help?",
            "A curve that still improves at its end says yes. Bands are one standard deviation.",
            learning_plot(advice.get("learning_curves") or (), families, metric),
        ),
        _figure(
            "What the model looks at",
            f"Permutation importance of {winner} on held-out rows; whiskers are one standard "
            "deviation. Related columns share their importance.",
            importance_plot(advice.get("importance") or (), metric),
        ),
    ]
    shown = [figure for figure in figures if figure is not None]
    if not shown:
        return None
    return _section("The evidence", tag("div", *shown, class_="columns"))


def _figure(title: str, caption: str, plot: Markup | None) -> Markup | None:
    if plot is None:
        return None
    # focusable, so that a plot wider than the screen can be scrolled by keyboard
    frame = tag("div", plot, class_="plot", tabindex=0, role="group", aria_label=title)
    return tag(
        "figure", tag("figcaption", tag("h3", title), tag("p", caption)), frame, class_="card"
    )


def _leaderboard_section(rows: Sequence[ModelRow], metric: MetricWords) -> Markup:
    others = list(dict.fromkeys(key for row in rows for key in row.metrics))
    others = [key for key in others if metric_words(key).label != metric.label]
    digits = score_digits([row.score for row in rows if row.score is not None])
    head = ["model", metric.label, "difference", "verdict"]
    head += [metric_words(key).label for key in others]
    head += ["fit", "one row", "peak memory", "size"]
    texts = {"model", "verdict"}
    # hyphens that do not break, so that "log-loss" stays on one line
    header = tag(
        "tr",
        *(
            tag(
                "th",
                name.replace("-", "\N{NON-BREAKING HYPHEN}"),
                scope="col",
                class_=None if name in texts else "n",
            )
            for name in head
        ),
    )
    table = tag(
        "table",
        tag("thead", header),
        tag("tbody", *(_leaderboard_row(row, others, digits) for row in rows)),
    )
    return _section("Leaderboard", _scroll(table, "Leaderboard"))


def _leaderboard_row(row: ModelRow, others: Sequence[str], digits: int) -> Markup:
    key = tag("span", class_=f"dot-key c-{row.family}", aria_hidden="true")
    name = tag("th", key, row.label, tag("small", family_label(row.family)), scope="row")
    if row.score is None:
        return tag("tr", name, tag("td", row.status, colspan=7 + len(others), class_="soft"))
    slow = tag("small", f"p95 {milliseconds(row.latency_p95_ms)}") if row.latency_p95_ms else None
    cells: list[Content] = [
        number(row.score, digits),
        _difference(row),
        *(number(row.metrics.get(metric), digits) for metric in others),
        duration(row.fit_seconds),
        join([milliseconds(row.latency_ms), slow]),
        size(row.peak_bytes),
        size(row.model_bytes),
    ]
    numbers = [tag("td", cell, class_="n") for cell in cells]
    verdict = tag("td", _verdict_chip(row), _status_note(row))
    return tag(
        "tr",
        name,
        *numbers[:2],
        verdict,
        *numbers[2:],
        class_="chosen" if row.recommended else None,
    )


def _difference(row: ModelRow) -> Content:
    if row.difference is None or row.difference == 0:
        return "-"
    bounds = tag("small", interval(list(row.difference_range or ())))
    return join([signed(row.difference), bounds if row.difference_range else None])


def _verdict_chip(row: ModelRow) -> Markup | None:
    if not row.verdict:
        return None
    kind = {"better": "chip good", "practically_equal": "chip good", "undecided": "chip warn"}
    return tag("span", VERDICTS.get(row.verdict, row.verdict), class_=kind.get(row.verdict, "chip"))


def _status_note(row: ModelRow) -> Markup | None:
    return None if row.status in ("", "ok") else tag("div", row.status, class_="soft small")


def _code_section(advice: Mapping[str, Any]) -> Markup | None:
    if not advice.get("code"):
        return None
    return _section(
        "Fit it yourself",
        tag("p", "This Python fits the recommended pipeline again, with the settings of this run."),
        tag("pre", tag("code", advice["code"].rstrip()), tabindex=0),
    )


def _section(title: str, *content: Content) -> Markup:
    return tag("section", tag("h2", title), *content)


def _scroll(table: Markup, label: str) -> Markup:
    inner = tag("div", table, class_="scroll", tabindex=0, role="group", aria_label=label)
    return tag("div", inner, class_="card")


def _bullets(items: Sequence[Content] | None, class_: str | None = None) -> Markup | None:
    return tag("ul", *(tag("li", item) for item in items), class_=class_) if items else None
