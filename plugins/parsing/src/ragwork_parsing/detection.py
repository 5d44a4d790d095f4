"""What a file is: by its content, then by its name, then by what its sender declares."""

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Final

import attrs
import orjson
from ragwork_hooks.parsing import ParseError, Parser

from ragwork_parsing.encoding import mark_of

PLAIN, MARKDOWN, UNKNOWN = "text/plain", "text/markdown", "application/octet-stream"
ZIP, OLE = "application/zip", "application/x-ole-storage"
_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
#: First bytes, and what begins so.
_BEGINNINGS: Final = (
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", ZIP),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE),
    (b"{\\rtf", "application/rtf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\x1f\x8b", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"\x7fELF", "application/x-executable"),
    (b"MZ\x90", "application/x-msdownload"),
    (b"%!PS", "application/postscript"),
)
#: Part of an Office package's list of contents → what the package is. With macros it is the same, without them.
_PACKAGES: Final = (
    ("wordprocessingml.document.main", f"{_OFFICE}wordprocessingml.document"),
    ("wordprocessingml.template.main", f"{_OFFICE}wordprocessingml.document"),
    ("ms-word.document.macroEnabled.main", f"{_OFFICE}wordprocessingml.document"),
    ("presentationml.presentation.main", f"{_OFFICE}presentationml.presentation"),
    ("presentationml.slideshow.main", f"{_OFFICE}presentationml.presentation"),
    ("ms-powerpoint.presentation.macroEnabled.main", f"{_OFFICE}presentationml.presentation"),
    ("spreadsheetml.sheet.main", f"{_OFFICE}spreadsheetml.sheet"),
    ("ms-excel.sheet.macroEnabled.main", f"{_OFFICE}spreadsheetml.sheet"),
    ("ms-excel.sheet.binary.macroEnabled.main", "application/vnd.ms-excel.sheet.binary.macroenabled.12"),
)
#: Streams of the older container, and what has them. The first that is there tells.
_STREAMS: Final = (
    ("EncryptedPackage", ""),
    ("Workbook", "application/vnd.ms-excel"),
    ("Book", "application/vnd.ms-excel"),
    ("WordDocument", "application/msword"),
    ("PowerPoint Document", "application/vnd.ms-powerpoint"),
    ("__properties_version1.0", "application/vnd.ms-outlook"),
)
_HTML: Final = re.compile(
    rb"\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--.{0,2000}?-->\s*)*<(?:!doctype\s+html|html)\b", re.I | re.S
)
_MAIL: Final = re.compile(rb"(?:[!-9;-~]{1,70}:[^\n]*\n(?:[ \t][^\n]*\n)*){2,}", re.ASCII)
_MAIL_FIELDS: Final = re.compile(
    rb"^(?:from|received|return-path|message-id|mime-version|delivered-to):", re.I | re.M
)
#: Control characters that no text has, but tabs, line and page ends, and escapes of terminals and encodings.
_CONTROL: Final = bytes(set(range(32)) - set(b"\t\n\r\f\x0b\x0e\x0f\x1a\x1b"))
#: Bytes that say what a text is.
_HEAD: Final = 8_192
#: Largest member of an archive that is read to say what the archive is.
_LARGEST_LIST: Final = 1_000_000


@attrs.frozen
class MediaTypes:
    """The types that some parser takes."""

    parsers: Mapping[str, Parser]
    extensions: Mapping[str, str]

    @classmethod
    def of(cls, parsers: Sequence[Parser]) -> "MediaTypes":
        """Of two parsers for one type the first has it."""
        by_type: dict[str, Parser] = {}
        by_extension: dict[str, str] = {}
        for parser in parsers:
            for media_type in parser.media_types:
                by_type.setdefault(media_type, parser)
            for extension, media_type in parser.extensions.items():
                by_extension.setdefault(extension, media_type)
        return cls(by_type, by_extension)

    @property
    def accepted(self) -> Mapping[str, Sequence[str]]:
        """Media type → endings of file names."""
        return {
            media_type: sorted(ending for ending, stands in self.extensions.items() if stands == media_type)
            for media_type in sorted(self.parsers)
        }

    def parser(self, media_type: str) -> Parser:
        return self.parsers[media_type]

    def detect(self, data: bytes, filename: str, declared: str) -> str:
        """The type of a file that somebody parses. Raises ``ParseError``."""
        if not data:
            raise ParseError("corrupt", "The file is empty: it has 0 bytes")
        found = _by_content(data)
        named = self.extensions.get(PurePath(filename.lower()).suffix, "")
        said = declared.partition(";")[0].strip().lower()
        media_type = self._chosen(data, found, named, said)
        if media_type in self.parsers:
            return media_type
        taken = ", ".join(sorted(self.extensions))
        what = filename or "the file"
        raise ParseError(
            "unsupported",
            f"{what} is {media_type}, which nobody parses here; taken are {taken}",
            [*self.parsers],
        )

    def _chosen(self, data: bytes, found: str, named: str, said: str) -> str:
        if found not in (UNKNOWN, PLAIN):
            # A package that doesn't say what it is may be one that is cut off: its parser says so.
            return named if found == ZIP and named in _ZIPPED and ZIP not in self.parsers else found
        if found == UNKNOWN:
            return named or (said if said in self.parsers else UNKNOWN)
        guesses = (named,) if named == MARKDOWN else (_by_text(data), named, said, _by_shape(data))
        for guess in guesses:
            if guess in self.parsers and guess not in _MARKED:
                return guess
        if named in _MARKED:
            raise ParseError(
                "corrupt", f"The file is named as {named}, but is no such file: it is a plain text"
            )
        return PLAIN


#: Types whose files begin with a mark: without it they are something else.
_MARKED: Final = frozenset(found for _, found in (*_BEGINNINGS, *_PACKAGES, *_STREAMS)) - {""} | {
    "application/epub+zip"
}
_ZIPPED: Final = frozenset(
    f"{_OFFICE}{part}"
    for part in ("wordprocessingml.document", "presentationml.presentation", "spreadsheetml.sheet")
) | {"application/epub+zip"}


def _by_content(data: bytes) -> str:
    for beginning, media_type in _BEGINNINGS:
        if data.startswith(beginning):
            look = {ZIP: _in_archive, OLE: _in_container}.get(media_type)
            return look(data) if look is not None else media_type
    if b"%PDF-" in data[:1024]:
        return "application/pdf"
    return PLAIN if mark_of(data) is not None or _is_legible(data) else UNKNOWN


def _in_archive(data: bytes) -> str:
    """What the members of a ZIP archive make of it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = {member.filename: member for member in archive.infolist()}
            for listing in ("mimetype", "[Content_Types].xml"):
                member = names.get(listing)
                if member is None or member.file_size > _LARGEST_LIST:
                    continue
                text = archive.read(member).decode("utf-8", "replace")
                if listing == "mimetype":
                    return text.strip().lower()
                return next((found for part, found in _PACKAGES if part in text), ZIP)
    except Exception:  # a damaged one has many ways to be so
        return ZIP
    return ZIP


def _in_container(data: bytes) -> str:
    """What the streams of an OLE container make of it; their names are in UTF-16."""
    for stream, media_type in _STREAMS:
        if stream.encode("utf-16-le") in data:
            if not media_type:
                raise ParseError(
                    "encrypted", "The file needs a password: save it without one and upload it again"
                )
            return media_type
    return OLE


def _is_legible(data: bytes) -> bool:
    """Whether it may be a text in some encoding: no NUL, and few other control characters."""
    head = data[:_HEAD]
    return b"\x00" not in data and len(head.translate(None, _CONTROL)) > len(head) * 0.95


def _by_text(data: bytes) -> str:
    head = data[:_HEAD]
    if _HTML.match(head.removeprefix(b"\xef\xbb\xbf")):
        return "text/html"
    if (fields := _MAIL.match(head)) and len(_MAIL_FIELDS.findall(fields[0])) >= 2:
        return "message/rfc822"
    return ""


def _by_shape(data: bytes) -> str:
    """For a text that nobody names: whether it is JSON as a whole, or line by line."""
    if data.lstrip()[:1] not in (b"{", b"["):
        return ""
    first, _, rest = data.strip().partition(b"\n")
    for candidate, media_type in (
        (data, "application/json"),
        (first if rest else b"", "application/x-ndjson"),
    ):
        try:
            orjson.loads(candidate)
        except orjson.JSONDecodeError:
            continue
        return media_type
    return ""
