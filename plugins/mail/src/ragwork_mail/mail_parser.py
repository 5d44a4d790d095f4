"""The provider ``mail`` of kind ``parser``: EML files, by Python's own ``email``."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from email import policy
from email.message import EmailMessage, MIMEPart
from email.parser import BytesParser
from typing import ClassVar, Final

import attrs
from ragwork_hooks.parsing import Attachment, Parsed, ParseError, Parser, SourceFile
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_toolkit.parsing.block_list import BlockList, too_many

from ragwork_mail.html_text import paragraphs_of

MAIL: Final = "message/rfc822"
_SHOWN: Final = ("From", "To", "Cc", "Date", "Subject")


@attrs.frozen
class MailParser:
    """Implements ``ragwork_hooks.parsing.Parser``."""

    name: ClassVar[str] = "mail"
    media_types: ClassVar[Sequence[str]] = (MAIL,)
    extensions: ClassVar[Mapping[str, str]] = {".eml": MAIL}

    def load(self) -> None:
        """Nothing that takes time."""

    def parse(self, source: SourceFile) -> Parsed:
        """See ``Parser.parse``."""
        message = BytesParser(policy=policy.default).parsebytes(source.data)
        if not any(name in message for name in _SHOWN):
            raise ParseError(
                "corrupt", "The file is no mail: it has neither a sender nor a subject nor a date"
            )
        blocks = BlockList(source.limits)
        blocks.add(
            "paragraph", "\n".join(f"{name}: {_header(message, name)}" for name in _SHOWN if name in message)
        )
        for text in _body(message):
            blocks.add("paragraph", text)
        return Parsed(
            blocks=blocks.blocks,
            title=_header(message, "Subject") or None,
            author=_header(message, "From") or None,
            language=_header(message, "Content-Language") or None,
            created=_date(message),
            attachments=list(_attachments(message, source)),
        )


def _header(message: EmailMessage, name: str) -> str:
    """A header as people read it; one that breaks the rules as it stands."""
    try:
        said = str(message[name] or "")
    except Exception:  # the headers' own parser has many ways to stumble
        said = next((str(value) for key, value in message.raw_items() if key.lower() == name.lower()), "")
    return " ".join(said.split())


def _body(message: EmailMessage) -> Iterator[str]:
    try:
        part = message.get_body(("plain", "html"))
    except (KeyError, AttributeError):  # parts that say what they are not
        part = None
    if part is None:
        return
    text = _text(part).replace("\r\n", "\n")
    if part.get_content_subtype() == "html":
        yield from paragraphs_of(text)
    else:
        yield from (paragraph.strip("\n") for paragraph in text.split("\n\n"))


def _text(part: MIMEPart) -> str:
    with suppress(LookupError, AttributeError, ValueError):  # an encoding that nobody knows
        return str(part.get_content())
    content = part.get_payload(decode=True)
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else ""


def _attachments(message: EmailMessage, source: SourceFile) -> Iterator[Attachment]:
    """What is attached. Pictures within the text are not, and a message that is attached is a file of its own."""
    for number, part in enumerate(_attached(message), 1):
        if number > source.limits.members:
            raise too_many("attachments", source.limits.members)
        if part.get_content_type() == MAIL:
            inner = part.get_payload(0) if part.is_multipart() else None
            content = inner.as_bytes() if isinstance(inner, EmailMessage) else b""
        else:
            decoded = part.get_payload(decode=True)
            content = decoded if isinstance(decoded, bytes) else b""
        if content:
            name = (
                part.get_filename()
                or f"attachment-{number}{'.eml' if part.get_content_type() == MAIL else ''}"
            )
            yield Attachment(filename=name, media_type=part.get_content_type(), content=content)


def _attached(message: EmailMessage) -> Iterator[MIMEPart]:
    try:
        for part in message.iter_attachments():
            is_shown = part.get("Content-ID") and not part.is_attachment()
            if not is_shown:
                yield part
    except (AttributeError, KeyError):  # a message of one part that calls itself several
        return


def _date(message: EmailMessage) -> datetime | None:
    with suppress(Exception):
        found: object = message["Date"].datetime
        return found if isinstance(found, datetime) else None
    return None


async def _open(context: ProviderContext[object]) -> Parser:
    return MailParser()


provider: Provider[Parser] = Provider(name="mail", open=_open)
