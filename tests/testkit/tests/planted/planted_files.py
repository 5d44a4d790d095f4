"""Parsers with one fault each; ``HonestParser`` has none."""

import random
from typing import ClassVar

import attrs
from planting import offer
from planting import plugin as plugin
from ragwork_hooks.parsing import Parsed, ParseError
from ragwork_testkit.parser import Sample
from ragwork_toolkit.parsing.block_list import BlockList

SAMPLES = (Sample("a.planted", b"planted\none line\nanother line\n", "another line"),)
TYPE = "text/x-planted"


@attrs.frozen
class HonestParser:
    name: ClassVar[str] = "planted"
    media_types: ClassVar = (TYPE,)
    extensions: ClassVar = {".planted": TYPE}

    def load(self):
        return None

    def parse(self, source):
        if not source.data.startswith(b"planted\n"):
            raise ParseError("corrupt", "It does not begin as it should")
        blocks = BlockList(source.limits)
        for line in source.data.decode(errors="replace").split("\n")[1:]:
            blocks.add("paragraph", line)
        return Parsed(blocks=blocks.blocks)


@attrs.frozen
class LoudParser(HonestParser):
    media_types: ClassVar = (TYPE.upper(),)
    extensions: ClassVar = {".planted": TYPE.upper()}


class PlainParser:
    """No attrs class, and another object each time."""

    name, media_types, extensions = "planted", (TYPE,), HonestParser.extensions

    def load(self):
        return None

    def parse(self, source):
        return HonestParser().parse(source)


@attrs.frozen
class BlindParser(HonestParser):
    def parse(self, source):
        parsed = HonestParser.parse(self, source)
        return attrs.evolve(parsed, blocks=parsed.blocks[:1])


@attrs.frozen
class MoodyParser(HonestParser):
    def parse(self, source):
        parsed = HonestParser.parse(self, source)
        return attrs.evolve(parsed, title=str(random.random()))


@attrs.frozen
class GreedyParser(HonestParser):
    def parse(self, source):
        if not source.data.endswith(b"another line\n"):
            return str(len(bytearray(10_000_000_000)))
        return HonestParser.parse(self, source)


@attrs.frozen
class BoundlessParser(HonestParser):
    def parse(self, source):
        return HonestParser.parse(self, attrs.evolve(source, limits=type(source.limits)()))


honest_parser, loud, plain, blind, moody, greedy, boundless = map(
    offer, (HonestParser, LoudParser, PlainParser, BlindParser, MoodyParser, GreedyParser, BoundlessParser)
)
