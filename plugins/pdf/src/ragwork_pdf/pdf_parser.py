"""The provider ``pdf`` of kind ``parser``. PDFium is loaded where files are parsed."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import attrs
from ragwork_hooks.parsing import Parsed, Parser, SourceFile
from ragwork_hooks.providers import Provider, ProviderContext

PDF = "application/pdf"


@attrs.frozen
class PdfParser:
    """Implements ``ragwork_hooks.parsing.Parser``."""

    name: ClassVar[str] = "pdf"
    media_types: ClassVar[Sequence[str]] = (PDF,)
    extensions: ClassVar[Mapping[str, str]] = {".pdf": PDF}

    def load(self) -> None:
        """See ``Parser.load``."""
        import ragwork_pdf.pdf_document  # noqa: F401

    def parse(self, source: SourceFile) -> Parsed:
        """See ``Parser.parse``."""
        from ragwork_pdf import pdf_document

        return pdf_document.read(source)


async def _open(context: ProviderContext[object]) -> Parser:
    return PdfParser()


provider: Provider[Parser] = Provider(name="pdf", open=_open)
