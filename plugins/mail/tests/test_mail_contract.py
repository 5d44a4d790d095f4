"""The parser ``mail`` keeps the contract of kind ``parser``, and gives attachments as files."""

from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
from ragwork_hooks.parsing import Parsed, ParseError, ParseLimits, Parser, SourceFile
from ragwork_mail.mail_parser import MAIL, MailParser
from ragwork_testkit.parser import ParserContract, Sample

#: As programs of the last century write: a folded and encoded subject, a body in Latin-1, quoted.
OLD = (
    b"Received: from a by b\r\nFrom: =?iso-8859-1?Q?J=FCrgen?= <j@example.org>\r\n"
    b"To: ada@example.org,\r\n eve@example.org\r\n"
    b"Subject: =?utf-8?B?U2NobGV1c2U=?=\r\n =?utf-8?Q?_=C3=B6ffnet?=\r\nDate: Sun, 1 Mar 2026 08:00:00 +0000\r\n"
    b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"Die Schleuse =F6ffnet fr=FCh.\r\n\r\nBis dann=\r\n!\r\n"
)
PAGE = (
    "<html><head><title>no</title><style>p{}</style></head><body><p>Hello&nbsp;<b>all</b></p>"
    "<table><tr><td>a</td><td>b</td></tr></table>"
)


def letter(*, html: bool = False) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Ada <ada@example.org>", "eve@example.org", "Gates"
    message["Date"] = datetime(2026, 3, 1, 8, tzinfo=UTC)
    if html:
        message.set_content(PAGE, subtype="html")
    else:
        message.set_content("Please see the gates.\n\nAda\n")
        message.add_alternative("<p>not this one</p>", subtype="html")
    return message


def full() -> bytes:
    message = letter()
    message.add_attachment(b"a,b\n1,2\n", maintype="text", subtype="csv", filename="gates.csv")
    message.add_attachment(letter(html=True))
    message.add_attachment(b"\x89PNG", maintype="image", subtype="png", cid="<logo>", disposition="inline")
    return message.as_bytes()


class TestMailParser(ParserContract):
    samples = (
        Sample("full.eml", full(), "Please see the gates."),
        Sample("old.eml", OLD, "Schleuse öffnet früh"),
        Sample("page.eml", letter(html=True).as_bytes(), "Hello all"),
    )

    async def make(self) -> Parser:
        return MailParser()


def parse(data: bytes, **limits: int) -> Parsed:
    return MailParser().parse(SourceFile(data=data, media_type=MAIL, limits=ParseLimits(**limits)))


def test_headers_and_text_are_read_as_people_read_them() -> None:
    parsed = parse(OLD)
    assert [block.text for block in parsed.blocks] == [
        "From: Jürgen <j@example.org>\nTo: ada@example.org, eve@example.org\n"
        "Date: Sun, 01 Mar 2026 08:00:00 +0000\nSubject: Schleuse öffnet",
        "Die Schleuse öffnet früh.",
        "Bis dann!",
    ]
    assert (parsed.title, parsed.author) == ("Schleuse öffnet", "Jürgen <j@example.org>")
    assert parsed.created == datetime(2026, 3, 1, 8, tzinfo=UTC)


def test_attachments_are_files_and_pictures_of_the_text_are_not() -> None:
    table, forwarded = parse(full()).attachments
    assert (table.filename, table.media_type, table.content) == ("gates.csv", "text/csv", b"a,b\n1,2\n")
    assert forwarded.media_type == MAIL
    assert parse(forwarded.content).title == "Gates"
    assert [block.text for block in parse(forwarded.content).blocks[1:]] == ["Hello all", "a b"]


@pytest.mark.parametrize(
    ("data", "limits", "code", "said"),
    [
        (b"just\n\na text", {}, "corrupt", "no mail"),
        (full(), {"members": 1}, "resource_limit", "more than 1 attachments"),
    ],
)
def test_a_file_that_can_t_be_read_says_why(
    data: bytes, limits: dict[str, int], code: str, said: str
) -> None:
    with pytest.raises(ParseError) as refused:
        parse(data, **limits)
    assert (refused.value.code, said in refused.value.message) == (code, True), refused.value.message


@pytest.mark.parametrize(
    "data",
    [
        b"From: a\nContent-Type: text/plain; charset=nonsense\n\nstill \xfc read",
        b"From: a\nContent-Type: multipart/mixed; boundary=x\n\nno part at all, still read",
        b"From: a\nContent-Type: multipart/mixed\n\nstill read",
        b"From: a@\nDate: yesterday\nTo: <<>>,;\n\nstill read",
    ],
)
def test_what_breaks_the_rules_is_read_as_far_as_it_goes(data: bytes) -> None:
    assert parse(data).blocks[0].text.startswith("From: a")
