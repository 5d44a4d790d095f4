"""The provider ``ocr`` of kind ``parser``. The libraries are imported where files are parsed."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import ClassVar

import attrs
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.parsing import Parsed, Parser, SourceFile
from ragwork_hooks.providers import Provider, ProviderContext

from ragwork_ocr.config import OcrConfig, library, ready

PDF, PNG, JPEG, TIFF = "application/pdf", "image/png", "image/jpeg", "image/tiff"


@attrs.frozen
class OcrParser:
    """Implements ``ragwork_hooks.parsing.Parser``. A page of a PDF file that has text keeps it."""

    name: ClassVar[str] = "ocr"
    media_types: ClassVar[Sequence[str]] = (PNG, JPEG, TIFF, PDF)
    extensions: ClassVar[Mapping[str, str]] = {
        ".png": PNG, ".jpg": JPEG, ".jpeg": JPEG, ".tif": TIFF, ".tiff": TIFF, ".pdf": PDF
    }  # fmt: skip
    #: Tesseract's shared library. What finds it can't run where files are parsed.
    library: str
    #: A list, once another process has made an equal object.
    languages: Sequence[str] = ("eng",)
    dpi: int = 200

    def load(self) -> None:
        """See ``Parser.load``."""
        import ragwork_ocr.pages
        import ragwork_ocr.tesseract

        ragwork_ocr.tesseract.load(self.library)

    def parse(self, source: SourceFile) -> Parsed:
        """See ``Parser.parse``."""
        from ragwork_ocr import pages, tesseract

        recognizer = tesseract.Recognizer(self.library, self.languages)
        with closing(recognizer):
            return pages.read(source, recognizer, self.dpi)


async def _open(context: ProviderContext[OcrConfig]) -> Parser:
    found = library()
    if found is None:
        raise ProviderError("PARSER_CONFIG_INVALID", f"ocr {ready(context.config)}")
    return OcrParser(found, languages=context.config.languages, dpi=context.config.dpi)


provider: Provider[Parser] = Provider(name="ocr", open=_open, ready=ready)
