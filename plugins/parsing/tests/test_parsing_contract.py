"""The parser of plain text and Markdown keeps the contract of kind ``parser``."""

from ragwork_hooks.parsing import Parser
from ragwork_parsing.text_parser import TextParser
from ragwork_testkit.parser import ParserContract, Sample

MARKDOWN = """# Release gates

A build passes **every** gate.

| gate | owner |
|---|---|
| load | Ada |

```sh
cat a | sort
```
"""


class TestTextParser(ParserContract):
    samples = (
        Sample("gates.md", MARKDOWN.encode(), "cat a | sort"),
        Sample("notes.txt", b"First the harbour master.\n\nThen the lock gates.\n", "lock gates"),
        Sample("brief.txt", "Grüße aus Köln: die Schleuse öffnet früh.".encode("utf-16"), "Schleuse öffnet"),
    )

    async def make(self) -> Parser:
        return TextParser()
