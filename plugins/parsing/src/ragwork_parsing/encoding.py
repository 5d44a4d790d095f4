"""How the bytes of a text are to be decoded: by its mark, as UTF-8, as it or its sender says, else as it looks."""

import codecs
import re
from typing import Final

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: What HTML, XML and HTTP headers write: ``charset=…``, ``encoding="…"``.
_SAID: Final = re.compile(r"""(?:charset|encoding)\s*=\s*["']?([\w.:-]{1,40})""", re.IGNORECASE)
#: Bytes of the beginning in which a text may say its own encoding, and by which one is guessed.
_HEAD: Final = 4_096
_SAMPLE: Final = 65_536
#: Types whose beginning says the encoding.
_SAYING: Final = ("html", "xml")


def mark_of(data: bytes) -> str | None:
    """The encoding of the byte order mark, if there is one."""
    return next((name for mark, name in _MARKS if data.startswith(mark)), None)


def encoding_of(data: bytes, media_type: str, declared: str = "") -> str:
    """A codec's name. Every byte can be decoded with it when errors are replaced. Mail declares its own, in parts."""
    marked = mark_of(data)
    if marked is not None:
        return marked
    if _is_utf8(data):
        return "utf-8"
    said = _SAID.search(declared)
    if said is None and any(part in media_type for part in _SAYING):
        said = _SAID.search(data[:_HEAD].decode("latin-1"))
    if said is not None and _known(said[1], data):
        return said[1].lower()
    return _guessed(data)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _known(name: str, data: bytes) -> bool:
    """Whether it is a codec of texts, and not of something else, and says something of this one."""
    try:
        return isinstance(data[:_HEAD].decode(name, "replace"), str)
    except (LookupError, ValueError, TypeError):
        return False


def _guessed(data: bytes) -> str:
    import chardet

    # From its first byte that is not ASCII: what is before says nothing.
    start = next((at for at, byte in enumerate(data) if byte > 127), 0)
    name = chardet.detect(data[max(0, start - 200) : start + _SAMPLE])["encoding"]
    return codecs.lookup(name).name if name and _known(name, data) else "cp1252"


def load() -> None:
    """Import what guessing takes."""
    import chardet

    chardet.detect(b"Gr\xfc\xdfe")
