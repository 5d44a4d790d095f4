"""Files that are made to break whoever reads them: each ends in a clear error within its limits, and the next is read.

All parsers stand in one pool with small limits, as a platform has them with larger ones.
"""

import io
import json
import time
import zipfile
from collections.abc import AsyncIterator, Callable
from typing import Any

import openpyxl
import pytest
from fpdf import FPDF
from ragwork_data.data_parser import DataParser
from ragwork_hooks.parsing import ParseError
from ragwork_html.html_parser import HtmlParser
from ragwork_mail.mail_parser import MailParser
from ragwork_office.office_parser import OfficeParser
from ragwork_parsing.parsing_service import ParsingService
from ragwork_parsing.text_parser import TextParser
from ragwork_pdf.pdf_parser import PdfParser
from ragwork_testkit.parser import parsing

#: Small enough that a test of each is quick.
LIMITS: dict[str, Any] = {
    "timeout_s": 15.0, "cpu_s": 8, "memory_mb": 768, "output_mb": 16, "max_pages": 1_000, "max_rows": 20_000,
    "max_columns": 500, "max_characters": 2_000_000,
}  # fmt: skip
PARSERS = (TextParser(), HtmlParser(), DataParser(), OfficeParser(), PdfParser(), MailParser())
#: Longest that a file may hold up its tenant: the limit of time, and what a busy machine adds.
LONGEST_S = 30.0


@pytest.fixture
async def service() -> AsyncIterator[ParsingService]:
    async with parsing(*PARSERS, **LIMITS) as made:
        yield made


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return made.getvalue()


def package(kind: str, main: str, content: bytes, **more: bytes) -> bytes:
    """The smallest Office package of a kind, with ``content`` as its main part."""
    types = f'<Types><Override PartName="/{main}" ContentType="application/x.{kind}.main+xml"/></Types>'
    relations = (
        f'<Relationships><Relationship Id="r1" Type="x/officeDocument" Target="{main}"/></Relationships>'
    )
    return archive(
        {"[Content_Types].xml": types.encode(), "_rels/.rels": relations.encode(), main: content, **more}
    )


def word(content: bytes) -> bytes:
    return package("wordprocessingml.document", "word/document.xml", content)


def bomb() -> bytes:
    return word(b"<document><body><p><r><t>" + b"lol " * 50_000_000 + b"</t></r></p></body></document>")


def laughs() -> bytes:
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "lol"}">' for n in range(10))
    return word(
        f"<!DOCTYPE x [{entities}]><document><body><p><r><t>&a9;</t></r></p></body></document>".encode()
    )


def external() -> bytes:
    return word(
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
        b"<document><body><p><r><t>&a;</t></r></p></body></document>"
    )


def deep_elements() -> bytes:
    return word(b"<document><body>" + b"<sdt>" * 200_000 + b"</sdt>" * 200_000 + b"</body></document>")


def nested_archives() -> bytes:
    inner = archive({"a.txt": b"x" * 1_000_000})
    for number in range(8):
        inner = archive({f"{number}-{copy}.zip": inner for copy in range(8)})
    return inner


def many_members() -> bytes:
    members = {f"word/{number}.xml": b"" for number in range(20_000)}
    types = b'<Types><Override ContentType="wordprocessingml.document.main+xml"/></Types>'
    return archive({"[Content_Types].xml": types, **members})


def wide_sheet() -> bytes:
    made = openpyxl.Workbook(write_only=True)
    sheet = made.create_sheet("wide")
    sheet.append([f"c{number}" for number in range(1_000)])
    buffer = io.BytesIO()
    made.save(buffer)
    return buffer.getvalue()


def vast_sheet() -> bytes:
    """Two cells, as far from each other as a sheet is large."""
    made = openpyxl.Workbook()
    for name in ("A1", "XFD1048576"):
        made.active[name] = "x"
    buffer = io.BytesIO()
    made.save(buffer)
    return buffer.getvalue()


def long_pdf() -> bytes:
    """10,000 pages that are one page: the list names it again and again."""
    kids = b"3 0 R " * 10_000
    parts = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 10000/Kids[" + kids + b"]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]>>",
    ]
    made, places = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        places.append(len(made))
        made += b"%d 0 obj%bendobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return made + b"xref\n0 4\n0000000000 65535 f \n%btrailer<</Size 4/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (
        table, len(made)
    )  # fmt: skip


def looping_pdf() -> bytes:
    """Pages whose parent is their child."""
    return (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        b"2 0 obj<</Type/Pages/Count 5/Kids[2 0 R 2 0 R]/Parent 2 0 R>>endobj\ntrailer<</Root 1 0 R>>"
    )


def locked_pdf() -> bytes:
    made = FPDF()
    made.set_encryption("owner", "secret")
    made.add_page()
    made.set_font("Helvetica", size=11)
    made.cell(0, 6, "secret")
    return bytes(made.output())


def locked_word() -> bytes:
    return (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "EncryptedPackage".encode("utf-16-le") + bytes(512)
    )


def letters(depth: int) -> bytes:
    """A message in a message in a message."""
    made = b"Subject: inner\n\ntext"
    for number in range(depth):
        edge = b"b%d" % number
        made = (
            b"Subject: outer\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=%b\n\n--%b\n"
            b"Content-Type: message/rfc822\n\n%b\n--%b--\n" % (edge, edge, made, edge)
        )
    return made


HOSTILE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "nothing": ("a.pdf", lambda: b"", "corrupt"),
    "zip bomb": ("a.docx", bomb, "resource_limit"),
    "XML bomb": ("a.docx", laughs, "corrupt"),
    "external entity": ("a.docx", external, "corrupt"),
    "nested elements": ("a.docx", deep_elements, "corrupt resource_limit"),
    "nested archives": ("a.zip", nested_archives, "unsupported"),
    "nested archives by another name": ("a.docx", nested_archives, "corrupt resource_limit"),
    "20,000 members": ("a.docx", many_members, "resource_limit"),
    "1,000 columns": ("a.xlsx", wide_sheet, "resource_limit"),
    "17 billion cells": ("a.xlsx", vast_sheet, "resource_limit"),
    "10,000 pages": ("a.pdf", long_pdf, "resource_limit"),
    "endless pages": ("a.pdf", looping_pdf, "corrupt no_text resource_limit"),
    "password, PDF": ("a.pdf", locked_pdf, "encrypted"),
    "password, Word": ("a.docx", locked_word, "encrypted"),
    "cut off": ("a.pdf", lambda: locked_pdf()[:500], "corrupt"),
    "another type's name": ("a.xlsx", lambda: b"just a text, no workbook", "corrupt"),
    "a program": ("a.docx", lambda: b"\x7fELF" + bytes(1_000), "unsupported"),
    "many rows": ("a.csv", lambda: b"a,b\n" + b"1,2\n" * 100_000, "resource_limit"),
    "many columns": ("a.csv", lambda: b",".join(b"%d" % n for n in range(100_000)), "resource_limit"),
    "an open quote": ("a.csv", lambda: b'a,b\n"' + b"x" * 5_000_000, "resource_limit"),
    "nested JSON": ("a.json", lambda: b"[" * 1_000_000, "resource_limit"),
    "wide JSON": ("a.json", lambda: json.dumps([{str(n): n} for n in range(3_000)]).encode(), "resource_limit"),
    "nested HTML": ("a.html", lambda: b"<div>" * 500_000 + b"x", "resource_limit corrupt"),
    "much HTML": ("a.html", lambda: b"<p>" + b"word " * 2_000_000, "resource_limit"),
    "one long line": ("a.md", lambda: b"x" * 5_000_000, "resource_limit"),
    "nested letters": ("a.eml", lambda: letters(3_000), "resource_limit corrupt"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_file_ends_in_a_clear_error_and_the_next_is_read(
    service: ParsingService, name: str
) -> None:
    filename, make, codes = HOSTILE[name]
    data = make()
    await service.warm()
    start = time.monotonic()
    with pytest.raises(ParseError) as refused:
        await service.parse("t", data, filename, "application/octet-stream")
    took = time.monotonic() - start
    assert refused.value.code in codes.split(), f"{refused.value.code}: {refused.value.message}"
    assert 10 < len(refused.value.message) < 1_001
    assert took < LONGEST_S
    assert (await service.parse("t", b"after it", "a.txt", "")).blocks[0].text == "after it"


async def test_macros_are_left_alone_and_the_text_is_read(service: ParsingService) -> None:
    types = b'<Types><Override ContentType="application/vnd.ms-word.document.macroEnabled.main+xml"/></Types>'
    relations = b'<r><Relationship Id="r1" Type="x/officeDocument" Target="word/document.xml"/></r>'
    body = b"<document><body><p><r><t>read</t></r></p></body></document>"
    made = archive(
        {
            "[Content_Types].xml": types,
            "_rels/.rels": relations,
            "word/document.xml": body,
            "word/vbaProject.bin": b"\xd0\xcf\x11\xe0" * 1_000,
        }
    )
    parsed = await service.parse("t", made, "a.docm", "application/vnd.ms-word.document.macroEnabled.12")
    assert [block.text for block in parsed.blocks] == ["read"]
