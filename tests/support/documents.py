"""A page as a test looks at it: its elements and its text, without a browser."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

_VOID = {"meta", "link", "img", "br", "input", "hr"}


class Element:
    """An element of a page."""

    def __init__(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children: list[Element | str] = []

    @property
    def text(self) -> str:
        """Return the text of it and of all inside; what is unbreakable stays so."""
        parts = (child if isinstance(child, str) else f" {child.text} " for child in self.children)
        return re.sub(r"[ \t\r\n]+", " ", "".join(parts)).strip(" \t\r\n")

    def all(self, tag: str = "", **attributes: str) -> list["Element"]:
        """Return the elements inside with a tag and these attributes; `class_` is one of its classes."""
        return [found for found in self._inside() if found.fits(tag, attributes)]

    def one(self, tag: str = "", **attributes: str) -> "Element":
        """Return the only one."""
        (found,) = self.all(tag, **attributes)
        return found

    def fits(self, tag: str, attributes: dict[str, str]) -> bool:
        """True if it has a tag and attributes."""
        wanted = dict(attributes)
        name = wanted.pop("class_", None)
        return (
            tag in {"", self.tag}
            and all(self.attributes.get(key) == value for key, value in wanted.items())
            and (name is None or name in (self.attributes.get("class") or "").split())
        )

    def _inside(self) -> Iterator["Element"]:
        for child in self.children:
            if isinstance(child, Element):
                yield child
                yield from child._inside()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        assert len(element.attributes) == len(attrs), f"an attribute of {tag} is there twice"
        self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def document(html: str) -> Element:
    """Return a page, or a part of one.

    Raises:
        AssertionError: an element is not closed, or an attribute is there twice.
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert len(reader.open) == 1, f"<{reader.open[-1].tag}> is not closed"
    return reader.open[0]
