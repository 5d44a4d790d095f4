"""The binary framing ``application/vnd.amazon.eventstream``, written from its published description."""

import json
import struct
import zlib
from collections.abc import Mapping

_STRING = 7


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message: lengths and their CRC, headers, payload, CRC of the whole."""
    packed = b"".join(_header(name, value) for name, value in headers.items())
    lengths = struct.pack(">II", 16 + len(packed) + len(payload), len(packed))
    message = lengths + struct.pack(">I", zlib.crc32(lengths)) + packed + payload
    return message + struct.pack(">I", zlib.crc32(message))


def event(kind: str, data: object) -> bytes:
    """An event with a JSON payload."""
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, json.dumps(data).encode())


def error(kind: str, message: str) -> bytes:
    """An exception that the service's model knows, in the middle of a stream."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, json.dumps({"message": message}).encode())


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return struct.pack(">B", len(key)) + key + struct.pack(">BH", _STRING, len(text)) + text
