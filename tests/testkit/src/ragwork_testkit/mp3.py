"""MP3 (MPEG-1 and MPEG-2 Layer III) as far as tests need it: making silence, and reading frames."""

from typing import Final, NamedTuple


class _Version(NamedTuple):
    kbits: tuple[int, ...]
    hertz: tuple[int, ...]
    samples: int


#: By the second byte of a frame, whose last bit only says whether a checksum follows.
_VERSIONS: Final = {
    0xFA: _Version(
        (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320), (44_100, 48_000, 32_000), 1152
    ),
    0xF2: _Version(
        (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160), (22_050, 24_000, 16_000), 576
    ),
}


def silence(frames: int) -> bytes:
    """``frames`` frames of about 36 ms without sound: 64 kbit/s, 32 kHz, mono, no checksum."""
    header = bytes((0xFF, 0xFB, 0x58, 0xC0))
    return (header + bytes(frame_bytes(header) - len(header))) * frames


def frame_bytes(header: bytes) -> int:
    """Length of the frame that begins with these four bytes. Raises ``ValueError`` when none does."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xFE not in _VERSIONS:
        raise ValueError("no Layer III frame of MPEG-1 or MPEG-2")
    version = _VERSIONS[header[1] & 0xFE]
    rate, hertz = header[2] >> 4, header[2] >> 2 & 3
    if not 0 < rate < len(version.kbits) or hertz >= len(version.hertz):
        raise ValueError("a bit rate or sampling rate that does not exist")
    bits = version.samples * 1000 * version.kbits[rate]
    return bits // 8 // version.hertz[hertz] + (header[2] >> 1 & 1)


def count_frames(data: bytes) -> int:
    """Number of frames that ``data`` consists of, end to end. Raises ``ValueError`` for anything else."""
    at = count = 0
    while at < len(data):
        at += frame_bytes(data[at : at + 4])
        count += 1
    if at != len(data):
        raise ValueError("the last frame is cut short")
    return count
