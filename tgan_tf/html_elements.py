"""Elements of an HTML document, built as a tree.

    text = document(element("p", "see: ", element("a", "a < b", href="#comparison")))

ElementTree writes the document and escapes all text, so no text can become markup.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from xml.etree import ElementTree

Element = ElementTree.Element


def document(html: Element) -> str:
    """The text of a document, given its root element."""
    return f"<!DOCTYPE html>\n{ElementTree.tostring(html, encoding='unicode', method='html')}\n"


def element(tag: str, *contents: Element | str, **attributes: str) -> Element:
    """An element with contents; only the first may be text."""
    made = Element(tag, attributes)
    for content in contents:
        if isinstance(content, str):
            made.text = content
        else:
            made.append(content)
    return made


def picture(data: bytes, alt: str, caption: str) -> Element:
    """A picture embedded in the document.

    Args:
        data: contents of a GIF, PNG or SVG file.
        alt: alternative text.
        caption: text below the picture; "" for none.
    """
    kinds = {b"GIF": "gif", b"\x89PN": "png"}
    kind = kinds.get(data[:3], "svg+xml")
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    image = element("img", src=source, alt=alt)
    return element("figure", image, *([element("figcaption", caption)] if caption else []))


def table(rows: Sequence[Sequence[str]], heading_column: bool = False) -> Element:
    """A table with headings in the first row or, with `heading_column`, the first column."""
    found = []
    for number, row in enumerate(rows):
        cells = []
        for column, text in enumerate(row):
            attributes = {"class": "number"} if column and not heading_column else {}
            heads = column == 0 if heading_column else number == 0
            if heads:
                attributes["scope"] = "row" if heading_column else "col"
            cells.append(element("th" if heads else "td", text, **attributes))
        found.append(element("tr", *cells))
    return element("table", *found)


def preformatted(lines: Sequence[str]) -> Element:
    """Preformatted lines."""
    return scrolled(element("pre", "\n".join(lines)))


def scrolled(content: Element) -> Element:
    """A container that scrolls sideways if its content is too wide."""
    return element("div", content, **{"class": "scrolled", "tabindex": "0"})
