"""Plain text and Markdown: blocks are the file's own lines, unaltered."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import attrs
from ragwork_hooks.parsing import Parsed, Parser, SourceFile
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_toolkit.parsing.block_list import BlockList
from ragwork_toolkit.parsing.markdown_reader import ITEM, MarkdownReader

PLAIN, MARKDOWN = "text/plain", "text/markdown"


@attrs.frozen
class TextParser:
    """Implements ``ragwork_hooks.parsing.Parser``."""

    name: ClassVar[str] = "text"
    media_types: ClassVar[Sequence[str]] = (PLAIN, MARKDOWN, "text/x-markdown")
    extensions: ClassVar[Mapping[str, str]] = {
        ".txt": PLAIN, ".text": PLAIN, ".log": PLAIN, ".md": MARKDOWN, ".markdown": MARKDOWN
    }  # fmt: skip

    def load(self) -> None:
        """Nothing that takes time."""

    def parse(self, source: SourceFile) -> Parsed:
        """See ``Parser.parse``."""
        text = source.data.decode(source.encoding, "replace").replace("\r\n", "\n").replace("\r", "\n")
        lines = text.split("\n")
        blocks = BlockList(source.limits)
        title = None
        if source.media_type == PLAIN:
            for paragraph in _paragraphs(lines):
                is_list = all(ITEM.match(line) for line in paragraph) and len(paragraph) > 1
                blocks.add("list" if is_list else "paragraph", "\n".join(paragraph))
        else:
            title = MarkdownReader(lines, blocks).read()
        return Parsed(blocks=blocks.blocks, title=title, encoding=source.encoding)


def _paragraphs(lines: Sequence[str]) -> Iterator[list[str]]:
    found: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            found.append(line)
        elif found:
            yield found
            found = []


async def _open(context: ProviderContext[object]) -> Parser:
    return TextParser()


provider: Provider[Parser] = Provider(name="text", open=_open)
