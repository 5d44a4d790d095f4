"""The parser ``office`` keeps the contract of kind ``parser``, and reads what other libraries wrote."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ragwork_hooks.parsing import Parsed, ParseError, ParseLimits, Parser, SourceFile
from ragwork_office.office_parser import DOCX, PPTX, XLS, XLSX, OfficeParser
from ragwork_testkit.parser import ParserContract, Sample

sys.path.append(str(Path(__file__).parent))
from office_files import changed, letter, old_workbook, slides, workbook

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


class TestOfficeParser(ParserContract):
    samples = (
        Sample("gates.docx", letter(), "then the crew"),
        Sample("gates.pptx", slides(), "Tell them about the lock."),
        Sample("gates.xlsx", workbook(), "load | Ada | 2026-03-01 | 1"),
        Sample("gates.xls", old_workbook(), "load | Jürgen"),
    )

    async def make(self) -> Parser:
        return OfficeParser()


def parse(data: bytes, media_type: str, **limits: int) -> Parsed:
    return OfficeParser().parse(SourceFile(data=data, media_type=media_type, limits=ParseLimits(**limits)))


def document(body: str) -> Parsed:
    text = f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>'
    return parse(changed(letter(), document=text.encode()), DOCX)


def test_a_letter_is_read_by_its_styles() -> None:
    parsed = parse(letter(), DOCX)
    columns, load, soak = ("gate", "owner", "days"), ("Load",), ("Load", "Soak")
    assert [(b.kind, b.text, b.headings, b.columns) for b in parsed.blocks] == [
        ("heading", "Gates", (), ()),
        ("paragraph", "A build passes every gate.\tAlways.", ("Gates",), ()),
        ("heading", "Load", (), ()),
        ("list", "first the harbour master\nthen the crew\nin pairs", load, ()),
        ("table_row", "load | Ada | 1", load, columns),
        ("table_row", "soak | Eve | ", load, columns),
        ("table_row", "both |  | 9", load, columns),
        ("heading", "Soak", load, ()),
        ("paragraph", "Runs for 17 days", soak, ()),
        ("paragraph", "A frame", soak, ()),
    ]
    assert (parsed.title, parsed.author, parsed.created) == (
        "Release gates",
        "Ada",
        datetime(2026, 3, 1, 8, tzinfo=UTC),
    )


def test_what_was_deleted_is_not_read_and_what_was_inserted_is() -> None:
    parsed = document(
        "<w:p><w:del><w:r><w:delText>old</w:delText></w:r></w:del><w:ins><w:r><w:t>new</w:t></w:r></w:ins></w:p>"
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>in a control</w:t>"
        "<w:br/><w:t>next line</w:t></w:r></w:p></w:sdtContent></w:sdt>"
        "<w:p><w:r><w:instrText>PAGE</w:instrText></w:r><w:hyperlink><w:r><w:t>a link</w:t></w:r></w:hyperlink></w:p>"
    )
    assert [block.text for block in parsed.blocks] == ["new", "in a control\nnext line", "a link"]


def test_headings_and_lists_are_known_by_outline_and_numbering_too() -> None:
    parsed = document(
        '<w:p><w:pPr><w:outlineLvl w:val="1"/></w:pPr><w:r><w:t>Deep</w:t></w:r></w:p>'
        '<w:p><w:pPr><w:numPr><w:ilvl w:val="1"/></w:numPr></w:pPr><w:r><w:t>item</w:t></w:r></w:p>'
    )
    assert [(b.kind, b.text, b.headings) for b in parsed.blocks] == [
        ("heading", "Deep", ()),
        ("list", "  item", ("Deep",)),
    ]


def test_slides_are_read_with_tables_charts_and_notes() -> None:
    parsed = parse(slides(), PPTX)
    first, second = ("Release gates",), ("Numbers",)
    assert [(b.kind, b.text, b.slide, b.headings) for b in parsed.blocks] == [
        ("heading", "Release gates", 1, ()),
        ("list", "load\n  for a day", 1, first),
        ("paragraph", "Tell them about the lock.", 1, first),
        ("heading", "Numbers", 2, ()),
        ("table_row", "load | 1", 2, second),
        ("paragraph", "Days by gate", 2, second),
        ("paragraph", "in a group", 2, second),
    ]
    assert parsed.blocks[4].columns == ("gate", "days")
    assert parsed.title == "Gates"


def test_rows_of_sheets_know_their_cells_and_columns() -> None:
    parsed = parse(workbook(), XLSX)
    columns = ("", "gate", "owner", "from", "days")
    assert [(b.kind, b.text, b.sheet, b.cells) for b in parsed.blocks] == [
        ("heading", "Gates", "Gates", None),
        ("table_row", "All gates of 2026 |  |  |  | ", "Gates", "A1:E1"),
        ("table_row", " | load | Ada | 2026-03-01 | 1", "Gates", "A4:E4"),
        ("table_row", " | soak | Eve |  | 17.25", "Gates", "A6:E6"),
        ("table_row", " | ab |  |  | ", "Gates", "A7:E7"),
        ("heading", "Values", "Values", None),
        ("table_row", "1 | TRUE", "Values", "A1:B1"),
        ("heading", "Empty", "Empty", None),
    ]
    assert parsed.blocks[2].columns == columns
    assert parsed.warnings == ["Hidden sheets were left out: Secret"]
    assert (parsed.title, parsed.author, parsed.created) == (
        "Gates",
        "Ada",
        datetime(2026, 3, 1, 8, tzinfo=UTC),
    )


def test_macros_are_not_looked_at() -> None:
    assert parse(changed(letter()) + b"", DOCX).blocks


ENTITIES = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'


@pytest.mark.parametrize(
    ("data", "media_type", "limits", "code", "said"),
    [
        (changed(letter(), document=b"<w:document"), DOCX, {}, "corrupt", "no XML"),
        (changed(letter(), document=ENTITIES), DOCX, {}, "corrupt", "entities"),
        (changed(letter(), document=b"<a>" + b" " * 100_000_000 + b"</a>"), DOCX, {}, "resource_limit", "unpacks"),
        (letter()[:2_000], DOCX, {}, "corrupt", "cut off"),
        (slides(), PPTX, {"pages": 1}, "resource_limit", "more than 1 slides"),
        (workbook(), XLSX, {"pages": 2}, "resource_limit", "more than 2 sheets"),
        (workbook(), XLSX, {"columns": 3}, "resource_limit", "more than 3 columns"),
        (workbook(), XLSX, {"rows": 2}, "resource_limit", "more than 2 rows"),
        (workbook()[:2_000], XLSX, {}, "corrupt", "cut off"),
        (old_workbook()[:900], XLS, {}, "corrupt", "damaged"),
    ],
)  # fmt: skip
def test_a_file_that_can_t_be_read_says_why(
    data: bytes, media_type: str, limits: dict[str, int], code: str, said: str
) -> None:
    with pytest.raises(ParseError) as refused:
        parse(data, media_type, **limits)
    assert (refused.value.code, said in refused.value.message) == (code, True), refused.value.message
