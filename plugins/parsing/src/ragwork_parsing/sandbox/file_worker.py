"""One file, in the copy of the template process that was made for it: detected, decoded, parsed, written down."""

import importlib
from collections.abc import Mapping
from typing import Any

from ragwork_hooks.parsing import Parsed, ParseError, ParseLimits, Parser, SourceFile

from ragwork_parsing import encoding, wire
from ragwork_parsing.detection import MediaTypes
from ragwork_parsing.sandbox import confinement


class FileWorker:
    """Made once, in the template process; ``answer`` is called in copies of it."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._memory_bytes: int = settings["memory_bytes"]
        self._cpu_seconds: int = settings["cpu_seconds"]
        self._limits = ParseLimits(**settings["limits"])
        self._parsers = [_made(name, fields) for name, fields in settings["parsers"]]
        encoding.load()
        for parser in self._parsers:
            parser.load()
        self._types = MediaTypes.of(self._parsers)

    def answer(self, request: Mapping[str, Any], data: bytes) -> bytes:
        """What is in the file, or what is wrong with it."""
        confinement.limit(self._memory_bytes, self._cpu_seconds)
        confinement.take_other_processes()
        try:
            return self._found(request, data)
        except ParseError as error:
            return wire.fault(error)
        except MemoryError:
            return wire.fault(ParseError("resource_limit", "Parsing the file takes too much memory"))
        except RecursionError:
            return wire.fault(ParseError("resource_limit", "What is in the file is nested too deeply"))
        except BaseException as error:  # a panic of a library in Rust is no Exception
            return wire.fault(
                ParseError("corrupt", f"The file can't be read: {type(error).__name__}: {error}")
            )

    def _found(self, request: Mapping[str, Any], data: bytes) -> bytes:
        media_type = self._types.detect(data, request["filename"], request["declared"])
        if not request["parse"]:
            return wire.media_type(media_type)
        source = SourceFile(
            data=data,
            media_type=media_type,
            filename=request["filename"],
            encoding=encoding.encoding_of(data, media_type, request["declared"]),
            limits=self._limits,
        )
        parsed: Parsed = self._types.parser(media_type).parse(source)
        if not parsed.blocks and not parsed.attachments:
            raise ParseError("no_text", "There is no text in the file")
        return wire.parsed(parsed, media_type)


def _made(name: str, fields: Mapping[str, Any]) -> Parser:
    module, _, attribute = name.partition(":")
    parser: Parser = getattr(importlib.import_module(module), attribute)(**fields)
    return parser
