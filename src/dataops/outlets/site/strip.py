"""Takes out of a page what could act or call the network; keeps the text and the harmless markup around it.

An allow-list: an element or attribute that is not named here goes, whatever it is.
"""

from __future__ import annotations

from html import escape
from html.parser import HTMLParser

KEPT = frozenset(
    (
        "a",
        "b",
        "blockquote",
        "br",
        "caption",
        "code",
        "dd",
        "div",
        "dl",
        "dt",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "li",
        "ol",
        "p",
        "pre",
        "section",
        "small",
        "span",
        "strong",
        "sub",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
    )
)
WITHOUT_END = frozenset(("br", "hr"))
WITH_CONTENT = frozenset(
    (
        "script",
        "style",
        "iframe",
        "object",
        "svg",
        "math",
        "template",
        "noscript",
        "button",
        "form",
        "title",
        "textarea",
    )
)
ATTRIBUTES = frozenset({"id", "class", "href", "colspan", "rowspan", "scope", "lang", "title", "hidden"})


class _Stripper(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.kept: list[str] = []
        self.dropping: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.dropping or tag in WITH_CONTENT:
            if tag in WITH_CONTENT:
                self.dropping.append(tag)
        elif tag in KEPT:
            said = "".join(f' {name}="{escape(value or "")}"' for name, value in attrs if _may_stay(name, value or ""))
            self.kept.append(f"<{tag}{said}>")

    def handle_endtag(self, tag: str) -> None:
        if self.dropping:
            if tag == self.dropping[-1]:
                self.dropping.pop()
        elif tag in KEPT and tag not in WITHOUT_END:
            self.kept.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self.dropping:
            self.kept.append(escape(data, quote=False))


def _may_stay(name: str, value: str) -> bool:
    # A link may only lead to a place on the same page: GX's others lead to its walkthrough and its web site.
    return name in ATTRIBUTES and (name != "href" or value.startswith("#"))


def strip(html: str) -> str:
    """The fragment without scripts, styles, images, forms, event handlers and links to elsewhere."""
    stripper = _Stripper()
    stripper.feed(html)
    stripper.close()
    return "".join(stripper.kept)
