"""How fast files are parsed, on one core: ``python tests/perf/parsing.py [FOLDER]``.

Parses what it makes itself: a report of 200 pages with tables, a workbook of 50,000 rows, a page of 100 KB; and every
file of FOLDER, if one is given. Each is parsed through the whole way, process and all, and for comparison by the
parser alone.
"""

import asyncio
import io
import sys
import time
from pathlib import Path

import xlsxwriter
from fpdf import FPDF
from ragwork_data.data_parser import DataParser
from ragwork_hooks.parsing import Parsed, ParseError, Parser, SourceFile
from ragwork_html.html_parser import HtmlParser
from ragwork_mail.mail_parser import MailParser
from ragwork_office.office_parser import OfficeParser
from ragwork_parsing.parsing_service import ParsingService
from ragwork_parsing.text_parser import TextParser
from ragwork_pdf.pdf_parser import PdfParser
from ragwork_testkit.parser import parsing

PARSERS = (TextParser(), HtmlParser(), DataParser(), OfficeParser(), PdfParser(), MailParser())
ROUNDS = 3
PAGES, ROWS, HTML_BYTES = 200, 50_000, 100_000


def report() -> bytes:
    made = FPDF()
    for number in range(PAGES):
        made.add_page()
        made.set_font("Helvetica", size=18)
        made.cell(0, 12, f"Chapter {number}", new_x="LMARGIN", new_y="NEXT")
        made.set_font("Helvetica", size=11)
        made.multi_cell(
            0, 6, f"The gates of lock {number} close at low tide. " * 40, new_x="LMARGIN", new_y="NEXT"
        )
        with made.table() as table:
            for row in range(6):
                table.row([f"gate {row}", "Ada", f"{row} days"] if row else ["gate", "owner", "days"])
    return bytes(made.output())


def workbook() -> bytes:
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer) as made:
        sheet = made.add_worksheet("gates")
        sheet.write_row(0, 0, [f"column {number}" for number in range(8)])
        for row in range(1, ROWS):
            sheet.write_row(
                row, 0, [f"gate {row}", row, row * 1.5, "Ada Lovelace", "Hamburg", row % 7, True, "-"]
            )
    return buffer.getvalue()


def page() -> bytes:
    section = (
        "<h2>Gate {0}</h2><p>The gates of lock {0} close at low tide, <a href='/x'>as agreed</a>. "
        + "More. " * 40
    )
    body = "".join(section.format(number) + "</p>" for number in range(HTML_BYTES // 380))
    return f"<html><body><nav><a href='/'>Home</a></nav><main>{body}</main></body></html>".encode()


async def measure(
    service: ParsingService, name: str, data: bytes, parser: Parser, units: float, unit: str
) -> None:
    """Print the best of some rounds, through the process and by the parser alone."""
    whole, alone = [], []
    parsed: Parsed | None = None
    for _ in range(ROUNDS):
        start = time.perf_counter()
        parsed = await service.parse("t", data, name, "")
        whole.append(time.perf_counter() - start)
        source = SourceFile(data=data, media_type=parsed.media_type, filename=name)
        start = time.perf_counter()
        parser.parse(source)
        alone.append(time.perf_counter() - start)
    blocks = len(parsed.blocks) if parsed is not None else 0
    print(
        f"{name}: {units / min(whole):,.1f} {unit}/s ({units / min(alone):,.1f} by the parser alone), {blocks} blocks"
    )


async def folder(service: ParsingService, root: Path) -> None:
    """Print how long all files below ``root`` took, and how they ended."""
    files = await asyncio.to_thread(contents, root)
    start, ended = time.perf_counter(), dict[str, int]()
    for name, data in files:
        try:
            await service.parse("t", data, name, "")
            outcome = "parsed"
        except ParseError as error:
            outcome = error.code
        ended[outcome] = ended.get(outcome, 0) + 1
    print(f"{root}: {len(files)} files in {time.perf_counter() - start:.1f} s, {ended}")


def contents(root: Path) -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in sorted(root.rglob("*")) if path.is_file()]


async def main(arguments: list[str]) -> None:
    for parser in PARSERS:
        parser.load()
    async with parsing(*PARSERS, processes=1) as service:
        await service.warm()
        await measure(service, "report.pdf", report(), PARSERS[4], PAGES, "pages")
        await measure(service, "gates.xlsx", workbook(), PARSERS[3], ROWS, "rows")
        html = page()
        await measure(service, "page.html", html, PARSERS[1], len(html) / 1_000_000, "MB")
        small = b"# Gates\n\nThe gates close at low tide.\n"
        await measure(service, "small.md", small, PARSERS[0], 1, "files")
        for argument in arguments:
            await folder(service, Path(argument))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
