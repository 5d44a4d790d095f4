"""What is stored of a file: a text in UTF-8, all else as it came, for a parser to read."""

import attrs
from ragwork_hooks.parsing import DocumentParsing, ParseError

from ragwork_documents.ingestion.content_type import TEXTS


@attrs.frozen(kw_only=True)
class StoredFile:
    """``source`` is of type ``media_type``; ``is_parsed`` says that it is no text yet."""

    source: bytes = attrs.field(repr=lambda source: f"<{len(source)} bytes>")
    media_type: str
    filename: str
    is_parsed: bool


async def stored_file(
    parsing: DocumentParsing, tenant_id: str, data: bytes, filename: str, declared_type: str
) -> StoredFile:
    """A file as it is stored. Raises ``ParseError`` for one that nobody parses, and the ``ProviderError`` of the
    parsing.
    """
    media_type = await parsing.media_type(tenant_id, data, filename, declared_type)
    if media_type not in TEXTS:
        return StoredFile(source=data, media_type=media_type, filename=filename, is_parsed=True)
    parsed = await parsing.parse(tenant_id, data, filename, declared_type)
    if parsed.encoding is None:
        raise ParseError("unsupported", f"{filename or 'the file'} is a text in an unknown encoding")
    text = data.decode(parsed.encoding, "replace").replace("\x00", " ")
    return StoredFile(source=text.encode(), media_type=media_type, filename=filename, is_parsed=False)
