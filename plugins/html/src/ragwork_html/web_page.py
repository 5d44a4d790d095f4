"""A web page: its main content, found by trafilatura, else all of it without what is plainly navigation."""

import re
from datetime import datetime
from typing import Any, Final

import trafilatura
from lxml import html  # type: ignore[import-untyped]  # it ships no types
from ragwork_hooks.parsing import Parsed, ParseError, SourceFile
from ragwork_toolkit.parsing.block_list import BlockList

from ragwork_html.content_walker import ContentWalker, text_of

#: Main content with a smaller share of the page's text is not believed: it may be a table or an index that counts.
_LEAST_SHARE: Final = 0.05
#: Fewer characters are no main content of a page that has more.
_LEAST: Final = 200
#: Bytes of a page whose main content is not looked for: it takes time by the square of the elements.
_LARGE: Final = 2_000_000
_NAVIGATION: Final = (
    ".//nav|.//header[not(ancestor::main|ancestor::article)]|.//footer|.//aside|.//form|.//dialog"
    "|.//*[@role='navigation' or @role='banner' or @role='contentinfo' or @role='search']"
    "|.//*[@hidden or @aria-hidden='true']"
)
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")


def read(source: SourceFile) -> Parsed:
    """See ``Parser.parse``."""
    root = tree(source.data.decode(source.encoding, "replace"))
    body = root.find("body")
    if body is None:
        raise ParseError("no_text", "The page has no body")
    _mark_code(body)
    is_large = len(source.data) > _LARGE
    found = (
        None if is_large else trafilatura.bare_extraction(root, include_comments=False, with_metadata=False)
    )
    main = getattr(found, "body", None)
    for element in body.xpath(_NAVIGATION):
        element.drop_tree()
    blocks = BlockList(source.limits)
    walker = ContentWalker(blocks, source.limits)
    is_whole = main is None or _is_little(len(text_of(main)), len(text_of(body)))
    walker.read(body if is_whole else main)
    said = _Metadata(root)
    return Parsed(
        blocks=blocks.blocks,
        encoding=source.encoding,
        title=said.named("og:title") or root.findtext("head/title"),
        author=said.named("author"),
        language=said.language(),
        created=said.time("article:published_time"),
        modified=said.time("article:modified_time"),
        warnings=["No main content was found: the whole page was taken"] if is_whole else [],
    )


def tree(text: str) -> Any:
    """The page as elements. Comments and processing instructions are gone; an empty text is an empty page."""
    # As bytes with their encoding given: what the page says of it was true of other bytes.
    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    data = text.replace("\x00", "").encode("utf-8", "replace")
    return html.document_fromstring(data if data.strip() else b"<body></body>", parser=parser)


def _mark_code(body: Any) -> None:
    """Preformatted text as code: trafilatura takes it for a quotation otherwise, and joins its lines."""
    for element in body.iter("pre"):
        if element.find(".//code") is None:
            code = html.Element("code")
            code.text, element.text = element.text, None
            code.extend(list(element))
            element.append(code)


def _is_little(main: int, body: int) -> bool:
    return main < body * _LEAST_SHARE or (main < _LEAST and main < body)


class _Metadata:
    """What a page says of itself in its head."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._named: dict[str, str] = {}
        for meta in root.iter("meta"):
            name = meta.get("property") or meta.get("name")
            if name and meta.get("content"):
                self._named.setdefault(name.lower(), meta.get("content").strip())

    def named(self, name: str) -> str | None:
        return self._named.get(name)

    def language(self) -> str | None:
        said = (self._root.get("lang") or self._root.get("xml:lang") or "").strip()
        return said if _LANGUAGE.fullmatch(said) else None

    def time(self, name: str) -> datetime | None:
        try:
            return datetime.fromisoformat(self._named.get(name, ""))
        except ValueError:
            return None
