"""The contract of a parser, as tests to subclass.

    class TestMyParser(ParserContract):
        samples = (Sample("minutes.foo", b"...", "the harbour master"),)

Everything that is parsed here is parsed in the confined processes in which a platform parses. Samples are best made by
another program than the parser's own library.
"""

import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Final, get_args

import attrs
import pytest
from ragwork_hooks.parsing import PARSER, BlockKind, Parsed, ParseError, ParseLimits, Parser, SourceFile
from ragwork_hooks.provider_kinds import ProviderKind
from ragwork_parsing.config import ParsingConfig
from ragwork_parsing.parsing_service import TAKES, ParsingService

from ragwork_testkit.contract import EntryPointContract
from ragwork_testkit.entry_point import entry_points
from ragwork_testkit.promises import BrokenPromise
from ragwork_testkit.services import ProviderServices

#: How many damaged copies of each sample are parsed.
_DAMAGED: Final = 24
_KINDS: Final = frozenset(get_args(BlockKind))


@attrs.frozen
class Sample:
    """A file, and a text in it."""

    filename: str
    data: bytes = attrs.field(repr=False)
    contains: str


@attrs.frozen
class GivenParsers:
    """As much of ``Providers`` as parsing asks for."""

    parsers: Mapping[str, Parser]

    def names(self, kind: ProviderKind[Any]) -> Sequence[str]:
        return sorted(self.parsers)

    async def open(self, kind: ProviderKind[Any], name: str) -> Parser:
        return self.parsers[name]


@attrs.define(slots=False)
class ParsingServices(ProviderServices):
    """The services of a platform with nothing but these parsers."""

    providers: GivenParsers = attrs.field(factory=lambda: GivenParsers({}))


@asynccontextmanager
async def parsing(*parsers: Parser, **settings: Any) -> AsyncIterator[ParsingService]:
    """``DocumentParsing`` by ``parsers`` in confined processes; ``settings`` are fields of ``ParsingConfig``."""
    given = GivenParsers({parser.name: parser for parser in parsers})
    services: Any = ParsingServices(providers=given)
    service = ParsingService(services, ParsingConfig(**settings))
    try:
        yield service
    finally:
        await service.close()


class ParserContract(EntryPointContract):
    """Tests that every ``Parser`` passes. Say ``samples``; override nothing else but ``make``."""

    kind = PARSER
    samples: ClassVar[Sequence[Sample]] = ()

    async def make(self) -> Parser:
        """The parser, opened by the entry point. Override it to make yours in another way."""
        points = entry_points(type(self), self.kind)
        if not points:
            raise BrokenPromise(
                "the package offers a parser",
                'declare it in pyproject.toml below [project.entry-points."ragwork.parser"]',
            )
        parser: Parser = await self._open(points[0])
        return parser

    @pytest.fixture
    async def parser(self) -> Parser:
        return await self.make()

    @pytest.fixture
    async def service(self, parser: Parser) -> AsyncIterator[ParsingService]:
        async with parsing(parser, timeout_s=20.0) as service:
            yield service

    def test_it_says_what_it_takes(self, parser: Parser) -> None:
        """A parser says what it takes: give media types in lower case, and endings with a dot that stand for
        one of them.
        """
        assert parser.name
        assert parser.media_types
        assert all(each == each.lower() and each.count("/") == 1 for each in parser.media_types)
        for extension, media_type in parser.extensions.items():
            assert extension.startswith("."), extension
            assert extension == extension.lower()
            assert media_type in parser.media_types, f"{extension} stands for {media_type}"

    def test_another_process_can_make_an_equal_one(self, parser: Parser) -> None:
        """Another process makes an equal parser by its class's import name: write an attrs class at the top of a
        module, with fields that JSON knows.
        """
        made: Any = parser
        kind = type(made)
        assert attrs.has(kind), f"{kind.__qualname__} is no attrs class"
        assert "<" not in kind.__qualname__, f"{kind.__qualname__} is no module's own"
        assert kind(**attrs.asdict(made)) == made

    def test_the_kit_has_samples(self) -> None:
        """The kit parses your files: give some as `samples`."""
        assert self.samples

    async def test_a_sample_is_read(self, service: ParsingService) -> None:
        """Every sample is found to be of a type of the parser, and its text is found: read what the file says,
        and where it says it.
        """
        for sample in self.samples:
            parsed = await service.parse("t", sample.data, sample.filename, "application/octet-stream")
            assert sample.contains in "\n".join(_texts(parsed)), f"{sample.filename}: {_texts(parsed)[:20]}"
            for block in parsed.blocks:
                check_block(block)

    async def test_content_decides_before_the_name(self, service: ParsingService, parser: Parser) -> None:
        """A file is parsed under a wrong declared type, too: take no notice of it."""
        for sample in self.samples:
            found = await service.media_type("t", sample.data, sample.filename, "image/png")
            assert found in parser.media_types

    async def test_the_same_file_gives_the_same_twice(self, service: ParsingService) -> None:
        """The same file gives the same: use nothing of the time, of chance, or of the file before."""
        for sample in self.samples:
            first, second = [await service.parse("t", sample.data, sample.filename, "") for _ in range(2)]
            assert first == second

    async def test_a_cut_or_damaged_file_ends_in_a_clear_error(self, service: ParsingService) -> None:
        """A file that is cut off or damaged is read as far as it goes, or is a `ParseError`: never crash, hang or
        eat memory over it.
        """
        for sample in self.samples:
            for number, data in enumerate(_damaged(sample.data)):
                try:
                    await service.parse("t", data, sample.filename, "")
                except ParseError as error:
                    if error.message.startswith(TAKES):
                        raise BrokenPromise(
                            "a damaged file is read or refused",
                            "bound loops and sizes that the file decides",
                            f"{sample.filename}, damaged copy {number}: {error.message}",
                        ) from error

    async def test_an_empty_file_is_refused(self, service: ParsingService) -> None:
        """An empty file is corrupt: let it be said."""
        code = None
        try:
            await service.parse("t", b"", self.samples[0].filename, "")
        except ParseError as error:
            code = error.code
        assert code == "corrupt"

    async def test_the_limit_of_text_is_held(self, parser: Parser) -> None:
        """A file with more text than a file may have is refused while it is read: collect blocks with
        `ragwork_toolkit.parsing.block_list.BlockList`, or count characters.
        """
        parser.load()
        async with parsing(parser) as service:
            for sample in self.samples:
                parsed = await service.parse("t", sample.data, sample.filename, "")
                source = SourceFile(
                    data=sample.data,
                    media_type=parsed.media_type,
                    filename=sample.filename,
                    encoding=parsed.encoding or "utf-8",
                    limits=ParseLimits(characters=1),
                )
                assert _refusal(parser, source) == "resource_limit"


def check_block(block: Any) -> None:
    """Assert that a block says something, and where it stands."""
    assert block.kind in _KINDS
    assert block.text.strip(), "a block without text"
    assert all(heading.strip() for heading in block.headings)
    assert block.page is None or block.page >= 1
    assert block.slide is None or block.slide >= 1
    assert block.kind == "table_row" or not block.columns, "columns belong to rows of tables"


def _refusal(parser: Parser, source: SourceFile) -> str | None:
    """The code with which the parser refuses ``source``; nothing when it takes it."""
    try:
        parser.parse(source)
    except ParseError as error:
        return error.code
    return None


def _texts(parsed: Parsed) -> list[str]:
    return [block.text for block in parsed.blocks]


def _damaged(data: bytes) -> Iterator[bytes]:
    """The same ones in every run: cut off, and with some bytes changed."""
    chance = random.Random(len(data))
    for number in range(_DAMAGED):
        if number % 2:
            yield data[: chance.randrange(1, len(data))]
            continue
        changed = bytearray(data)
        for _ in range(chance.choice((1, 8, 64))):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        yield bytes(changed)
