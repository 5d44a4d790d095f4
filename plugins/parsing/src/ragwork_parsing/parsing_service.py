"""The capability ``DocumentParsing``: who parses what, and the processes in which that happens."""

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
from ragwork_hooks.parsing import PARSER, Parsed, ParseError, Parser
from ragwork_hooks.services import Services
from ragwork_hooks.shares import Shares, provider_busy
from ragwork_toolkit.process_pool import ProcessPool

from ragwork_parsing import wire
from ragwork_parsing.config import ParsingConfig
from ragwork_parsing.detection import MediaTypes
from ragwork_parsing.parsing_process import ParseAnswer, ParsingProcess, ProcessGone

#: Files that may wait for a process, over all tenants.
MAX_WAITING: Final = 1_000
#: How a message begins that says what a parse took before it was ended.
TAKES: Final = "Parsing the file takes"


class ParsingService:
    """Implements ``ragwork_hooks.parsing.DocumentParsing``."""

    def __init__(self, services: Services, config: ParsingConfig) -> None:
        self._services = services
        self._config = config
        self._parsers: Sequence[Parser] | None = None
        most = config.places
        # One more than a single tenant may use: whoever comes second need not wait for the first's files.
        places: Shares = services.shares(
            "processes", most + 1, waiting=MAX_WAITING, refusal=provider_busy, most=most
        )
        self._processes = ProcessPool(places, self._start)

    async def accepts(self) -> Mapping[str, Sequence[str]]:
        """See ``DocumentParsing.accepts``."""
        return MediaTypes.of(await self._opened()).accepted

    async def media_type(self, tenant_id: str, data: bytes, filename: str, declared_type: str) -> str:
        """See ``DocumentParsing.media_type``."""
        found = await self._ask(tenant_id, data, filename, declared_type, parse=False)
        if not isinstance(found, str):
            raise wire.MalformedAnswer("a parsing process gave blocks, and was asked for a type")
        return found

    async def parse(self, tenant_id: str, data: bytes, filename: str, declared_type: str) -> Parsed:
        """See ``DocumentParsing.parse``."""
        found = await self._ask(tenant_id, data, filename, declared_type, parse=True)
        if not isinstance(found, Parsed):
            raise wire.MalformedAnswer("a parsing process gave a type, and was asked for blocks")
        return found

    async def warm(self) -> None:
        """Start the first process, so that the first file need not wait for it."""
        async with self._processes.one():
            return

    async def close(self) -> None:
        """End every process."""
        await self._processes.close()

    async def _ask(
        self, tenant_id: str, data: bytes, filename: str, declared_type: str, *, parse: bool
    ) -> Parsed | str:
        start = time.monotonic()
        outcome = "failed"
        try:
            answer = await self._answer(tenant_id, data, filename, declared_type, parse)
            found = await asyncio.to_thread(wire.read, self._whole(answer))
            outcome = "parsed"
            return found
        except ParseError as error:
            outcome = error.code
            raise
        except wire.MalformedAnswer as error:
            raise ParseError("corrupt", f"The file's parser can't be trusted: {error}") from error
        finally:
            if parse:
                self._services.metrics.observe(
                    "parse_seconds", "Parsing of files by outcome", time.monotonic() - start, outcome=outcome
                )

    async def _answer(
        self, tenant_id: str, data: bytes, filename: str, declared_type: str, parse: bool
    ) -> ParseAnswer:
        """Of a process that ends over the file, too: another is asked once more, for the end may have another cause."""
        for _ in range(2):
            async with self._processes.one(tenant_id) as process:
                try:
                    return await process.ask(data, filename, declared_type, parse=parse)
                except ProcessGone:
                    await process.end()
        raise ParseError("resource_limit", "The processes that parse ended over this file, twice")

    def _whole(self, answer: ParseAnswer) -> bytes:
        """Its output. Raises ``ParseError`` for a parse that was ended."""
        config = self._config
        match answer.ending:
            case "done" if answer.output:
                return answer.output
            case "done":
                what = "its process away, which ended without an answer"
            case "too slow":
                what = f"more than {config.timeout_s:g} s"
            case "too large":
                what = f"more than {config.output_mb} MB for its text"
            case "SIGXCPU" | "SIGKILL":
                what = f"more than {config.cpu_s} s of processor time or {config.memory_mb} MB of memory"
            case signal:
                what = f"too much memory or breaks its parser ({signal})"
        raise ParseError("resource_limit", f"{TAKES} {what}: split it into several files")

    async def _opened(self) -> Sequence[Parser]:
        if self._parsers is None:
            providers = self._services.providers
            names = self._config.parsers or providers.names(PARSER)
            self._parsers = [await providers.open(PARSER, name) for name in names]
        return self._parsers

    async def _start(self) -> ParsingProcess:
        config, parsers = self._config, await self._opened()
        # What this process finds its packages by; a relative entry means another folder there.
        path = [entry for entry in sys.path if entry.startswith("/")]
        return await ParsingProcess.start(
            {
                "path": path,
                # A package that is installed to be edited may stand beside the path.
                "readable": [*path, *filter(None, map(_package_folder, parsers))],
                "parsers": [_described(parser) for parser in parsers],
                "memory_bytes": config.memory_mb * 1_048_576,
                "cpu_seconds": config.cpu_s,
                "seconds": config.timeout_s,
                "output_bytes": config.output_mb * 1_048_576,
                "limits": attrs.asdict(config.limits),
            }
        )


def _package_folder(parser: Parser) -> str | None:
    """The folder of the import package that the parser's class is in."""
    name = type(parser).__module__
    file = getattr(sys.modules[name], "__file__", None)
    return None if file is None else str(Path(file).parents[max(name.count(".") - 1, 0)])


def _described(parser: Any) -> tuple[str, Mapping[str, Any]]:
    """What another process needs to make an equal one."""
    kind = type(parser)
    if not attrs.has(kind):
        raise TypeError(f"{kind.__qualname__} is no attrs class: no other process could make one")
    return f"{kind.__module__}:{kind.__qualname__}", attrs.asdict(parser)
