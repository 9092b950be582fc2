"""Elements of an HTML document, built as a tree.

    text = document(element("p", "see: ", element("a", "a < b", href="#comparison")))

ElementTree writes the document and escapes in it all that is text, so that nothing that a page
tells of can become a part of its markup.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from xml.etree import ElementTree

Element = ElementTree.Element


def document(html: Element) -> str:
    """The text of a document, from its outermost element."""
    return f"<!DOCTYPE html>\n{ElementTree.tostring(html, encoding='unicode', method='html')}\n"


def element(tag: str, *contents: Element | str, **attributes: str) -> Element:
    """An element with contents, of which a text is the first."""
    made = Element(tag, attributes)
    for content in contents:
        if isinstance(content, str):
            made.text = content
        else:
            made.append(content)
    return made


def picture(data: bytes, alt: str, caption: str) -> Element:
    """A picture that is in the document itself.

    Args:
        data: GIF, PNG or SVG.
        alt: what it shows, for those who do not see it.
        caption: below it, if any.
    """
    kinds = {b"GIF": "gif", b"\x89PN": "png"}
    kind = kinds.get(data[:3], "svg+xml")
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    image = element("img", src=source, alt=alt)
    return element("figure", image, *([element("figcaption", caption)] if caption else []))


def table(rows: Sequence[Sequence[str]], heading_column: bool = False) -> Element:
    """A table whose first row, or else first column, are headings."""
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
    """Lines as they stand."""
    return scrolled(element("pre", "\n".join(lines)))


def scrolled(content: Element) -> Element:
    """What may be wider than a phone, and is then moved by a finger or by the arrow keys."""
    return element("div", content, **{"class": "scrolled", "tabindex": "0"})
