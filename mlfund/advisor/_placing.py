"""Where things go in a plot: labels beside their points, rows on an axis or off it."""

from __future__ import annotations

from mlfund.advisor._html import Markup
from mlfund.advisor._svg import text, text_width
from mlfund.advisor._view import ModelRow


class Places:
    """Rectangles that are taken, so that labels find a free place beside their point."""

    def __init__(self, left: float, right: float, top: float, bottom: float) -> None:
        self.frame = (left, top, right, bottom)
        self.taken: list[tuple[float, float, float, float]] = []

    def take(self, *box: float) -> None:
        """Mark a rectangle (left, top, right, bottom) as taken."""
        left, top, right, bottom = box
        self.taken.append((left, top, right, bottom))

    def label(self, name: str, x: float, y: float) -> Markup:
        """Write a label right, left, above or below of a point, where it collides least."""
        width = text_width(name)
        choices = [
            (x + 11, y + 4, None, x + 11),
            (x - 11, y + 4, "end", x - 11 - width),
            *((x, y + dy, "middle", x - width / 2) for dy in (-13.0, 22.0, -28.0, 37.0)),
        ]
        place = min(choices, key=lambda choice: self._collisions(choice[3], choice[1], width))
        self.take(place[3], place[1] - 11, place[3] + width, place[1] + 3)
        return text(place[0], place[1], name, "name", place[2])

    def _collisions(self, left: float, base: float, width: float) -> float:
        right, top, bottom = left + width, base - 11, base + 3
        frame = self.frame
        outside = max(0.0, frame[0] - left) + max(0.0, right - frame[2])
        outside += max(0.0, frame[1] - top) + max(0.0, bottom - frame[3])
        overlap = sum(
            max(0.0, min(right, box[2]) - max(left, box[0]))
            * max(0.0, min(bottom, box[3]) - max(top, box[1]))
            for box in self.taken
        )
        return overlap + 30 * outside


def rows_on_axis(rows: list[ModelRow], extents: list[tuple[float, ...]]) -> list[ModelRow]:
    """Leave rows off the axis that would squeeze all others together, the prior mostly."""
    values = dict(zip(map(id, rows), extents, strict=True))
    shown = list(rows)
    while len(shown) > 2:
        farthest = max(
            shown, key=lambda row: _span(shown, values) - _span(_without(shown, row), values)
        )
        rest = _without(shown, farthest)
        if _span(shown, values) <= 3 * _span(rest, values) or len(rest) < len(rows) / 2:
            break
        shown = rest
    return shown


def _without(rows: list[ModelRow], row: ModelRow) -> list[ModelRow]:
    return [other for other in rows if other is not row]


def _span(rows: list[ModelRow], values: dict[int, tuple[float, ...]]) -> float:
    flat = [value for row in rows for value in values[id(row)]]
    return max(flat) - min(flat)


def spread_apart(positions: list[float], gap: float, low: float, high: float) -> list[float]:
    """Move label positions apart to at least `gap`, in their order, within a range."""
    order = sorted(range(len(positions)), key=positions.__getitem__)
    placed = dict.fromkeys(order, 0.0)
    bottom = low - gap
    for index in order:
        bottom = placed[index] = max(positions[index], bottom + gap)
    top = high + gap
    for index in reversed(order):
        top = placed[index] = min(placed[index], top - gap)
    return [placed[index] for index in range(len(positions))]
