"""HTML and SVG as nested calls in which every string is escaped unless it is `Markup`.

Column names, class labels and file names come from the user's data, so escaping
is the default and cannot be forgotten: only the functions here make `Markup`.

Examples
--------
>>> tag("p", "a < b & ", tag("b", "<script>"), class_="note")
'<p class="note">a &lt; b &amp; <b>&lt;script&gt;</b></p>'
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

# Elements without content and without an end tag.
_VOID = frozenset({"br", "hr", "img", "meta", "link"})


class Markup(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


Content = str | int | float | None


def tag(name: str, /, *content: Content, **attributes: Content | bool) -> Markup:
    """Return one element with escaped content and attributes.

    Parameters
    ----------
    name : str
        Name of the element.
    *content : str, number or None
        Children in order; plain strings are escaped, `Markup` is kept, None is left out.
    **attributes : str, number, bool or None
        A trailing underscore is dropped (``class_``), other underscores become
        hyphens (``stroke_width``); None and False leave the attribute out.
    """
    head = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{head}>")
    return Markup(f"<{name}{head}>{join(content)}</{name}>")


def join(parts: Iterable[Content], separator: str = "") -> Markup:
    """Return parts one after the other, plain strings escaped, None left out."""
    texts = [
        part if isinstance(part, Markup) else escape(str(part))
        for part in parts
        if part is not None
    ]
    return Markup(escape(separator).join(texts))


def _attribute(key: str, value: Content | bool) -> str:
    if value is None or value is False:
        return ""
    # viewBox and gradientUnits are the camel-case attributes of SVG and pass as they are
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    if isinstance(value, float):
        value = f"{value:.2f}".rstrip("0").rstrip(".")
    return f' {name}="{escape(str(value))}"'
