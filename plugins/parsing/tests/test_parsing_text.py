"""Plain text and Markdown become blocks of the file's own lines."""

from ragwork_hooks.parsing import Parsed, SourceFile
from ragwork_parsing.text_parser import MARKDOWN, PLAIN, TextParser

DOCUMENT = """---
title: "The gates"
---

# Release gates

Intro with `code | pipe`
on two lines.

Tests
-----

- first
  continued

- second
1. third

| name | owner |
|:-----|------:|
| load | Ada \\| Bob |
| soak | |

```sh
# not a heading
cat a | sort
```

### Deep ###
    indented

## Next
last
~~~
unclosed
"""


def parse(text: str, media_type: str = MARKDOWN) -> Parsed:
    return TextParser().parse(SourceFile(data=text.encode(), media_type=media_type))


def test_markdown_is_read_by_its_structure_and_kept_as_written() -> None:
    parsed = parse(DOCUMENT)
    assert parsed.title == "The gates"
    gates, tests = ("Release gates",), ("Release gates", "Tests")
    deep, after = (*tests, "Deep"), ("Release gates", "Next")
    columns = ("name", "owner")
    assert [(b.kind, b.text, b.headings, b.columns) for b in parsed.blocks] == [
        ("paragraph", '---\ntitle: "The gates"\n---', (), ()),
        ("heading", "# Release gates", (), ()),
        ("paragraph", "Intro with `code | pipe`\non two lines.", gates, ()),
        ("heading", "Tests\n-----", gates, ()),
        ("list", "- first\n  continued\n\n- second\n1. third", tests, ()),
        ("table_row", "| load | Ada \\| Bob |", tests, columns),
        ("table_row", "| soak | |", tests, columns),
        ("code", "```sh\n# not a heading\ncat a | sort\n```", tests, ()),
        ("heading", "### Deep ###", tests, ()),
        ("code", "    indented", deep, ()),
        ("heading", "## Next", gates, ()),
        ("paragraph", "last", after, ()),
        ("code", "~~~\nunclosed", after, ()),
    ]


def test_every_line_of_markdown_is_in_a_block_but_the_header_of_a_table() -> None:
    said = "\n".join(block.text for block in parse(DOCUMENT).blocks)
    missing = [line for line in DOCUMENT.split("\n") if line.strip() and line.rstrip() not in said]
    assert missing == ["| name | owner |", "|:-----|------:|"]


def test_the_title_is_the_first_outermost_heading() -> None:
    assert parse("## Before\n\n# Gates\n\n# Other\n").title == "Gates"
    assert parse("text only").title is None


def test_plain_text_has_paragraphs_and_lists_and_no_markup() -> None:
    blocks = parse("# no heading\r\nsame\r\n\r\n- a\r\n- b\r\n\r\n| x |\n|---|\n| 1 |", PLAIN).blocks
    assert [(block.kind, block.text) for block in blocks] == [
        ("paragraph", "# no heading\nsame"),
        ("list", "- a\n- b"),
        ("paragraph", "| x |\n|---|\n| 1 |"),
    ]


def test_a_table_without_rows_and_a_rule_are_kept() -> None:
    assert [b.text for b in parse("| a | b |\n|---|---|\n\ntext\n\n---\n").blocks] == [
        "| a | b |\n|---|---|",
        "text",
        "---",
    ]
