"""HTTP exchanges on disk: one JSON object a line, in the order in which the requests came."""

import base64
import binascii
import difflib
import hashlib
import json
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

#: Of long bodies only the beginning is compared when the nearest request is looked for.
_COMPARED_CHARS: Final = 2_000


@attrs.frozen(kw_only=True)
class Asked:
    """A request, scrubbed. ``path`` is still encoded, with its query."""

    method: str
    path: str
    body: bytes

    @property
    def key(self) -> str:
        """What tells requests apart."""
        return f"{self.method} {self.path} {self.digest}"

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.body).hexdigest()

    @property
    def shown(self) -> str:
        """For people, and to measure nearness."""
        return f"{self.method} {self.path}\n{self.body[:_COMPARED_CHARS].decode(errors='replace')}"


@attrs.frozen(kw_only=True)
class Answered:
    """An answer, scrubbed, in the pieces in which it came. ``status`` is ``None`` when the connection ended before
    there was one; ``cut`` when it ended before the answer did. ``streamed`` when its length was not announced.
    """

    status: int | None
    headers: Mapping[str, str]
    chunks: Sequence[bytes]
    streamed: bool
    cut: bool


@attrs.frozen(kw_only=True)
class Exchange:
    """A request and its answer; ``number`` counts requests from 0."""

    number: int
    asked: Asked
    answered: Answered


class UnknownRequest(AssertionError):
    """A replay was asked what nobody asked when it was recorded, or more often."""


class Cassette:
    """Recorded exchanges, each of which answers once, in order for each method, path and body."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self._exchanges = sorted(exchanges, key=lambda each: each.number)
        self._waiting: dict[str, deque[Exchange]] = {}
        for each in self._exchanges:
            self._waiting.setdefault(each.asked.key, deque()).append(each)

    @classmethod
    def load(cls, path: Path) -> "Cassette":
        """Raises ``ValueError`` naming the line that is no exchange."""
        exchanges = []
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            try:
                exchanges.append(_exchange(json.loads(line)))
            except (ValueError, KeyError, TypeError, binascii.Error) as error:
                raise ValueError(f"{path}, line {number} is no exchange: {error!r}") from error
        return cls(exchanges)

    @property
    def left(self) -> int:
        """How many exchanges nobody has asked for yet."""
        return sum(len(queue) for queue in self._waiting.values())

    def answer(self, asked: Asked) -> Answered:
        """The next answer to this request. Raises ``UnknownRequest`` naming the nearest."""
        waiting = self._waiting.get(asked.key)
        if waiting:
            return waiting.popleft().answered
        if waiting is not None:
            raise UnknownRequest(f"{asked.method} {asked.path} was recorded fewer times than it is asked")
        raise UnknownRequest(
            f"{asked.method} {asked.path} (body {asked.digest[:12]}) is not on the cassette; {self._nearest(asked)}"
        )

    def _nearest(self, asked: Asked) -> str:
        if not self._exchanges:
            return "the cassette is empty"

        def likeness(each: Exchange) -> float:
            return difflib.SequenceMatcher(None, each.asked.shown, asked.shown, autojunk=False).ratio()

        best = max(self._exchanges, key=likeness)
        lines = difflib.unified_diff(
            best.asked.shown.splitlines(), asked.shown.splitlines(), "recorded", "asked", lineterm="", n=0
        )
        difference = "\n".join(lines) or "they differ beyond what is shown"
        return f"the nearest is number {best.number}: {best.asked.method} {best.asked.path}\n{difference}"


def line(exchange: Exchange) -> str:
    """``exchange`` as a line of a cassette."""
    asked, answered = exchange.asked, exchange.answered
    return json.dumps(
        {
            "number": exchange.number,
            "method": asked.method,
            "path": asked.path,
            "body": _written(asked.body),
            "status": answered.status,
            "headers": dict(answered.headers),
            "chunks": [_written(chunk) for chunk in answered.chunks],
            "streamed": answered.streamed,
            "cut": answered.cut,
        },
        ensure_ascii=False,
    )


def _exchange(data: Mapping[str, Any]) -> Exchange:
    return Exchange(
        number=int(data["number"]),
        asked=Asked(method=data["method"], path=data["path"], body=_read(data["body"])),
        answered=Answered(
            status=data["status"],
            headers=data["headers"],
            chunks=[_read(chunk) for chunk in data["chunks"]],
            streamed=data["streamed"],
            cut=data["cut"],
        ),
    )


def _written(data: bytes) -> str | dict[str, str]:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
    return text


def _read(written: str | Mapping[str, str]) -> bytes:
    if isinstance(written, str):
        return written.encode()
    return base64.b64decode(written["base64"], validate=True)
