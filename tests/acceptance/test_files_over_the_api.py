"""Files of other types than text: uploaded, read, found, cited with the place where it stands, and given back."""

import base64
import io
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import aiohttp
import docx
import pytest
import xlsxwriter
from fpdf import FPDF
from fpdf.enums import AccessPermission
from ragwork_hooks.governance import Subject
from ragwork_testkit.platform import DEFAULT_PLUGINS

PLUGINS = (*DEFAULT_PLUGINS, "parsing", "pdf", "office", "html", "data", "mail")
FACT = "The harbour gate opens at seven."


def pdf(password: str | None = None) -> bytes:
    made = FPDF()
    made.set_font("Helvetica", size=12)
    for text in ("Nothing of interest stands on the first page.", FACT):
        made.add_page()
        made.multi_cell(0, text=text)
    if password:
        made.set_encryption(
            owner_password=password, user_password=password, permissions=AccessPermission.none()
        )
    return bytes(made.output())


def letter() -> bytes:
    made, buffer = docx.Document(), io.BytesIO()
    made.add_heading("Harbour", 1)
    made.add_paragraph(FACT)
    made.save(buffer)
    return buffer.getvalue()


def workbook() -> bytes:
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer) as made:
        sheet = made.add_worksheet("Gates")
        for row, cells in enumerate((("Gate", "Opens"), ("harbour", "at seven"), ("castle", "at nine"))):
            sheet.write_row(row, 0, cells)
    return buffer.getvalue()


def mail() -> bytes:
    made = EmailMessage()
    made["Subject"], made["From"], made["To"] = "Gates", "ada@harbour.example", "eve@harbour.example"
    made.set_content(FACT)
    return made.as_bytes()


PAGE = f"<html><body><nav>Home About</nav><main><h1>Harbour</h1><p>{FACT}</p></main></body></html>".encode()
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
#: name → content, its type, what the answer says, and where it says that it stands.
FILES: dict[str, tuple[Callable[[], bytes], str, str, dict[str, object]]] = {
    "gates.pdf": (pdf, "application/pdf", FACT, {"pages": [1, 2]}),
    "gates.docx": (letter, WORD, FACT, {"headings": ["Harbour"]}),
    "gates.xlsx": (workbook, SHEET, "Gate: harbour; Opens: at seven", {"sheet": "Gates"}),
    "gates.html": (lambda: PAGE, "text/html", FACT, {}),
    "gates.eml": (mail, "message/rfc822", FACT, {}),
    "gates.csv": (
        lambda: b"Gate;Opens\nharbour;at seven\n",
        "text/csv",
        "Gate: harbour; Opens: at seven",
        {},
    ),
}


def form(data: bytes, name: str, kind: str, document_id: str) -> aiohttp.FormData:
    body = aiohttp.FormData()
    body.add_field("corpus_id", "c")
    body.add_field("document_id", document_id)
    body.add_field("file", data, filename=name, content_type=kind)
    return body


async def corpus(app: Any) -> str:
    key = str(await app.key(tenant="t1"))
    made = await app.call("POST", "/v1/corpora", key, json={"id": "c", "name": "c"})
    assert made.status == 201, made.text
    return key


async def raw(app: Any, key: str, path: str) -> bytes:
    async with app.session.get(app.base + path, headers={"Authorization": f"Bearer {key}"}) as response:
        assert response.status == 200, await response.text()
        return bytes(await response.read())


async def settled(app: Any, key: str, document_id: str) -> Any:
    while True:
        document = (await app.call("GET", f"/v1/documents/{document_id}", key)).data
        if document["status"] in ("succeeded", "failed"):
            return document


@pytest.mark.parametrize("name", FILES)
async def test_a_file_is_answered_from_with_its_place(platform: Callable[..., Any], name: str) -> None:
    make, kind, said, place = FILES[name]
    data = make()
    async with platform(plugins=PLUGINS, settings={"LLM_PROVIDER": "extractive"}) as app:
        key = await corpus(app)
        taken = await app.call(
            "POST", "/v1/documents", key, data=form(data, name, "application/octet-stream", "d")
        )
        assert taken.status == 202, taken.text
        document = await settled(app, key, "d")
        assert (document["status"], document["content_type"]) == ("succeeded", kind), document
        body = {"session_id": "s", "corpus_id": "c", "message": "When does the harbour gate open?"}
        final = (await app.events("/v1/run", key, body))[-2].data
        assert said in final["text"], final
        (citation, *_) = final["citations"]
        assert {name: citation["metadata"].get(name) for name in place} == place
        original = await raw(app, key, "/v1/documents/d/content")
        text = (await raw(app, key, "/v1/documents/d/text")).decode()
        assert original == data
        assert text[citation["start"] : citation["end"]] in citation["quote"] or citation["quote"] in text


async def test_a_file_that_cannot_be_read_says_why(platform: Callable[..., Any]) -> None:
    async with platform(plugins=PLUGINS) as app:
        key = await corpus(app)
        for document_id, data, reason in (
            ("locked", pdf("secret"), "encrypted: "),
            ("broken", pdf()[:400], "corrupt: "),
            ("empty", _scan(), "no_text: "),
        ):
            await app.call(
                "POST", "/v1/documents", key, data=form(data, "a.pdf", "application/pdf", document_id)
            )
            document = await settled(app, key, document_id)
            assert document["status"] == "failed"
            assert document["failure_reason"].startswith(reason), document["failure_reason"]


def _scan() -> bytes:
    made = FPDF()
    made.add_page()
    made.rect(10, 10, 50, 50)
    return bytes(made.output())


async def test_what_nobody_parses_is_refused_naming_what_would_be_taken(platform: Callable[..., Any]) -> None:
    async with platform(plugins=PLUGINS) as app:
        key = await corpus(app)
        refused = await app.call(
            "POST", "/v1/documents", key, data=form(b"\x7fELF\x02\x01" + bytes(64), "a.bin", "", "x")
        )
        assert (refused.status, refused.code) == (415, "UNSUPPORTED_MEDIA_TYPE")
        assert {"application/pdf", "text/markdown", SHEET} <= set(
            refused.body["error"]["details"]["accepted"]
        )


async def test_a_text_of_another_encoding_is_read(platform: Callable[..., Any]) -> None:
    said = "Das Café am Hafen öffnet um sieben. Die Straße dorthin ist im Winter gesperrt."
    async with platform(plugins=PLUGINS) as app:
        key = await corpus(app)
        taken = await app.call(
            "POST", "/v1/documents", key, data=form(said.encode("cp1252"), "a.txt", "text/plain", "d")
        )
        assert taken.status == 202, taken.text
        assert (await settled(app, key, "d"))["status"] == "succeeded"
        assert (await raw(app, key, "/v1/documents/d/text")).decode() == said


async def test_an_export_has_the_file_and_its_text(platform: Callable[..., Any]) -> None:
    data = pdf()
    async with platform(plugins=PLUGINS) as app:
        key = await corpus(app)
        await app.call("POST", "/v1/documents", key, data=form(data, "a.pdf", "application/pdf", "d"))
        await settled(app, key, "d")
        store = next(each for each in app.platform.plan.data_stores if each.name == "documents")
        async with app.platform.parts.db.tenant("t1") as tx:
            (row,) = [row async for row in store.export(tx, Subject(kind="document", id="d"))]
        assert base64.b64decode(row["content"]) == data
        assert FACT in row["text"]
