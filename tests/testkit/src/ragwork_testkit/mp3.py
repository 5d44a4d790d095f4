"""MP3 (MPEG-1 Layer III) as far as tests need it: making silence, and reading frames."""

from typing import Final

_KBITS: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_HERTZ: Final = (44_100, 48_000, 32_000)


def silence(frames: int) -> bytes:
    """``frames`` frames of about 36 ms without sound: 64 kbit/s, 32 kHz, mono, no checksum."""
    header = bytes((0xFF, 0xFB, 0x58, 0xC0))
    return (header + bytes(frame_bytes(header) - len(header))) * frames


def frame_bytes(header: bytes) -> int:
    """Length of the frame that begins with these four bytes. Raises ``ValueError`` when none does."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xFE != 0xFA:
        raise ValueError("no MPEG-1 Layer III frame")
    rate, hertz = header[2] >> 4, header[2] >> 2 & 3
    if not 0 < rate < len(_KBITS) or hertz >= len(_HERTZ):
        raise ValueError("a bit rate or sampling rate that does not exist")
    return 144_000 * _KBITS[rate] // _HERTZ[hertz] + (header[2] >> 1 & 1)


def count_frames(data: bytes) -> int:
    """Number of frames that ``data`` consists of, end to end. Raises ``ValueError`` for anything else."""
    at = count = 0
    while at < len(data):
        at += frame_bytes(data[at : at + 4])
        count += 1
    if at != len(data):
        raise ValueError("the last frame is cut short")
    return count
