"""XLSX, XLSB, XLS and ODS: sheet by sheet the rows, each with its cells and the names of its columns."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from io import BytesIO
from typing import Any, Final

import python_calamine
from ragwork_hooks.parsing import Parsed, ParseError, SourceFile
from ragwork_toolkit.parsing.archives import Archive
from ragwork_toolkit.parsing.block_list import BlockList, are_names, row_range, too_many

from ragwork_office.office_parser import XLS, XLSX
from ragwork_office.package import OfficePackage

#: Rows at the top of a sheet that may stand above its column names.
_ABOVE: Final = 10


def read(source: SourceFile) -> Parsed:
    """See ``Parser.parse``."""
    if source.media_type != XLS:
        Archive(source.data, source.limits)  # what would unpack to too much is refused before it is
    try:
        workbook = python_calamine.CalamineWorkbook.from_filelike(BytesIO(source.data))
    except python_calamine.PasswordError:
        raise ParseError(
            "encrypted", "The file needs a password: save it without one and upload it again"
        ) from None
    except (python_calamine.CalamineError, OSError) as error:
        raise ParseError("corrupt", f"The file is damaged or no spreadsheet: {error}") from None
    names = [sheet.name for sheet in workbook.sheets_metadata if _is_shown(sheet)]
    hidden = [sheet.name for sheet in workbook.sheets_metadata if _is_table(sheet) and not _is_shown(sheet)]
    if len(names) > source.limits.pages:
        raise too_many("sheets", source.limits.pages)
    blocks = BlockList(source.limits)
    for name in names:
        blocks.leave(1)
        blocks.heading(1, name, sheet=name)
        _sheet(workbook.get_sheet_by_name(name), name, blocks, source)
    if not any(block.kind == "table_row" for block in blocks.blocks):
        raise ParseError("no_text", "There is nothing in the cells of the file")
    return Parsed(
        blocks=blocks.blocks,
        warnings=[f"Hidden sheets were left out: {', '.join(hidden)}"] if hidden else [],
        **(OfficePackage(source).said() if source.media_type == XLSX else {}),
    )


def _is_table(sheet: Any) -> bool:
    return bool(sheet.typ == python_calamine.SheetTypeEnum.WorkSheet)


def _is_shown(sheet: Any) -> bool:
    return bool(_is_table(sheet) and sheet.visible == python_calamine.SheetVisibleEnum.Visible)


def _sheet(sheet: Any, name: str, blocks: BlockList, source: SourceFile) -> None:
    if sheet.start is None:
        return
    if sheet.width > source.limits.columns:
        raise too_many("columns in a table", source.limits.columns)
    columns: tuple[str, ...] | None = None
    first_column = sheet.start[1]
    for number, values in enumerate(
        sheet.iter_rows(), 1
    ):  # from the first row, but the first column with a value
        cells = tuple(_said(value) for value in values)
        if not any(cells):
            continue
        if columns is None and number <= sheet.start[0] + _ABOVE and _are_columns(cells):
            columns = cells
            continue
        place = row_range(number, first_column + len(cells), first_column + 1)
        blocks.row(cells, columns or (), sheet=name, cells=place)


def _are_columns(cells: Sequence[str]) -> bool:
    """Whether the row names the columns: side by side, and most of them. A title above a table stands in one cell."""
    inner = list(cells)
    while inner and not inner[-1]:
        inner.pop()
    while inner and not inner[0]:
        del inner[0]
    return are_names(inner) and len(inner) * 2 > len(cells)


def _said(value: Any) -> str:
    """A cell as people write it."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, datetime):
        return value.isoformat(" ") if value.time() != time() else value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return "" if value is None else str(value)
