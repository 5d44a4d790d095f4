"""The parser ``ocr`` keeps the contract of kind ``parser``, where Tesseract is installed."""

import io

import pytest
from fpdf import FPDF
from PIL import Image, ImageDraw, ImageFont
from ragwork_hooks.parsing import ParseError, ParseLimits, Parser, SourceFile
from ragwork_ocr.config import OcrConfig, library, ready
from ragwork_ocr.ocr_parser import PDF, PNG, TIFF, OcrParser
from ragwork_testkit.parser import ParserContract, Sample

pytestmark = pytest.mark.program("tesseract")
LINES = ("The harbour gate opens", "at seven in the morning.")


def drawn(*lines: str) -> Image.Image:
    image = Image.new("L", (1000, 120 + 70 * len(lines)), 255)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=44)
    for number, line in enumerate(lines):
        pen.text((40, 40 + 70 * number), line, fill=0, font=font)
    return image


def saved(kind: str, *images: Image.Image) -> bytes:
    buffer = io.BytesIO()
    images[0].save(buffer, kind, **({"save_all": True, "append_images": images[1:]} if images[1:] else {}))
    return buffer.getvalue()


def scan(*pages: Image.Image, text: str = "") -> bytes:
    made = FPDF()
    for page in pages:
        made.add_page()
        made.image(page, w=180)
    if text:
        made.add_page()
        made.set_font("Helvetica", size=12)
        made.multi_cell(0, text=text)
    return bytes(made.output())


class TestOcrParser(ParserContract):
    samples = (
        Sample("gate.png", saved("PNG", drawn(*LINES)), "harbour gate opens"),
        Sample("gate.pdf", scan(drawn(*LINES)), "at seven in the morning"),
    )

    async def make(self) -> Parser:
        return OcrParser(str(library()))


def test_pages_are_counted_and_a_page_with_text_keeps_it() -> None:
    data = scan(drawn(*LINES), drawn("The castle gate is closed."), text="Typed, not drawn.")
    parsed = OcrParser(str(library())).parse(SourceFile(data=data, media_type=PDF))
    said = {block.page: block.text for block in parsed.blocks}
    assert "seven" in said[1]
    assert "castle gate" in said[2]
    assert said[3] == "Typed, not drawn."
    frames = saved("TIFF", drawn("First page here"), drawn("Second page here"))
    pages = OcrParser(str(library())).parse(SourceFile(data=frames, media_type=TIFF)).blocks
    assert [(block.page, block.text.split()[0]) for block in pages] == [(1, "First"), (2, "Second")]


@pytest.mark.parametrize(
    ("data", "media_type", "limits", "code"),
    [
        (saved("PNG", Image.new("L", (400, 400), 255)), PNG, {}, "no_text"),
        (saved("PNG", drawn(*LINES))[:200], PNG, {}, "corrupt"),
        (saved("TIFF", drawn("a"), drawn("b")), TIFF, {"pages": 1}, "resource_limit"),
        (scan(drawn(*LINES))[:300], PDF, {}, "corrupt"),
    ],
    ids=["blank", "cut off", "pages", "cut off pdf"],
)
def test_a_file_that_can_t_be_read_says_why(
    data: bytes, media_type: str, limits: dict[str, int], code: str
) -> None:
    with pytest.raises(ParseError) as refused:
        OcrParser(str(library())).parse(
            SourceFile(data=data, media_type=media_type, limits=ParseLimits(**limits))
        )
    assert refused.value.code == code


def test_what_is_not_installed_is_said() -> None:
    said = ready(OcrConfig(languages=("eng", "xyz")))
    assert said is not None
    assert "tesseract-ocr-xyz" in said
