"""WAV files for tests: right ones, and ones that break one rule each."""

import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_PCM, _FLOAT = 1, 3
_COMMENT: Final = b"ICMT"


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def wav(
    samples: bytes,
    rate: int = 16_000,
    *,
    channels: int = 1,
    bits: int = 16,
    encoding: int = _PCM,
    comment: str = "",
) -> bytes:
    """A WAV file of ``samples``; ``comment`` travels in its metadata."""
    block = channels * bits // 8
    layout = struct.pack("<HHIIHH", encoding, channels, rate, rate * block % 2**32, block, bits)
    info = _chunk(b"LIST", b"INFO" + _chunk(_COMMENT, comment.encode() + b"\0")) if comment else b""
    return _chunk(b"RIFF", b"WAVE" + _chunk(b"fmt ", layout) + info + _chunk(b"data", samples))


def silent(seconds: float, rate: int = 16_000, comment: str = "") -> bytes:
    """``seconds`` without a sound."""
    return wav(bytes(2 * int(seconds * rate)), rate, comment=comment)


def comment_of(data: bytes) -> str:
    """The comment that ``wav`` put in; empty without one."""
    at = data.find(_COMMENT)
    if at < 0:
        return ""
    (size,) = struct.unpack_from("<I", data, at + 4)
    return data[at + 8 : at + 8 + size].rstrip(b"\0").decode()


_SECOND: Final = bytes(32_000)
#: What no reader can take for sound, and what a careless one stumbles over.
DAMAGED: Final[Mapping[str, bytes]] = MappingProxyType(
    {
        "cut in the header": wav(_SECOND)[:30],
        "cut in the sound": wav(_SECOND)[:-9_999],
        "half a sample": wav(b"\0" * 32_001),
        "no sound": wav(b""),
        "floats": wav(_SECOND, bits=32, encoding=_FLOAT),
        "24 bits": wav(_SECOND[:24_000], bits=24),
        "no channel": wav(_SECOND, channels=0),
        "no rate": wav(_SECOND, rate=0),
        "the highest rate": wav(_SECOND, rate=2**32 - 1),
        "endless": wav(_SECOND).replace(struct.pack("<I", 32_000), b"\xff\xff\xff\xff"),
    }
)
