"""What a file is: its content says it first, then its name, then its sender; and how a text's bytes are decoded."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import ClassVar

import attrs
import pytest
from ragwork_hooks.parsing import Parsed, ParseError, SourceFile
from ragwork_parsing.detection import MediaTypes
from ragwork_parsing.encoding import encoding_of
from ragwork_parsing.text_parser import TextParser

PDF, HTML, CSV, JSON, MAIL = "application/pdf", "text/html", "text/csv", "application/json", "message/rfc822"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
XLS, EPUB, OCTETS = "application/vnd.ms-excel", "application/epub+zip", "application/octet-stream"


@attrs.frozen
class Anything:
    """Takes every type that the tests name."""

    name: ClassVar[str] = "anything"
    media_types: ClassVar[Sequence[str]] = (
        PDF,
        HTML,
        CSV,
        JSON,
        MAIL,
        DOCX,
        XLSX,
        XLS,
        EPUB,
        "application/x-foo",
    )
    extensions: ClassVar[Mapping[str, str]] = {
        ".pdf": PDF, ".html": HTML, ".csv": CSV, ".json": JSON, ".eml": MAIL, ".docx": DOCX, ".xlsx": XLSX,
        ".xls": XLS, ".epub": EPUB, ".foo": "application/x-foo",
    }  # fmt: skip

    def load(self) -> None:
        return None

    def parse(self, source: SourceFile) -> Parsed:
        raise NotImplementedError


TYPES = MediaTypes.of([TextParser(), Anything()])


def archive(**members: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name, text in members.items():
            file.writestr({"types": "[Content_Types].xml"}.get(name, name), text)
    return made.getvalue()


def container(stream: str) -> bytes:
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + stream.encode("utf-16-le") + bytes(512)


MACROS = '<Override ContentType="application/vnd.ms-word.document.macroEnabled.main+xml"/>'
LETTER = (
    b"From: ada@example.org\r\nTo: bob@example.org\r\nSubject: gates\r\nMIME-Version: 1.0\r\n\r\nHello\r\n"
)


@pytest.mark.parametrize(
    ("data", "filename", "declared", "found"),
    [
        (b"%PDF-1.7\n...", "a.docx", "text/plain", PDF),
        (b"\n\n junk %PDF-1.4\n", "", OCTETS, PDF),
        (archive(types='ContentType="...spreadsheetml.sheet.main+xml"'), "a.docx", "", XLSX),
        (archive(types=MACROS), "a.docm", "", DOCX),
        (archive(mimetype="application/epub+zip"), "book", OCTETS, EPUB),
        (container("Workbook"), "a.bin", OCTETS, XLS),
        (b"<!DOCTYPE html><p>x", "", OCTETS, HTML),
        (b'<?xml version="1.0"?>\n<!-- x --><html xmlns="y">', "a.txt", "", HTML),
        (b"<!DOCTYPE html><p>x", "a.md", "", "text/markdown"),
        (b"a,b\n1,2\n", "a.csv", OCTETS, CSV),
        (b"a,b\n1,2\n", "export", "text/csv; charset=utf-8", CSV),
        (b"a,b\n1,2\n", "export", OCTETS, "text/plain"),
        (b'{"a": 1}', "", OCTETS, JSON),
        (b'{"a": 1}', "a.txt", "", "text/plain"),
        (LETTER, "", OCTETS, MAIL),
        (b"# A\n", "A.MD", "text/plain", "text/markdown"),
        (b"# A\n", "a", "text/markdown", "text/markdown"),
        (b"Note: this\nand: that\n\ntext", "", "", "text/plain"),
        ("Grüße".encode("utf-16"), "", OCTETS, "text/plain"),
        (b"\x00\x01\x02foo", "a.foo", OCTETS, "application/x-foo"),
        (b"\x00\x01\x02foo", "a", "application/x-foo", "application/x-foo"),
        (b"PK\x03\x04cut off", "a.docx", "", DOCX),
        (b"def f():\n    return 1\n", "a.py", "text/x-python", "text/plain"),
    ],
)  # fmt: skip
def test_content_then_name_then_declaration_say_what_a_file_is(
    data: bytes, filename: str, declared: str, found: str
) -> None:
    assert TYPES.detect(data, filename, declared) == found


@pytest.mark.parametrize(
    ("data", "filename", "code", "said"),
    [
        (b"", "a.pdf", "corrupt", "0 bytes"),
        (b"just a text", "a.pdf", "corrupt", "is no such file"),
        (container("EncryptedPackage"), "a.docx", "encrypted", "password"),
        (b"\x89PNG\r\n\x1a\n....", "a.pdf", "unsupported", "a.pdf is image/png"),
        (archive(readme="x"), "a.zip", "unsupported", "application/zip"),
        (b"\x00\x01\x02", "", "unsupported", "application/octet-stream"),
        (container("WordDocument"), "a.doc", "unsupported", "application/msword"),
    ],
)
def test_what_nobody_parses_is_refused_with_what_is_taken(
    data: bytes, filename: str, code: str, said: str
) -> None:
    with pytest.raises(ParseError) as refused:
        TYPES.detect(data, filename, "application/octet-stream")
    error = refused.value
    assert (error.code, said in error.message) == (code, True), error.message
    if code == "unsupported":
        assert ".docx" in error.message
        assert PDF in error.accepted


SENTENCES = {
    "cp1251": "В порту Гамбурга начальник гавани закрывает ворота шлюза.",
    "koi8-r": "привет мир, это текст",
    "cp1252": "Die Grüße aus Köln: über die Öffnung entscheidet der Hafenmeister.",
    "shift_jis": "港長は干潮時に水門を閉めます。",
    "euc_jp": "港長は干潮時に水門を閉めます。カタカナもあります。",
    "gb18030": "港务长在退潮时关闭闸门。员工必须在星期五之前提交申请。",
    "big5": "港務長在退潮時關閉閘門。員工必須在星期五之前提交申請。",
    "euc_kr": "항만장은 썰물 때 수문을 닫습니다.",
    "cp1253": "Ο λιμενάρχης κλείνει τις πύλες της δεξαμενής.",
    "cp1255": "מנהל הנמל סוגר את שערי הסכר בזמן השפל.",
    "cp1256": "يغلق مدير الميناء بوابات القفل عند الجزر.",
    "tis_620": "นายท่าเรือปิดประตูน้ำในเวลาน้ำลง",
    "utf-8": "naïve",
    "utf-16": "Grüße",
    "utf-32": "Grüße",
    "utf-8-sig": "Grüße",
}


@pytest.mark.parametrize("encoding", SENTENCES)
def test_legacy_encodings_are_detected(encoding: str) -> None:
    data = SENTENCES[encoding].encode(encoding)
    assert data.decode(encoding_of(data, "text/plain")) == SENTENCES[encoding]


@pytest.mark.parametrize(
    ("data", "media_type", "declared", "encoding"),
    [
        (b"<meta charset=koi8-r>\xf0\xd2\xc9", "text/html", "", "koi8-r"),
        (b"\xf0\xd2\xc9", "text/plain", "text/plain; charset=KOI8-R", "koi8-r"),
        (b"\xef\xbb\xbf\xc3\xbc", "text/plain", "text/plain; charset=koi8-r", "utf-8-sig"),
        ("ü".encode(), "text/plain", "text/plain; charset=koi8-r", "utf-8"),
    ],
)
def test_what_a_text_or_its_sender_says_counts_where_it_can_be_true(
    data: bytes, media_type: str, declared: str, encoding: str
) -> None:
    assert encoding_of(data, media_type, declared) == encoding


@pytest.mark.parametrize("name", ["rot13", "zlib", "no-such-codec", "hex", "idna", "undefined"])
def test_a_declared_encoding_that_is_none_is_not_used(name: str) -> None:
    data = "Die Grüße aus Köln".encode("cp1252")
    assert data.decode(encoding_of(data, "text/plain", f"text/plain; charset={name}"), "replace").startswith(
        "Die Gr"
    )


def test_the_first_of_two_parsers_has_a_type() -> None:
    class Other(Anything):
        media_types = (PDF,)

    assert MediaTypes.of([Other(), Anything()]).parser(PDF).__class__ is Other
    assert MediaTypes.of([Anything(), Other()]).parser(PDF).__class__ is Anything
