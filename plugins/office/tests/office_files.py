"""Office files, made by other libraries than those that read them."""

import io
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import docx
import pptx
import xlsxwriter
import xlwt
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

MADE = datetime(2026, 3, 1, 8, tzinfo=UTC)


def saved(document: Any) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def letter() -> bytes:
    made = docx.Document()
    made.core_properties.title, made.core_properties.author = "Release gates", "Ada"
    made.core_properties.created = MADE
    made.add_heading("Gates", 0)
    made.add_paragraph("A build passes every gate.\tAlways.")
    made.add_heading("Load", 1)
    for text in ("first the harbour master", "then the crew"):
        made.add_paragraph(text, style="List Bullet")
    made.add_paragraph("in pairs", style="List Bullet 2")
    table = made.add_table(rows=0, cols=3)
    for row in (("gate", "owner", "days"), ("load", "Ada", "1"), ("soak", "Eve", "")):
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    spanned = table.add_row().cells
    spanned[0].merge(spanned[1]).text = "both"
    spanned[2].text = "9"
    made.add_heading("Soak", 2)
    paragraph = made.add_paragraph("Runs for ")
    paragraph.add_run("17").bold = True
    paragraph.add_run(" days")
    frame = made.add_table(rows=1, cols=1)
    frame.cell(0, 0).text = "A frame"
    return saved(made)


def slides() -> bytes:
    made = pptx.Presentation()
    made.core_properties.title = "Gates"
    first = made.slides.add_slide(made.slide_layouts[1])
    first.shapes.title.text = "Release gates"
    first.placeholders[1].text_frame.text = "load"
    point = first.placeholders[1].text_frame.add_paragraph()
    point.text, point.level = "for a day", 1
    first.notes_slide.notes_text_frame.text = "Tell them about the lock."
    second = made.slides.add_slide(made.slide_layouts[5])
    second.shapes.title.text = "Numbers"
    table = second.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
    for place, text in zip(((0, 0), (0, 1), (1, 0), (1, 1)), ("gate", "days", "load", "1"), strict=True):
        table.cell(*place).text = text
    data = CategoryChartData()
    data.categories = ["a"]
    data.add_series("s", (1,))
    chart = second.shapes.add_chart(XL_CHART_TYPE.PIE, Inches(1), Inches(3), Inches(3), Inches(3), data).chart
    chart.has_title, chart.chart_title.text_frame.text = True, "Days by gate"
    group = second.shapes.add_group_shape()
    box = group.shapes.add_textbox(Inches(1), Inches(1), Inches(1), Inches(1))
    box.text_frame.text = "in a group"
    return saved(made)


def workbook(change: Callable[[Any], object] = lambda made: None) -> bytes:
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"default_date_format": "yyyy-mm-dd"}) as made:
        made.set_properties({"title": "Gates", "author": "Ada", "created": MADE.replace(tzinfo=None)})
        sheet = made.add_worksheet("Gates")
        sheet.write(0, 0, "All gates of 2026")
        sheet.write_row(2, 1, ["gate", "owner", "from", "days"])
        sheet.write_row(3, 1, ["load", "Ada", date(2026, 3, 1), 1])
        sheet.write_row(5, 1, ["soak", "Eve", None, 17.25])
        sheet.write_formula(6, 1, '=CONCAT("a","b")', None, "ab")
        made.add_worksheet("Values").write_row(0, 0, [1, True])
        made.add_worksheet("Empty")
        secret = made.add_worksheet("Secret")
        secret.write(0, 0, "hidden")
        secret.hide()
        change(made)
    return buffer.getvalue()


def old_workbook() -> bytes:
    made = xlwt.Workbook()
    sheet = made.add_sheet("Gates")
    for row, values in enumerate((("gate", "owner"), ("load", "Jürgen"))):
        for column, value in enumerate(values):
            sheet.write(row, column, value)
    return saved(made)


def changed(data: bytes, **parts: bytes) -> bytes:
    """The package with other contents of the parts whose names end so (``document`` for ``word/document.xml``)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            stem = name.rpartition("/")[2].removesuffix(".xml")
            new.writestr(name, parts.get(stem, old.read(name)))
    return buffer.getvalue()
