"""The pages of an image or a PDF file, each read by Tesseract unless it has text."""

import io
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import pypdfium2  # type: ignore[import-untyped]  # it ships no types
from PIL import Image, ImageSequence
from ragwork_hooks.parsing import Parsed, ParseError, SourceFile
from ragwork_toolkit.parsing.block_list import BlockList, too_many

from ragwork_ocr.tesseract import Recognizer

_PDF: Final = "application/pdf"
_POINTS_PER_INCH: Final = 72
_IMAGE_DPI: Final = 300


def read(source: SourceFile, recognizer: Recognizer, dpi: int) -> Parsed:
    """See ``Parser.parse``."""
    blocks = BlockList(source.limits)
    is_pdf = source.media_type == _PDF
    pages = _pdf_pages(source, recognizer, dpi) if is_pdf else _image_pages(source, recognizer)
    for number, text in enumerate(pages, 1):
        for paragraph in text.replace("\r\n", "\n").split("\n\n"):
            blocks.add("paragraph", " ".join(paragraph.split()), page=number)
    if not blocks.blocks:
        raise ParseError(
            "no_text", "No text was recognized in the file: is its language among OCR_LANGUAGES?"
        )
    return Parsed(blocks=blocks.blocks)


def _image_pages(source: SourceFile, recognizer: Recognizer) -> Iterator[str]:
    try:
        with Image.open(io.BytesIO(source.data)) as image:
            if getattr(image, "n_frames", 1) > source.limits.pages:
                raise too_many("pages", source.limits.pages)
            for frame in ImageSequence.Iterator(image):
                yield recognizer.text(frame, _IMAGE_DPI)
    except Image.DecompressionBombError as error:
        raise ParseError("resource_limit", f"The image is too large: {error}") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise ParseError("corrupt", f"The image is damaged: {error}") from None


def _pdf_pages(source: SourceFile, recognizer: Recognizer, dpi: int) -> Iterator[str]:
    try:
        document = pypdfium2.PdfDocument(source.data)
    except pypdfium2.PdfiumError as error:
        raise ParseError("corrupt", f"The file is damaged, needs a password, or is no PDF: {error}") from None
    with closing(document):
        if len(document) > source.limits.pages:
            raise too_many("pages", source.limits.pages)
        for number in range(len(document)):
            with closing(document[number]) as page:
                yield _text_of(page) or recognizer.text(_drawn(page, dpi), dpi)


def _text_of(page: Any) -> str:
    with closing(page.get_textpage()) as text:
        return str(text.get_text_range()).strip()


def _drawn(page: Any, dpi: int) -> Image.Image:
    image: Image.Image = page.render(scale=dpi / _POINTS_PER_INCH, grayscale=True).to_pil()
    return image
