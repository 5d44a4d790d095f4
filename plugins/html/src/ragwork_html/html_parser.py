"""The provider ``html`` of kind ``parser``. The libraries are imported where files are parsed."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import attrs
from ragwork_hooks.parsing import Parsed, Parser, SourceFile
from ragwork_hooks.providers import Provider, ProviderContext

HTML, XHTML, EPUB = "text/html", "application/xhtml+xml", "application/epub+zip"

_FIRST = (
    b"<html><body><main><h1>First</h1><p>" + b"A page of some length. " * 20 + b"</p></main></body></html>"
)


@attrs.frozen
class HtmlParser:
    """Implements ``ragwork_hooks.parsing.Parser``."""

    name: ClassVar[str] = "html"
    media_types: ClassVar[Sequence[str]] = (HTML, XHTML, EPUB)
    extensions: ClassVar[Mapping[str, str]] = {
        ".html": HTML, ".htm": HTML, ".xhtml": XHTML, ".epub": EPUB
    }  # fmt: skip

    def load(self) -> None:
        """See ``Parser.load``."""
        import ragwork_html.epub
        import ragwork_html.web_page

        # What trafilatura prepares when it is first asked would be prepared for every file anew.
        ragwork_html.web_page.read(SourceFile(data=_FIRST, media_type=HTML))

    def parse(self, source: SourceFile) -> Parsed:
        """See ``Parser.parse``."""
        from ragwork_html import epub, web_page

        return epub.read(source) if source.media_type == EPUB else web_page.read(source)


async def _open(context: ProviderContext[object]) -> Parser:
    return HtmlParser()


provider: Provider[Parser] = Provider(name="html", open=_open)
