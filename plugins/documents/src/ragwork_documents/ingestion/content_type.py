"""What an upload really is: its text, if label and content agree on an accepted type."""

from typing import Final

import attrs
import orjson
from ragwork_hooks.errors import Problem
from ragwork_hooks.http import Upload

PLAIN: Final = "text/plain"
MARKDOWN: Final = "text/markdown"
JSON: Final = "application/json"
ACCEPTED: Final = (PLAIN, MARKDOWN, JSON)
#: Files that are stored as their text.
TEXTS: Final = frozenset({PLAIN, MARKDOWN})

_LABELS: Final = {
    PLAIN: PLAIN,
    MARKDOWN: MARKDOWN,
    "text/x-markdown": MARKDOWN,
    JSON: JSON,
}
# What clients send when they don't know: then the name decides, and the content has to agree.
_UNLABELLED: Final = frozenset({"", "application/octet-stream"})
_SUFFIXES: Final = {".txt": PLAIN, ".md": MARKDOWN, ".markdown": MARKDOWN, ".json": JSON}
# First bytes of formats that hide in files labelled as text.
_MAGIC: Final = (
    b"%PDF-",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\x7fELF",
    b"MZ\x90",
    b"\x1f\x8b",
    b"\x89PNG",
    b"GIF8",
    b"\xff\xd8\xff",
    b"\xd0\xcf\x11\xe0",
    b"{\\rtf",
    b"7z\xbc\xaf",
    b"Rar!",
    b"BZh",
    b"\xfd7zXZ",
)


class NoText(Problem):
    """The upload is none of the accepted texts. It may be a file that a parser reads."""


@attrs.frozen(kw_only=True)
class DecodedUpload:
    """An upload's text and the accepted type it came as."""

    text: str
    content_type: str


def read_upload(upload: Upload) -> DecodedUpload:
    """The text of ``upload``. Raises ``NoText`` (415 for another type, 422 for JSON that has none) and ``Problem`` 422
    for malformed JSON.
    """
    kind = _kind(upload)
    if upload.data.startswith(_MAGIC) or b"\x00" in upload.data:
        raise _unsupported(f"the content is not {kind}")
    try:
        text = upload.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unsupported(f"byte {error.start} is not UTF-8") from None
    if kind == JSON:
        text = _text_of_json(text)
    return DecodedUpload(text=text, content_type=kind)


def _kind(upload: Upload) -> str:
    if upload.content_type in _UNLABELLED:
        name = upload.filename.lower()
        for suffix, kind in _SUFFIXES.items():
            if name.endswith(suffix):
                return kind
    kind = _LABELS.get(upload.content_type, "")
    if not kind:
        raise _unsupported(f"{upload.content_type or 'an unlabelled file'!r} is not accepted")
    return kind


def _text_of_json(source: str) -> str:
    try:
        # Bounded recursion: nesting past orjson's limit is an error, not a crash.
        value = orjson.loads(source)
    except orjson.JSONDecodeError as error:
        raise _invalid(f"not valid JSON: {error}") from None
    text = value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise _invalid('must be an object with a string "text"', NoText)
    if "\x00" in text:
        raise _invalid("the text must not contain NUL characters")
    return text


def _invalid(message: str, kind: type[Problem] = Problem) -> Problem:
    errors = [{"type": "value_error", "loc": ["body", "file"], "msg": message}]
    return kind("INGEST_VALIDATION_ERROR", f"file: {message}", details={"errors": errors})


def _unsupported(message: str) -> NoText:
    return NoText(
        "UNSUPPORTED_MEDIA_TYPE",
        f"file: {message}; accepted are {', '.join(ACCEPTED)} (an object with text), "
        "a provider of kind 'parser' would add others",
        details={"accepted": list(ACCEPTED), "provider_kind": "parser"},
    )
