"""The parser ``html`` keeps the contract of kind ``parser``, and finds what a page says."""

import io
import zipfile
from datetime import UTC, datetime

import pytest
from ragwork_hooks.parsing import Parsed, ParseError, Parser, SourceFile
from ragwork_html.html_parser import EPUB, HTML, HtmlParser
from ragwork_testkit.parser import ParserContract, Sample

PAGE = """<!DOCTYPE html>
<html lang="en-GB"><head><title>Gates | Acme</title>
<meta property="og:title" content="Release gates"><meta name="author" content="Ada Lovelace">
<meta property="article:published_time" content="2026-03-01T08:00:00+00:00">
<script>var tracking = "never shown";</script></head>
<body><header><nav><ul><li><a href="/">Home</a></li><li><a href="/shop">Shop</a></li></ul></nav></header>
<main><h1>Release gates</h1>
<p>A build of the agent reaches customers only after it has passed every gate, and each gate has an owner
who signs for it. The gates were agreed with the operators of the lock in Hamburg, who see every release
a week before all others.</p>
<h2>Load</h2>
<p>The load test runs for a day, with the traffic of the busiest week. It ends when one request in a thousand fails.</p>
<ul><li>first the <b>harbour</b> master</li><li>then the crew<ul><li>in pairs</li></ul></li></ul>
<table><thead><tr><th>gate</th><th>owner</th></tr></thead>
<tbody><tr><td>load</td><td>Ada</td></tr><tr><td>soak</td><td>Eve</td></tr></tbody></table>
<pre>cat a | sort
  uniq -c</pre>
<p>Whoever wants to skip a gate asks the harbour master in writing, and gets an answer within two working days.</p>
</main><footer><p>Imprint, privacy and cookies of Acme</p></footer></body></html>"""


def book(**members: str) -> bytes:
    package = """<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">
<metadata><dc:title>The locks</dc:title><dc:creator>Ada</dc:creator>
<dc:language>de</dc:language><dc:date>2024-05-01</dc:date></metadata>
<manifest><item id="n" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="a" href="text/one.xhtml" media-type="application/xhtml+xml"/>
<item id="b" href="text/two%20b.xhtml" media-type="application/xhtml+xml"/></manifest>
<spine><itemref idref="n"/><itemref idref="b"/><itemref idref="a"/></spine></package>"""
    parts = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container xmlns="urn:x"><rootfile full-path="OEBPS/book.opf"/></container>',
        "OEBPS/book.opf": package,
        "OEBPS/nav.xhtml": "<html><body><nav><ol><li>One</li></ol></nav></body></html>",
        "OEBPS/text/one.xhtml": "<html><body><h1>One</h1><p>The ebb.</p></body></html>",
        "OEBPS/text/two b.xhtml": "<html><body><h1>Two</h1><p>The flood&#8230;</p></body></html>",
        **members,
    }
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in parts.items():
            file.writestr(name, text)
    return made.getvalue()


class TestHtmlParser(ParserContract):
    samples = (
        Sample("gates.html", PAGE.encode(), "traffic of the busiest week"),
        Sample("alt.htm", PAGE.replace("Hamburg", "Köln").encode("cp1252"), "lock in Köln"),
        Sample("locks.epub", book(), "The flood…"),
    )

    async def make(self) -> Parser:
        return HtmlParser()


def parse(text: str, media_type: str = HTML) -> Parsed:
    return HtmlParser().parse(SourceFile(data=text.encode(), media_type=media_type))


def test_a_page_is_its_main_content_by_structure() -> None:
    parsed = parse(PAGE)
    said = "\n".join(block.text for block in parsed.blocks)
    assert [word for word in ("Shop", "Imprint", "never shown") if word in said] == []
    gates, load = ("Release gates",), ("Release gates", "Load")
    assert [(b.kind, b.text[:30], b.headings, b.columns) for b in parsed.blocks] == [
        ("heading", "Release gates", (), ()),
        ("paragraph", "A build of the agent reaches c", gates, ()),
        ("heading", "Load", gates, ()),
        ("paragraph", "The load test runs for a day, ", load, ()),
        ("list", "first the harbour master\nthen ", load, ()),
        ("table_row", "load | Ada", load, ("gate", "owner")),
        ("table_row", "soak | Eve", load, ("gate", "owner")),
        ("code", "cat a | sort\n  uniq -c", load, ()),
        ("paragraph", "Whoever wants to skip a gate a", load, ()),
    ]
    assert parsed.blocks[4].text == "first the harbour master\nthen the crew\n  in pairs"
    assert (parsed.title, parsed.author, parsed.language) == ("Release gates", "Ada Lovelace", "en-GB")
    assert parsed.created == datetime(2026, 3, 1, 8, tzinfo=UTC)
    assert not parsed.warnings


def test_a_page_without_main_content_is_taken_whole_but_its_navigation() -> None:
    parsed = parse(
        "<title>T</title><nav>Home</nav><div>Loose <i>text</i><br>next<p>para</div><footer>end</footer>"
    )
    assert [block.text for block in parsed.blocks] == ["Loose text next", "para"]
    assert parsed.title == "T"
    assert parsed.warnings


def test_a_table_for_layout_is_no_table_and_cells_over_columns_keep_their_place() -> None:
    layout = "<table><tr><td><p>left</p></td></tr><tr><td>right</td></tr></table>"
    assert [(b.kind, b.text) for b in parse(layout).blocks] == [("paragraph", "left"), ("paragraph", "right")]
    spans = "<table><tr><th>a<th>b<th>c</tr><tr><td colspan=2>1<td>3</tr></table>"
    (row,) = parse(spans).blocks
    assert (row.text, row.columns) == ("1 |  | 3", ("a", "b", "c"))


def test_a_book_is_read_in_the_order_of_its_spine() -> None:
    parsed = HtmlParser().parse(SourceFile(data=book(), media_type=EPUB))
    assert [(b.text, b.headings) for b in parsed.blocks] == [
        ("Two", ()), ("The flood…", ("Two",)), ("One", ()), ("The ebb.", ("One",))
    ]  # fmt: skip
    assert (parsed.title, parsed.author, parsed.language) == ("The locks", "Ada", "de")
    assert parsed.created == datetime(2024, 5, 1)


@pytest.mark.parametrize(
    ("members", "code", "said"),
    [
        ({"META-INF/encryption.xml": '<e Algorithm="urn:xmlenc#aes256-cbc"/>'}, "encrypted", "copying"),
        ({"META-INF/container.xml": "<container/>"}, "corrupt", "names no book"),
        ({"META-INF/container.xml": "not xml"}, "corrupt", "no XML"),
        ({"OEBPS/book.opf": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'}, "corrupt", "entities"),
        ({"OEBPS/text/one.xhtml": "<p>" + "x" * 50_000_000}, "resource_limit", "unpacks to more"),
    ],
)  # fmt: skip
def test_a_book_that_can_t_be_read_says_why(members: dict[str, str], code: str, said: str) -> None:
    with pytest.raises(ParseError) as refused:
        HtmlParser().parse(SourceFile(data=book(**members), media_type=EPUB))
    assert (refused.value.code, said in refused.value.message) == (code, True), refused.value.message


def test_elements_nested_too_deeply_are_refused_or_flattened_by_the_library() -> None:
    deep = "<div>" * 5_000 + "bottom" + "</div>" * 5_000
    with pytest.raises((ParseError, RecursionError)):
        parse(deep)


def test_a_page_too_large_to_search_is_taken_whole_but_its_navigation() -> None:
    body = "".join(f"<h2>Gate {number}</h2><p>The gates close at low tide.</p>" for number in range(40_000))
    parsed = parse(f"<body><nav>Home</nav>{body}</body>")
    assert len(parsed.blocks) == 80_000
    assert parsed.blocks[-1].headings == ("Gate 39999",)
    assert parsed.warnings
