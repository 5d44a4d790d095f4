"""The provider ``office`` of kind ``parser``. The libraries are imported where files are parsed."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import attrs
from ragwork_hooks.parsing import Parsed, Parser, SourceFile
from ragwork_hooks.providers import Provider, ProviderContext

_OPEN: Final = "application/vnd.openxmlformats-officedocument."
DOCX: Final = f"{_OPEN}wordprocessingml.document"
PPTX: Final = f"{_OPEN}presentationml.presentation"
XLSX: Final = f"{_OPEN}spreadsheetml.sheet"
XLS: Final = "application/vnd.ms-excel"
XLSB: Final = "application/vnd.ms-excel.sheet.binary.macroenabled.12"
ODS: Final = "application/vnd.oasis.opendocument.spreadsheet"


@attrs.frozen
class OfficeParser:
    """Implements ``ragwork_hooks.parsing.Parser``. Macros are never looked at."""

    name: ClassVar[str] = "office"
    media_types: ClassVar[Sequence[str]] = (DOCX, PPTX, XLSX, XLS, XLSB, ODS)
    extensions: ClassVar[Mapping[str, str]] = {
        ".docx": DOCX, ".docm": DOCX, ".dotx": DOCX, ".pptx": PPTX, ".pptm": PPTX, ".ppsx": PPTX, ".xlsx": XLSX,
        ".xlsm": XLSX, ".xltx": XLSX, ".xls": XLS, ".xlsb": XLSB, ".ods": ODS,
    }  # fmt: skip

    def load(self) -> None:
        """See ``Parser.load``."""
        import ragwork_office.presentation
        import ragwork_office.spreadsheet
        import ragwork_office.text_document  # noqa: F401

    def parse(self, source: SourceFile) -> Parsed:
        """See ``Parser.parse``."""
        from ragwork_office import presentation, spreadsheet, text_document

        if source.media_type == DOCX:
            return text_document.read(source)
        if source.media_type == PPTX:
            return presentation.read(source)
        return spreadsheet.read(source)


async def _open(context: ProviderContext[object]) -> Parser:
    return OfficeParser()


provider: Provider[Parser] = Provider(name="office", open=_open)
