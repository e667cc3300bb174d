"""The plots of the report: scores, differences, cost, learning curves, importance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlfund.advisor._html import Markup, tag
from mlfund.advisor._placing import Places, rows_on_axis, spread_apart
from mlfund.advisor._svg import (
    WIDTH,
    Picture,
    Scale,
    circle,
    group,
    line,
    padded,
    shortened,
    text,
)
from mlfund.advisor._view import ModelRow
from mlfund.advisor._words import (
    VERDICTS,
    MetricWords,
    duration,
    milliseconds,
    model_label,
    number,
    signed,
)

_ROW = 36.0
_LABELS = 148.0
_RIGHT = 62.0
_MAX_BARS = 15


def score_plot(rows: Sequence[ModelRow], metric: MetricWords, digits: int) -> Markup | None:
    """Draw each model's score with its interval and its folds."""
    rows = [row for row in rows if row.score is not None]
    if not rows:
        return None
    shown = rows_on_axis(rows, [_extent_of_score(row) for row in rows])
    low, high = padded([value for row in shown for value in _extent_of_score(row)])
    picture = Picture(
        "scores",
        f"{metric.label} of each model",
        "; ".join(f"{row.label} {number(row.score, digits)}" for row in rows)
        + ". Bars are corrected 95 % intervals, small dots single folds.",
        height=_ROW * len(rows) + 58,
    )
    scale = Scale(low, high, _LABELS, WIDTH - _RIGHT)
    bottom = _ROW * len(rows) + 8
    picture.x_axis(scale, 4, bottom, _axis_label(metric))
    for i, row in enumerate(rows):
        y = 4 + _ROW * (i + 0.5)
        picture.add(_row_label(row, y), _score_marks(row, scale, y, digits, row in shown))
    return picture.svg()


def _score_marks(row: ModelRow, scale: Scale, y: float, digits: int, on_axis: bool) -> Markup:
    assert row.score is not None
    value = text(WIDTH, y + 4, number(row.score, digits), "value", "end")
    tooltip = f"{row.label}: {number(row.score, digits)}"
    if row.score_range is not None:
        low, high = row.score_range
        tooltip += f", 95 % interval {number(low, digits)} to {number(high, digits)}"
    if not on_axis:
        return group(_off_axis(scale, row.score, y), value, class_=_color(row), title=tooltip)
    marks = [
        circle(scale(score), y, 2.6, "fold", f"{row.label}, fold {i + 1}: {number(score, digits)}")
        for i, score in enumerate(row.fold_scores)
    ]
    if row.score_range is not None:
        marks.insert(0, line(scale(row.score_range[0]), y, scale(row.score_range[1]), y, "range"))
    mean = circle(scale(row.score), y, 5.5, "mean")
    return group(*marks, mean, value, class_=_color(row), title=tooltip)


def difference_plot(rows: Sequence[ModelRow], metric: MetricWords) -> Markup | None:
    """Draw each model's paired difference to the best one, with its interval."""
    best = next((row for row in rows if row.score is not None), None)
    rows = [row for row in rows if row is not best and row.difference is not None]
    if best is None or not rows:
        return None
    shown = rows_on_axis(rows, [(*_extent_of_difference(row), 0.0) for row in rows])
    values = [value for row in shown for value in _extent_of_difference(row)]
    low, high = padded([*values, 0.0])
    picture = Picture(
        "differences",
        f"Difference in {metric.label} to {best.label}",
        "; ".join(f"{row.label} {signed(row.difference)} ({_verdict(row)})" for row in rows)
        + ". Bars are corrected 95 % intervals of the paired difference.",
        height=_ROW * len(rows) + 58,
    )
    scale = Scale(low, high, _LABELS, WIDTH - 92)
    bottom = _ROW * len(rows) + 8
    picture.x_axis(scale, 4, bottom, f"difference in {metric.label} to {best.label}", 4)
    picture.add(line(scale(0.0), 4, scale(0.0), bottom, "zero"))
    for i, row in enumerate(rows):
        y = 4 + _ROW * (i + 0.5)
        picture.add(_row_label(row, y), _difference_marks(row, scale, y, row in shown))
    return picture.svg()


def _difference_marks(row: ModelRow, scale: Scale, y: float, on_axis: bool) -> Markup:
    assert row.difference is not None
    verdict = text(WIDTH, y + 4, _verdict(row), "value", "end")
    tooltip = f"{row.label}: {signed(row.difference)}"
    if row.difference_range is not None:
        low, high = row.difference_range
        tooltip += f", 95 % interval {signed(low)} to {signed(high)}, {_verdict(row)}"
    if not on_axis:
        mark = _off_axis(scale, row.difference, y)
        return group(mark, verdict, class_=_color(row), title=tooltip)
    marks = [circle(scale(row.difference), y, 5.5, "mean")]
    if row.difference_range is not None:
        low, high = row.difference_range
        marks.insert(0, line(scale(low), y, scale(high), y, "range"))
    return group(*marks, verdict, class_=_color(row), title=tooltip)


def cost_plot(
    rows: Sequence[ModelRow], metric: MetricWords, digits: int, cost: str
) -> Markup | None:
    """Draw score against a cost on a logarithmic axis.

    Parameters
    ----------
    rows : sequence of ModelRow
        The models; those without score or cost are left out.
    metric : MetricWords
        Of the score.
    digits : int
        Decimals of the score.
    cost : {"latency_ms", "fit_seconds"}
        Attribute of the rows that gives the cost.
    """
    rows = [row for row in rows if row.score is not None and (getattr(row, cost) or 0) > 0]
    if len(rows) < 2:
        return None
    write, label = {
        "latency_ms": (milliseconds, "time to predict one row (ms, logarithmic)"),
        "fit_seconds": (duration, "time to fit (seconds, logarithmic)"),
    }[cost]
    shown = rows_on_axis(rows, [_extent_of_score(row) for row in rows])
    low, high = padded([value for row in shown for value in _extent_of_score(row)])
    picture = Picture(
        f"cost-{cost.replace('_', '-')}",
        f"{metric.label} against {label.split(' (')[0]}",
        "; ".join(
            f"{row.label}: {number(row.score, digits)}, {write(getattr(row, cost))}" for row in rows
        ),
        height=318,
    )
    x = Scale(*padded([getattr(row, cost) for row in rows], log=True), 54, WIDTH - 14, log=True)
    y = Scale(low, high, 262, 34)
    picture.y_axis(y, 54, WIDTH - 14, _axis_label(metric))
    picture.x_axis(x, 30, 266, label)
    places = Places(54, WIDTH - 4, 26, 262)
    points = [(row, x(getattr(row, cost)), y(row.score or 0.0)) for row in rows]
    for _, px, py in points:
        places.take(px - 7, py - 7, px + 7, py + 7)
    for row, px, py in points:
        tooltip = f"{row.label}: {number(row.score, digits)}, {write(getattr(row, cost))}"
        mark = circle(px, py, 6.5, "mean")
        if row not in shown:
            mark = _off_axis_below(px, py, downwards=y(row.score or 0.0) > 200)
        spread = None
        if row.score_range is not None and row in shown:
            spread = line(px, y(row.score_range[0]), px, y(row.score_range[1]), "thin")
        name = row.label if row in shown else f"{row.label} ({number(row.score, digits)})"
        picture.add(
            group(spread, mark, places.label(name, px, py), class_=_color(row), title=tooltip)
        )
    return picture.svg()


def learning_plot(
    curves: Sequence[Mapping[str, Any]], families: Mapping[str, str], metric: MetricWords
) -> Markup | None:
    """Draw the score against the number of training rows, with one standard deviation."""
    drawn = [(str(curve["name"]), _points(curve)) for curve in curves]
    drawn = [(name, points) for name, points in drawn if len(points) > 1]
    if not drawn:
        return None
    sizes = sorted({rows for _, points in drawn for rows, _, _ in points})
    scores = [mean for _, points in drawn for _, mean, _ in points]
    spreads = [
        mean + sign * std for _, points in drawn for _, mean, std in points for sign in (-1, 1)
    ]
    # one wild standard deviation must not flatten all curves
    room = max(scores) - min(scores) or 0.1 * abs(scores[0]) or 1.0
    low = max(min(spreads), min(scores) - 0.25 * room)
    high = min(max(spreads), max(scores) + 0.25 * room)
    picture = Picture(
        "learning",
        f"Learning curves: {metric.label} against training rows",
        "; ".join(
            f"{model_label(name)} from {number(points[0][1])} at {points[0][0]:,.0f} rows "
            f"to {number(points[-1][1])} at {points[-1][0]:,.0f}"
            for name, points in drawn
        ),
        height=318,
    )
    x = Scale(sizes[0], sizes[-1], 54, WIDTH - _LABELS, log=sizes[-1] > 8 * sizes[0])
    y = Scale(*padded([low, high]), 262, 34)
    picture.y_axis(y, 54, WIDTH - _LABELS, _axis_label(metric))
    scaling = ", logarithmic" if x.log else ""
    picture.x_axis(x, 30, 266, f"training rows{scaling}", 5)
    ends = spread_apart([y(points[-1][1]) for _, points in drawn], 16.0, 34.0, 262.0)
    for (name, points), end in zip(drawn, ends, strict=True):
        picture.add(_curve(model_label(name), points, x, y, end, families.get(name, "")))
    return picture.svg()


def _curve(
    name: str,
    points: list[tuple[float, float, float]],
    x: Scale,
    y: Scale,
    label_y: float,
    family: str,
) -> Markup:
    upper = [(x(rows), y(mean + std)) for rows, mean, std in points]
    lower = [(x(rows), y(mean - std)) for rows, mean, std in reversed(points)]
    path = [(x(rows), y(mean)) for rows, mean, _ in points]
    dots = [
        circle(
            x(rows),
            y(mean),
            3.2,
            "dot",
            f"{name}, {rows:,.0f} rows: {number(mean, 4)} ± {number(std, 4)}",
        )
        for rows, mean, std in points
    ]
    last_x, last_y = path[-1]
    return group(
        tag("polygon", points=_coordinates(upper + lower), class_="band"),
        tag("polyline", points=_coordinates(path), class_="curve"),
        *dots,
        line(last_x + 5, last_y, last_x + 14, label_y, "leader"),
        text(last_x + 17, label_y + 4, shortened(name, _LABELS - 18), "name"),
        class_=f"c-{family}",
        title=name,
    )


def importance_plot(importance: Sequence[Mapping[str, Any]], metric: MetricWords) -> Markup | None:
    """Draw how much the score falls when the values of a column are shuffled."""
    entries = [entry for entry in importance if entry.get("mean") is not None]
    n_more = len(entries) - _MAX_BARS
    entries = sorted(entries, key=lambda entry: -entry["mean"])[:_MAX_BARS]
    if not entries:
        return None
    row, left = 24.0, 150.0
    tops = [entry["mean"] + (entry.get("std") or 0.0) for entry in entries]
    picture = Picture(
        "importance",
        "Permutation importance",
        "; ".join(f"{entry['feature']} {number(entry['mean'], 4)}" for entry in entries),
        height=row * len(entries) + (58 if n_more <= 0 else 78),
    )
    low = min(0.0, *(entry["mean"] for entry in entries))
    scale = Scale(low, max(*tops, 1e-12) * 1.04, left, WIDTH - 56)
    bottom = row * len(entries) + 8
    direction = "fall" if metric.greater_is_better else "rise"
    picture.x_axis(scale, 4, bottom, f"{direction} in {metric.label} when shuffled", 4)
    for i, entry in enumerate(entries):
        picture.add(_bar(entry, scale, 4 + row * (i + 0.5), left, fixed=0.01 <= tops[0] < 100))
    picture.add(line(scale(0.0), 4, scale(0.0), bottom, "zero"))
    if n_more > 0:
        picture.add(text(0, bottom + 62, f"and {n_more} more columns that matter less", "tick"))
    return picture.svg()


def _bar(entry: Mapping[str, Any], scale: Scale, y: float, left: float, *, fixed: bool) -> Markup:
    name, mean, std = str(entry["feature"]), float(entry["mean"]), float(entry.get("std") or 0.0)
    begin, end = sorted((scale(0.0), scale(mean)))
    return group(
        text(left - 10, y + 4, shortened(name, left - 12), "name", "end"),
        tag(
            "rect", x=begin, y=y - 7, width=max(end - begin, 0.6), height=14.0, rx=2.0, class_="bar"
        ),
        line(scale(mean - std), y, scale(mean + std), y, "whisker") if std > 0 else None,
        text(WIDTH, y + 4, f"{mean:.4f}" if fixed else number(mean, 4), "value", "end"),
        class_="c-accent",
        title=f"{name}: {number(mean, 4)} ± {number(std, 4)}",
    )


def _extent_of_score(row: ModelRow) -> tuple[float, ...]:
    return (row.score or 0.0, *(row.score_range or ()), *row.fold_scores)


def _extent_of_difference(row: ModelRow) -> tuple[float, ...]:
    return (row.difference or 0.0, *(row.difference_range or ()))


def _off_axis(scale: Scale, value: float, y: float) -> Markup:
    """Point to where a value lies beyond the axis."""
    left = value < scale.low
    x, sign = (scale.start, -1) if left else (scale.stop, 1)
    corners = [(x + sign * 9.0, y), (x, y - 5.5), (x, y + 5.5)]
    note = text(x - sign * 9, y + 4, "off the scale", "tick", None if left else "end")
    return group(tag("polygon", points=_coordinates(corners), class_="fill"), note)


def _off_axis_below(x: float, y: float, *, downwards: bool) -> Markup:
    tip = y + (8 if downwards else -8)
    return tag("polygon", points=_coordinates([(x, tip), (x - 6, y), (x + 6, y)]), class_="fill")


def _row_label(row: ModelRow, y: float) -> Markup:
    class_ = "name strong" if row.recommended else "name"
    label = text(0, y + 4, shortened(row.label, _LABELS - 12), class_)
    return group(label, title=row.label)


def _points(curve: Mapping[str, Any]) -> list[tuple[float, float, float]]:
    return [
        (float(point["rows"]), float(point["score_mean"]), float(point.get("score_std") or 0.0))
        for point in curve.get("points") or ()
        if point.get("score_mean") is not None
    ]


def _axis_label(metric: MetricWords) -> str:
    return f"{metric.label} ({'higher' if metric.greater_is_better else 'lower'} is better)"


def _verdict(row: ModelRow) -> str:
    return VERDICTS.get(row.verdict, row.verdict).replace("practically equal", "equal")


def _color(row: ModelRow) -> str:
    return f"c-{row.family}"


def _coordinates(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
