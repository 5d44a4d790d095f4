"""An Office package: a ZIP archive of XML parts that name each other by relationships."""

import posixpath
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from lxml import etree  # type: ignore[import-untyped]  # it ships no types
from ragwork_hooks.parsing import ParseError, SourceFile
from ragwork_toolkit.parsing.archives import Archive, refuse_entities

_ID: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_OFFICE_DOCUMENT: Final = "officeDocument"
_CORE: Final = "docProps/core.xml"


class OfficePackage:
    """The parts of ``source``. Raises ``ParseError``."""

    def __init__(self, source: SourceFile) -> None:
        self._archive = Archive(source.data, source.limits)
        self._names = frozenset(self._archive.names)
        self._depth = source.limits.nesting

    @property
    def document(self) -> str:
        """The name of the part from which all others are reached."""
        for kind, target in self.related("").values():
            if kind == _OFFICE_DOCUMENT:
                return target
        raise ParseError("corrupt", "The file names no document: save it again and upload it anew")

    def xml(self, name: str) -> Any:
        """The root element of the part ``name``."""
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True)
        try:
            return etree.fromstring(refuse_entities(self._archive.read(name)), parser)
        except etree.XMLSyntaxError as error:
            raise ParseError("corrupt", f"The file is damaged: {name} is no XML ({error})") from None

    def has(self, name: str) -> bool:
        return name in self._names

    def related(self, name: str) -> Mapping[str, tuple[str, str]]:
        """Of the part ``name``: relationship id → (kind, part). Nothing outside of the package is among them."""
        folder, base = posixpath.split(name)
        listing = posixpath.join(folder, "_rels", f"{base}.rels")
        if not self.has(listing):
            return {}
        found = {}
        for each in self.xml(listing):
            if not isinstance(each.tag, str) or each.get("TargetMode") == "External":
                continue
            target = posixpath.normpath(posixpath.join("/", folder, each.get("Target", ""))).lstrip("/")
            found[each.get("Id", "")] = (each.get("Type", "").rpartition("/")[2], target)
        return found

    def of_kind(self, name: str, kind: str) -> list[str]:
        """The parts that ``name`` is related to as ``kind``, if they are there."""
        return [target for of, target in self.related(name).values() if of == kind and self.has(target)]

    def said(self) -> Mapping[str, Any]:
        """Title, author and times, as fields of ``Parsed``."""
        if not self.has(_CORE):
            return {}
        texts = {local(each): each.text for each in self.xml(_CORE) if each.text}
        return {
            "title": texts.get("title"),
            "author": texts.get("creator"),
            "language": texts.get("language"),
            "created": _time(texts.get("created")),
            "modified": _time(texts.get("modified")),
        }


def local(element: Any) -> str:
    """The name of ``element`` without its namespace; nothing for a comment."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def relationship(element: Any) -> str:
    """The relationship that ``element`` names by ``r:id``."""
    return str(element.get(_ID, ""))


def attribute(element: Any, name: str) -> str | None:
    """An attribute by its local name: transitional and strict files have different namespaces."""
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == name), None)


def child(element: Any, *path: str) -> Any:
    """The first descendant along ``path`` of local names, or nothing."""
    for name in path:
        element = next((each for each in element if local(each) == name), None)
        if element is None:
            return None
    return element


def _time(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat((text or "").replace("Z", "+00:00"))
    except ValueError:
        return None
