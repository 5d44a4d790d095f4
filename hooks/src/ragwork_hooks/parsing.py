"""Files and their text: what a parser is given, what it gives, and how it says that a file can't be read."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, Protocol, TypeAlias

import attrs

from ragwork_hooks.provider_kinds import ProviderKind

BlockKind: TypeAlias = Literal["heading", "paragraph", "list", "table_row", "code"]
#: What is wrong with a file: it needs a password; it is damaged or no file of its type; there is no text in it
#: (a scan); nobody parses its type; it holds more, or takes more, than a file may.
ParseFault: TypeAlias = Literal["encrypted", "corrupt", "no_text", "unsupported", "resource_limit"]


class ParseError(Exception):
    """A file can't be read, and trying again changes nothing. ``message`` says what its owner can do about it.

    ``accepted`` has the media types that would be taken, for ``unsupported``.
    """

    def __init__(self, code: ParseFault, message: str, accepted: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code: ParseFault = code
        self.message = message
        self.accepted = tuple(accepted)


@attrs.frozen(kw_only=True)
class ParseLimits:
    """How much one file may hold; more is ``resource_limit``."""

    #: Pages, slides or sheets.
    pages: int = 5_000
    #: Rows of all its tables.
    rows: int = 200_000
    #: Columns of one table.
    columns: int = 1_000
    #: Characters of text.
    characters: int = 20_000_000
    #: Bytes unpacked for each byte of an archive.
    expansion: int = 200
    #: Files in an archive.
    members: int = 10_000
    #: How deep elements or values stand in each other.
    nesting: int = 200


@attrs.frozen(kw_only=True)
class SourceFile:
    """A file to parse. ``media_type`` is what its content was found to be, ``filename`` what its owner calls it,
    ``encoding`` how the bytes of a text are to be decoded.
    """

    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    media_type: str
    filename: str = ""
    encoding: str = "utf-8"
    limits: ParseLimits = ParseLimits()


@attrs.frozen(kw_only=True)
class TextBlock:
    """A piece of a file's text, in reading order, and where it stands.

    ``headings`` are those above it, the outermost first; a heading's own text is not among them. Pages and slides
    count from 1. ``cells`` is the range of a spreadsheet's row (``A2:D2``), ``columns`` the column names of a
    table's row. The text of a row has `` | `` between its cells, that of a list one item a line.
    """

    kind: BlockKind
    text: str
    headings: tuple[str, ...] = ()
    page: int | None = None
    slide: int | None = None
    sheet: str | None = None
    cells: str | None = None
    columns: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Attachment:
    """A file within the file, to be parsed as a document of its own."""

    filename: str
    media_type: str
    content: bytes = attrs.field(repr=lambda content: f"<{len(content)} bytes>")


@attrs.frozen(kw_only=True)
class Parsed:
    """What is in a file. ``warnings`` are sentences about what was left out. ``language`` is a tag as the file
    says it (``de-CH``); times are those that it says, too. ``encoding`` is how the bytes of a text were decoded.
    """

    blocks: Sequence[TextBlock]
    media_type: str = ""
    encoding: str | None = None
    title: str | None = None
    author: str | None = None
    language: str | None = None
    created: datetime | None = None
    modified: datetime | None = None
    attachments: Sequence[Attachment] = ()
    warnings: Sequence[str] = ()


class Parser(Protocol):
    """Provider of kind ``parser``: an attrs class whose fields are JSON values. It parses in a process without
    network, environment or files to write, which makes an equal object of the class by its import name.
    """

    @property
    def name(self) -> str: ...
    @property
    def media_types(self) -> Sequence[str]:
        """What it takes: ``application/pdf``."""

    @property
    def extensions(self) -> Mapping[str, str]:
        """Endings of file names, lower case and with the dot, and the media type that each stands for."""

    def load(self) -> None:
        """Import what parsing takes. Called once in a process that then parses many files."""

    def parse(self, source: SourceFile) -> Parsed:
        """Raises ``ParseError``; any other exception counts as ``corrupt``."""


PARSER: Final = ProviderKind("parser", Parser, "PARSER_CONFIG_INVALID")


class DocumentParsing(Protocol):
    """Capability: the text of files of any type that some parser takes."""

    async def accepts(self) -> Mapping[str, Sequence[str]]:
        """Media types that are taken, and the endings of file names that stand for each."""

    async def media_type(self, tenant_id: str, data: bytes, filename: str, declared_type: str) -> str:
        """What the file is, by its content, its name and its declared type, in this order. Raises ``ParseError``
        ``unsupported`` when nobody parses that, and the ``ProviderError`` that ``parse`` raises.
        """

    async def parse(self, tenant_id: str, data: bytes, filename: str, declared_type: str) -> Parsed:
        """Raises ``ParseError``, and ``ProviderError``: SERVICE_BUSY when too many files wait, SERVICE_UNAVAILABLE when
        no process starts.
        """
