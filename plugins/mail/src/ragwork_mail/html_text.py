"""The text of an HTML mail, which is made for layout: paragraphs, without what is not shown."""

from collections.abc import Sequence
from html import parser
from typing import Final

_SILENT: Final = frozenset({"script", "style", "head", "title", "template", "noscript"})
_BREAKS: Final = frozenset(
    {
        "p", "div", "br", "li", "tr", "table", "ul", "ol", "blockquote", "pre", "hr", "h1", "h2", "h3", "h4", "h5",
        "h6", "body", "section", "article", "header", "footer",
    }
)  # fmt: skip


def paragraphs_of(html: str) -> Sequence[str]:
    """One text for each block that is shown."""
    reader = _HtmlText()
    reader.feed(html)
    reader.close()
    return reader.finished()


class _HtmlText(parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._pieces: list[str] = []
        self._found: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self._silent += tag in _SILENT
        if tag in _BREAKS:
            self._end()
        elif tag in ("td", "th"):
            self._pieces.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in _SILENT and self._silent > 0
        if tag in _BREAKS:
            self._end()

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self._pieces.append(data)

    def finished(self) -> Sequence[str]:
        self._end()
        return self._found

    def _end(self) -> None:
        text = " ".join("".join(self._pieces).split())
        if text:
            self._found.append(text)
        self._pieces.clear()
