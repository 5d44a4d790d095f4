"""EPUB books: the chapters in the order of their spine."""

import posixpath
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote

from lxml import etree  # type: ignore[import-untyped]  # it ships no types
from ragwork_hooks.parsing import Parsed, ParseError, SourceFile
from ragwork_toolkit.parsing.archives import Archive, refuse_entities
from ragwork_toolkit.parsing.block_list import BlockList, too_many

from ragwork_html.content_walker import ContentWalker
from ragwork_html.web_page import tree

_CONTAINER: Final = "META-INF/container.xml"
_ENCRYPTION: Final = "META-INF/encryption.xml"
_TYPES: Final = frozenset({"application/xhtml+xml", "text/html"})


def read(source: SourceFile) -> Parsed:
    """See ``Parser.parse``."""
    archive = Archive(source.data, source.limits)
    if _ENCRYPTION in archive.names and b"xmlenc#aes" in archive.read(_ENCRYPTION):
        raise ParseError("encrypted", "The book is protected against copying: give one that is not")
    path = next(iter(_xml(archive.read(_CONTAINER)).xpath("//*[local-name()='rootfile']/@full-path")), None)
    if path is None:
        raise ParseError("corrupt", f"{_CONTAINER} names no book")
    package = _xml(archive.read(path))
    blocks = BlockList(source.limits)
    walker = ContentWalker(blocks, source.limits)
    for number, chapter in enumerate(_chapters(package, posixpath.dirname(path)), 1):
        if number > source.limits.pages:
            raise too_many("chapters", source.limits.pages)
        body = tree(archive.read(chapter).decode("utf-8", "replace")).find("body")
        if body is not None:
            walker.read(body)
    return Parsed(
        blocks=blocks.blocks,
        title=_said(package, "title"),
        author=_said(package, "creator"),
        language=_said(package, "language"),
        created=_time(_said(package, "date")),
    )


def _xml(data: bytes) -> Any:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True)
    root = etree.fromstring(refuse_entities(data), parser)
    if root is None:
        raise ParseError("corrupt", "The book's list of contents is no XML")
    return root


def _chapters(package: Any, folder: str) -> Iterator[str]:
    """Paths within the archive. The table of contents is none of them."""
    items = {
        item.get("id"): posixpath.normpath(posixpath.join(folder, unquote(item.get("href", ""))))
        for item in package.xpath("//*[local-name()='manifest']/*[local-name()='item']")
        if item.get("media-type") in _TYPES and "nav" not in item.get("properties", "").split()
    }
    for reference in package.xpath("//*[local-name()='spine']/*[local-name()='itemref']/@idref"):
        if reference in items:
            yield items[reference]


def _said(package: Any, name: str) -> str | None:
    found = package.xpath(f"//*[local-name()='metadata']/*[local-name()='{name}']/text()")
    return str(found[0]) if found else None


def _time(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text or "")
    except ValueError:
        return None
