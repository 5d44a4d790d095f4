"""This side of a template process: asking it about a file, and ending it."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import orjson
from ragwork_hooks.errors import ProviderError
from ragwork_toolkit.process_pool import kill, start_isolated

_TEMPLATE: Final = Path(__file__).parent / "sandbox" / "template_process.py"
#: Longest time in seconds for loading all parsers.
_START_S: Final = 60.0
#: Seconds after which a process that should have answered by itself is not waited for.
_GRACE_S: Final = 5.0


class ProcessGone(Exception):
    """The process ended or broke off. It can't be asked again."""


class CannotStart(ProviderError):
    """SERVICE_UNAVAILABLE: the process could not confine itself or load the parsers. The text says why."""

    def __init__(self, why: str) -> None:
        super().__init__("SERVICE_UNAVAILABLE", f"A process that parses did not start: {why}", retryable=True)


@attrs.frozen
class ParseAnswer:
    """How a parse ended (see ``template_process``), and what it wrote."""

    ending: str
    output: bytes


class ParsingProcess:
    """One template process. Used by one caller at a time."""

    def __init__(self, process: asyncio.subprocess.Process, seconds: float) -> None:
        self._process = process
        self._seconds = seconds

    @classmethod
    async def start(cls, settings: Mapping[str, Any]) -> "ParsingProcess":
        """Raises ``CannotStart``."""
        started = cls(await start_isolated(_TEMPLATE), settings["seconds"])
        try:
            async with asyncio.timeout(_START_S):
                await started._write(orjson.dumps(settings) + b"\n")
                ready = await started._line()
        except (ProcessGone, TimeoutError) as error:
            await started.end()
            raise CannotStart(f"{error!r}") from error
        except BaseException:
            await started.end()
            raise
        if "ready" not in ready:
            await started.end()
            raise CannotStart(str(ready.get("failed")))
        return started

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    async def ask(self, data: bytes, filename: str, declared_type: str, *, parse: bool) -> ParseAnswer:
        """What is in the file. Raises ``ProcessGone``."""
        asked = {"length": len(data), "filename": filename, "declared": declared_type, "parse": parse}
        try:
            async with asyncio.timeout(self._seconds + _GRACE_S):
                await self._write(orjson.dumps(asked) + b"\n", data)
                line = await self._line()
                return ParseAnswer(line["ending"], await self._read(line["length"]))
        except TimeoutError:
            raise ProcessGone("it does not answer") from None

    async def end(self) -> None:
        """Kill it, if it still runs; a copy that works ends with it."""
        await kill(self._process)

    async def _write(self, *pieces: bytes) -> None:
        if self._process.stdin is None:  # it is a pipe, see ``start_isolated``
            raise ProcessGone("it has no input")
        try:
            self._process.stdin.writelines(pieces)
            await self._process.stdin.drain()
        except ConnectionError as error:
            raise ProcessGone(str(error)) from error

    async def _line(self) -> Any:
        try:
            return orjson.loads(await self._output.readline())
        except ValueError as error:  # nothing at all, or a line cut short
            raise ProcessGone(str(error)) from error

    async def _read(self, length: int) -> bytes:
        try:
            return await self._output.readexactly(length)
        except asyncio.IncompleteReadError as error:
            raise ProcessGone(str(error)) from error

    @property
    def _output(self) -> asyncio.StreamReader:
        if self._process.stdout is None:  # it is a pipe, see ``start_isolated``
            raise ProcessGone("it has no output")
        return self._process.stdout
