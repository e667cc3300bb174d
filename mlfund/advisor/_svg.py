"""Scales, ticks and the frame of a plot, as inline SVG that takes its colours from the page."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mlfund.advisor._html import Content, Markup, join, tag

WIDTH = 500
# Mean advance of the report's font, as a share of its size.
_CHARACTER = 0.54
FONT = 12.5


@dataclass(frozen=True)
class Scale:
    """A map from data to picture coordinates, linear or logarithmic.

    Attributes
    ----------
    low, high : float
        Range of the data, both positive where `log` is set.
    start, stop : float
        Where `low` and `high` lie in the picture.
    log : bool
        Whether equal distances are equal ratios.
    """

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value, held within the picture."""
        low, high, value = (
            (math.log(self.low), math.log(self.high), math.log(max(value, 1e-300)))
            if self.log
            else (self.low, self.high, value)
        )
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + min(max(share, 0.0), 1.0) * (self.stop - self.start)

    def holds(self, value: float) -> bool:
        """Tell whether a value lies on the axis."""
        slack = 1e-9 * abs(self.high - self.low)
        return self.low - slack <= value <= self.high + slack

    def ticks(self, n: int = 5) -> list[float]:
        """Return round values along the axis, about `n` of them."""
        return _log_ticks(self.low, self.high, n) if self.log else _ticks(self.low, self.high, n)


def padded(values: list[float], *, log: bool = False, share: float = 0.06) -> tuple[float, float]:
    """Return a range around values with room at both ends."""
    low, high = min(values), max(values)
    if log:
        # at least a factor of four, so that the axis has ticks and small ratios look small
        ratio = max((high / low) ** share, 2 / (high / low) ** 0.5, 1.15)
        return low / ratio, high * ratio
    room = share * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _ticks(low: float, high: float, n: int) -> list[float]:
    step = (high - low) / max(n, 1)
    if step <= 0:
        return [low]
    magnitude = 10.0 ** math.floor(math.log10(step))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= step * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    # + 0.0 turns -0.0 into 0.0
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def _log_ticks(low: float, high: float, n: int) -> list[float]:
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [d * 10.0**e for e in exponents for d in digits]
        ticks = [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]
        if len(ticks) <= n:
            return ticks
    stride = math.ceil(len(ticks) / n)
    return ticks[::stride]


def tick_labels(ticks: list[float]) -> list[str]:
    """Write ticks with as many decimals as tell them apart, or each as it is over decades.

    Examples
    --------
    >>> tick_labels([0.9, 0.925, 0.95]), tick_labels([10.0, 1000.0])
    (['0.900', '0.925', '0.950'], ['10', '1,000'])
    >>> tick_labels([0.01, 0.1, 1.0, 10.0])
    ['0.01', '0.1', '1', '10']
    """
    positive = [abs(tick) for tick in ticks if tick]
    if positive and max(positive) >= 99 * min(positive) and min(ticks) > 0:
        return [f"{tick:,.10g}" for tick in ticks]
    for decimals in range(10):
        labels = [f"{tick:,.{decimals}f}" for tick in ticks]
        exact = all(
            math.isclose(round(tick, decimals), tick, rel_tol=1e-9, abs_tol=1e-12) for tick in ticks
        )
        if exact and len(set(labels)) == len(labels):
            return labels
    return [f"{tick:.3g}" for tick in ticks]


def text_width(text: str, font: float = FONT) -> float:
    """Estimate the width of a text."""
    return len(text) * font * _CHARACTER


def shortened(text: str, width: float, font: float = FONT) -> str:
    """Cut a text to a width, with an ellipsis."""
    room = int(width / (font * _CHARACTER))
    return text if len(text) <= room else text[: max(room - 1, 1)].rstrip() + "…"


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Draw a straight line."""
    return tag("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_)


def circle(x: float, y: float, r: float, class_: str, title: str | None = None) -> Markup:
    """Draw a circle with an optional tooltip."""
    tooltip = tag("title", title) if title else None
    return tag("circle", tooltip, cx=float(x), cy=float(y), r=float(r), class_=class_)


def text(x: float, y: float, content: str, class_: str, anchor: str | None = None) -> Markup:
    """Write a text; `anchor` is ``middle`` or ``end``."""
    return tag("text", content, x=float(x), y=float(y), class_=class_, text_anchor=anchor)


def group(*content: Content, class_: str | None = None, title: str | None = None) -> Markup:
    """Put elements together, with a tooltip for all of them."""
    return tag("g", tag("title", title) if title else None, *content, class_=class_)


@dataclass
class Picture:
    """An SVG under construction; elements are drawn in the order they are added.

    Attributes
    ----------
    name : str
        Unique in the page; ids of title and description derive from it.
    title, description : str
        What a screen reader says.
    height : float
        In the units of the view box, which is `WIDTH` wide.
    """

    name: str
    title: str
    description: str
    height: float
    parts: list[Markup] = field(default_factory=list)

    def add(self, *elements: Markup) -> None:
        """Draw elements on top of those before."""
        self.parts.extend(elements)

    def x_axis(self, scale: Scale, top: float, bottom: float, label: str, n: int = 5) -> None:
        """Draw vertical grid lines with values below, and the label of the axis."""
        ticks = scale.ticks(n)
        for tick, name in zip(ticks, tick_labels(ticks), strict=True):
            x = scale(tick)
            self.add(line(x, top, x, bottom, "grid"), text(x, bottom + 17, name, "tick", "middle"))
        middle = (scale.start + scale.stop) / 2
        self.add(text(middle, bottom + 37, label, "axis", "middle"))

    def y_axis(self, scale: Scale, left: float, right: float, label: str, n: int = 5) -> None:
        """Draw horizontal grid lines with values on the left, and the label above them."""
        ticks = scale.ticks(n)
        for tick, name in zip(ticks, tick_labels(ticks), strict=True):
            y = scale(tick)
            self.add(line(left, y, right, y, "grid"), text(left - 8, y + 4, name, "tick", "end"))
        self.add(text(0, 14, label, "axis"))

    def svg(self) -> Markup:
        """Return the finished picture."""
        title_id, text_id = f"{self.name}-title", f"{self.name}-text"
        return Markup(
            f'<svg viewBox="0 0 {WIDTH} {self.height:g}" role="img" '
            f'aria-labelledby="{title_id} {text_id}">'
            + tag("title", self.title, id=title_id)
            + tag("desc", self.description, id=text_id)
            + join(self.parts)
            + "</svg>"
        )
