"""The parser ``pdf`` keeps the contract of kind ``parser``, and reads what another library wrote."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from fpdf import FPDF
from PIL import Image
from ragwork_hooks.parsing import Parsed, ParseError, ParseLimits, Parser, SourceFile
from ragwork_pdf.pdf_parser import PDF, PdfParser
from ragwork_testkit.parser import ParserContract, Sample

ROWS = (("gate", "owner", "days"), ("load", "Ada Lovelace", "1"), ("soak", "Eve", "17"))
TEXT = (
    "A build of the agent reaches customers only after it has passed every gate, and each gate has an owner who "
    "signs for it. The gates were agreed with the operators of the lock in Hamburg."
)


class Paper(FPDF):
    """A running header, and page numbers."""

    def header(self) -> None:
        self.set_font("Helvetica", size=8)
        self.cell(0, 8, "Acme internal", new_x="LMARGIN", new_y="NEXT")

    def footer(self) -> None:
        self.set_y(-15)
        self.set_font("Helvetica", size=8)
        self.cell(0, 8, f"Page {self.page_no()}")


def report(change: Callable[[FPDF], object] = lambda made: None) -> bytes:
    made = Paper()
    made.set_title("Release gates")
    made.set_author("Ada")
    made.set_creation_date(datetime(2026, 3, 1, 8, tzinfo=UTC))
    for number in (1, 2, 3):
        made.add_page()
        made.set_font("Helvetica", size=20)
        made.cell(0, 12, ("Gates", "Tables", "Lists")[number - 1], new_x="LMARGIN", new_y="NEXT")
        made.set_font("Helvetica", size=11)
        made.multi_cell(0, 6, TEXT, new_x="LMARGIN", new_y="NEXT")
        made.ln(6)
        if number == 2:
            with made.table() as table:
                for row in ROWS:
                    table.row(row)
        if number == 3:
            made.multi_cell(
                0, 6, "- first the harbour master\n- then the crew", new_x="LMARGIN", new_y="NEXT"
            )
            made.ln(6)
            made.multi_cell(0, 6, "The end of the text.")
    change(made)
    return bytes(made.output())


def scan(pages: int = 1) -> bytes:
    image, made = Image.new("RGB", (200, 200), "grey"), FPDF()
    for _ in range(pages):
        made.add_page()
        made.image(image, w=180)
    return bytes(made.output())


class TestPdfParser(ParserContract):
    samples = (
        Sample("gates.pdf", report(), "agreed with the operators of the lock in Hamburg"),
        Sample("table.pdf", report(), "load | Ada Lovelace | 1"),
    )

    async def make(self) -> Parser:
        return PdfParser()


def parse(data: bytes, **limits: int) -> Parsed:
    return PdfParser().parse(SourceFile(data=data, media_type=PDF, limits=ParseLimits(**limits)))


def test_pages_are_read_by_structure_without_what_they_repeat() -> None:
    parsed = parse(report())
    columns = ROWS[0]
    assert [(b.kind, b.text, b.page, b.headings, b.columns) for b in parsed.blocks] == [
        ("heading", "Gates", 1, (), ()),
        ("paragraph", TEXT, 1, ("Gates",), ()),
        ("heading", "Tables", 2, (), ()),
        ("paragraph", TEXT, 2, ("Tables",), ()),
        ("table_row", "load | Ada Lovelace | 1", 2, ("Tables",), columns),
        ("table_row", "soak | Eve | 17", 2, ("Tables",), columns),
        ("heading", "Lists", 3, (), ()),
        ("paragraph", TEXT, 3, ("Lists",), ()),
        ("list", "- first the harbour master\n- then the crew", 3, ("Lists",), ()),
        ("paragraph", "The end of the text.", 3, ("Lists",), ()),
    ]
    assert (parsed.title, parsed.author) == ("Release gates", "Ada")
    assert parsed.created == datetime(2026, 3, 1, 8, tzinfo=UTC)


def test_a_table_goes_on_over_the_page_with_its_names() -> None:
    made = FPDF()
    made.add_page()
    made.set_font("Helvetica", size=11)
    with made.table(repeat_headings=0) as table:
        for number in range(60):
            table.row([f"gate {number}", "Ada"] if number else ["gate", "owner"])
    rows = parse(bytes(made.output())).blocks
    assert {row.page for row in rows} == {1, 2}
    assert {row.columns for row in rows} == {("gate", "owner")}
    assert [row.text for row in rows] == [f"gate {number} | Ada" for number in range(1, 60)]


def test_a_drawing_around_a_text_is_no_table() -> None:
    def boxes(made: FPDF) -> None:
        for x in (23, 57, 81):
            made.line(x, 20, x, 60)
        for y in (20, 40, 60):
            made.line(10, y, 200, y)

    assert "table_row" not in {block.kind for block in parse(report(boxes)).blocks if block.page == 3}


def test_columns_are_read_one_after_the_other() -> None:
    made = FPDF()
    made.add_page()
    made.set_font("Helvetica", size=11)
    left = "The left column ends with an unfinished sentence that the"
    with made.text_columns(
        text=f"{left} right column finishes. " + "More words follow. " * 300, ncols=2
    ) as columns:
        assert columns
    said = " ".join(block.text for block in parse(bytes(made.output())).blocks)
    assert f"{left} right column finishes." in said
    assert said.count("More words follow.") == 300


def test_words_cut_at_a_lines_end_are_whole() -> None:
    made = FPDF()
    made.add_page()
    made.set_font("Helvetica", size=11)
    made.multi_cell(
        60,
        6,
        "The harbour\u00admaster of the lock signs all re\u00adlease\u00ad documents of the har\u00adbour.",
    )
    said = " ".join(block.text for block in parse(bytes(made.output())).blocks)
    assert "release documents of the harbour." in said


def test_files_in_the_file_are_attachments() -> None:
    (attachment,) = parse(
        report(lambda made: made.embed_file(bytes=b"a,b\n1,2\n", basename="a.csv"))
    ).attachments
    assert (attachment.filename, attachment.content) == ("a.csv", b"a,b\n1,2\n")


@pytest.mark.parametrize(
    ("data", "limits", "code", "said"),
    [
        (scan(), {}, "no_text", "scan"),
        (report(lambda made: made.set_encryption("owner", "secret")), {}, "encrypted", "password"),
        (report()[:300], {}, "corrupt", "damaged"),
        (b"%PDF-1.7\n" + b"x" * 1_000, {}, "corrupt", "damaged"),
        (report(), {"pages": 2}, "resource_limit", "more than 2 pages"),
    ],
    ids=["scan", "encrypted", "cut off", "nonsense", "pages"],
)
def test_a_file_that_can_t_be_read_says_why(
    data: bytes, limits: dict[str, int], code: str, said: str
) -> None:
    with pytest.raises(ParseError) as refused:
        parse(data, **limits)
    assert (refused.value.code, said in refused.value.message) == (code, True), refused.value.message


def test_a_file_that_only_forbids_changes_is_read() -> None:
    assert parse(report(lambda made: made.set_encryption("owner"))).title == "Release gates"


def test_pages_without_text_in_a_file_with_text_are_told() -> None:
    made = FPDF()
    made.set_font("Helvetica", size=11)
    made.add_page()
    made.cell(0, 6, "text")
    made.add_page()
    made.image(Image.new("RGB", (200, 200), "grey"), w=180)
    parsed = parse(bytes(made.output()))
    assert [block.text for block in parsed.blocks] == ["text"]
    assert parsed.warnings == ["Pages that are images without text were left out: 2"]


def test_text_in_a_font_that_is_not_there_is_read_or_told() -> None:
    inner = (
        b"<</Type/Font/Subtype/CIDFontType2/BaseFont/SimSun/DW 1000/CIDSystemInfo<</Registry(Adobe)/Ordering(GB1)"
        b"/Supplement 2>>/FontDescriptor<</Type/FontDescriptor/FontName/SimSun/Flags 32>>>>"
    )
    content = b"".join(b"BT /F1 12 Tf 10 %d Td <B9D8> Tj ET\n" % (20 + 15 * line) for line in range(20))
    parts = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 400 400]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%bendstream" % (len(content), content),
        b"<</Type/Font/Subtype/Type0/BaseFont/SimSun/Encoding/GBK-EUC-H/DescendantFonts[6 0 R]>>",
        inner,
    ]
    body = b"".join(b"%d 0 obj%b\nendobj\n" % (number, part) for number, part in enumerate(parts, 1))
    said = []
    try:
        said += [block.text for block in parse(b"%PDF-1.4\n" + body + b"trailer<</Root 1 0 R>>").blocks]
    except ParseError as error:  # no font of this system stands in for it
        said.append(error.message)
    assert "\u5173" in said[0] or "save the file with its fonts" in said[0]
