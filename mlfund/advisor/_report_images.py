"""What a report shows of images: examples of each class, and which are taken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlfund.advisor._html import Content, Markup, tag
from mlfund.advisor._words import model_label

# Classes up to which a confusion matrix can be read.
MOST_CLASSES = 30


def image_size(profile: Mapping[str, Any]) -> str | None:
    """Return height, width and channels in words; None for a table."""
    images = profile.get("images")
    if not images:
        return None
    plural = "" if images["channels"] == 1 else "s"
    return f"{images['height']} x {images['width']} pixels, {images['channels']} channel{plural}"


def images_section(advice: Mapping[str, Any]) -> Markup | None:
    """Show examples of each class and the confusion of the recommended model."""
    images = (advice.get("profile") or {}).get("images")
    if not images:
        return None
    shown = [_contact_sheet(images["contact_sheet"]), _confusion(advice.get("confusion"))]
    blocks = [block for block in shown if block is not None]
    return tag("section", tag("h2", "The images"), *blocks)


def _contact_sheet(sheets: Sequence[Mapping[str, str]]) -> Markup:
    rows = [
        tag(
            "div",
            tag("span", sheet["label"], class_="sheet-label"),
            tag(
                "img",
                src=f"data:image/png;base64,{sheet['png']}",
                alt=f"Examples of {sheet['label']}",
            ),
            class_="sheet",
        )
        for sheet in sheets
    ]
    caption = tag("figcaption", tag("h3", "Examples"), tag("p", "Some of each class."))
    return tag("figure", caption, *rows, class_="card sheets")


def _confusion(confusion: Mapping[str, Any] | None) -> Markup | None:
    if not confusion or len(confusion["labels"]) > MOST_CLASSES:
        return None
    labels, counts = confusion["labels"], confusion["counts"]
    head = tag(
        "tr",
        tag("th", "true class", scope="col"),
        *(tag("th", label, scope="col", class_="n") for label in labels),
    )
    body = [
        tag("tr", tag("th", label, scope="row"), *_cells(row, place))
        for place, (label, row) in enumerate(zip(labels, counts, strict=True))
    ]
    table = tag("table", tag("thead", head), tag("tbody", *body), class_="confusion")
    scroll = tag(
        "div", table, class_="scroll", tabindex=0, role="group", aria_label="Confusion matrix"
    )
    text = (
        f"Held-out images of each class, over all folds, and what {model_label(confusion['name'])} "
        "takes them for. Those on the diagonal are right."
    )
    caption = tag("figcaption", tag("h3", "What is taken for what"), tag("p", text))
    return tag("figure", caption, scroll, class_="card")


def _cells(row: Sequence[int], place: int) -> list[Content]:
    """Return the cells of a true class, the more errors the redder."""
    total = max(sum(row), 1)
    cells: list[Content] = []
    for column, count in enumerate(row):
        share = round(100 * count / total)
        kind = "right" if column == place else "wrong"
        style = f"--share: {share}%" if count else None
        cells.append(tag("td", f"{count:,}" if count else "", class_=f"n {kind}", style=style))
    return cells
