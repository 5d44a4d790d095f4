"""A PDF file: its pages one by one, then its blocks, for which all pages must be known."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import pypdfium2  # type: ignore[import-untyped]  # it ships no types
from ragwork_hooks.parsing import Attachment, Parsed, ParseError, SourceFile
from ragwork_toolkit.parsing.block_list import BlockList, too_many

from ragwork_pdf.layout import Layout
from ragwork_pdf.page_text import PdfPage, page_of

_WRONG_PASSWORD: Final = 4
_SCAN: Final = (
    "There is no text in the file, only images of it (a scan): run it through text recognition (OCR) first"
)
_LOST: Final = (
    "Text is in a font that the file does not contain, and can't be read: save the file with its fonts"
)
#: Pages that a warning names.
_MOST_NAMED: Final = 50
_TIME: Final = re.compile(r"D:(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:([-+])(\d\d)'?(\d\d)?|Z)?")


def read(source: SourceFile) -> Parsed:
    """See ``Parser.parse``."""
    with _opened(source.data) as document:
        if len(document) > source.limits.pages:
            raise too_many("pages", source.limits.pages)
        pages = [_page(document, number) for number in range(len(document))]
        said = document.get_metadata_dict()
        attachments = list(_attachments(document, source.limits.members))
    if not any(page.items for page in pages):
        raise ParseError("no_text", _LOST if any(page.has_lost_text for page in pages) else _SCAN)
    blocks = BlockList(source.limits)
    Layout(pages).fill(blocks)
    return Parsed(
        blocks=blocks.blocks,
        title=said.get("Title") or None,
        author=said.get("Author") or None,
        created=_time(said.get("CreationDate", "")),
        modified=_time(said.get("ModDate", "")),
        attachments=attachments,
        warnings=list(_warnings(pages)),
    )


def _warnings(pages: Sequence[PdfPage]) -> Iterator[str]:
    images = [str(number) for number, page in enumerate(pages, 1) if not page.items and page.has_image]
    if images:
        yield f"Pages that are images without text were left out: {', '.join(images[:_MOST_NAMED])}"
    lost = [str(number) for number, page in enumerate(pages, 1) if page.has_lost_text]
    if lost:
        yield f"{_LOST} (pages {', '.join(lost[:_MOST_NAMED])})"


@contextmanager
def _opened(data: bytes) -> Iterator[Any]:
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == _WRONG_PASSWORD:
            raise ParseError(
                "encrypted", "The file needs a password: save it without one and upload it again"
            ) from None
        raise ParseError("corrupt", f"The file is damaged or no PDF: {error}") from None
    try:
        yield document
    finally:
        document.close()


def _page(document: Any, number: int) -> PdfPage:
    try:
        page = document[number]
    except pypdfium2.PdfiumError:
        return PdfPage(items=[], has_image=True)  # one broken page takes nobody else's away
    try:
        return page_of(page)
    finally:
        page.close()


def _attachments(document: Any, most: int) -> Iterator[Attachment]:
    for number in range(min(document.count_attachments(), most)):
        attachment = document.get_attachment(number)
        yield Attachment(
            filename=attachment.get_name(),
            media_type="application/octet-stream",
            content=bytes(attachment.get_data()),
        )


def _time(text: str) -> datetime | None:
    """``D:20260301080000+01'00'``; what is left out is the earliest."""
    found = _TIME.match(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (found[group] for group in range(1, 7))
    zone = f"{found[7]}{found[8]}:{found[9] or '00'}" if found[7] else "+00:00"
    try:
        return datetime.fromisoformat(
            f"{year}-{month or '01'}-{day or '01'}T{hour or '00'}:{minute or '00'}:{second or '00'}{zone}"
        )
    except ValueError:
        return None
